"""The OpenAPI document: what the service takes and answers, for the version that serves."""
