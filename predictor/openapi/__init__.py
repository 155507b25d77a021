"""The OpenAPI document, for the features and classes of the serving version."""
