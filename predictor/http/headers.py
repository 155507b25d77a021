"""Headers that say how an answer may be treated, for answers of the API. Those of pages are in `api/files.py`."""

NOSNIFF = ("X-Content-Type-Options", "nosniff")
"""On every answer to a request: its type is what it says, and nothing that it looks like."""

NO_STORE = {"Cache-Control": "no-store"}
"""On predictions, and on what operators ask for: no browser and no proxy keeps a copy."""
