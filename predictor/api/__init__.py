"""The HTTP API: one file per protocol, each a function from the service to its routes."""
