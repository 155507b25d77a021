"""The protocols of the API. Each package holds all of one protocol, and gives the composition root up to three names.

`routes` builds its router, `describe` adds its bodies to the OpenAPI document, and `ERROR_FORMATS` has the paths
whose errors are not problem documents. A new protocol is one more package, and one more entry in `service.py`.
"""
