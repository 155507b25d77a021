"""Headers that say how an answer may be treated, for answers of the API. Those of pages are in `api/files.py`."""

NOSNIFF = ("X-Content-Type-Options", "nosniff")
"""On every answer to a request: its type is what it says, and nothing that it looks like."""

NO_STORE = {"Cache-Control": "no-store"}
"""On predictions and on metrics: no browser and no proxy keeps a copy."""

NO_CACHE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}
"""On what frontends ask for again and again: kept by them alone, and never shown without asking whether
it is still so. What a client sees of it depends on its key."""
