"""The predictor beside an empty ASGI application and FastAPI by hand, in one run: `make bench`."""
