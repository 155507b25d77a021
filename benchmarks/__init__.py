"""Benchmarks of the predictor, an empty ASGI application and a hand-written FastAPI service: `make bench`."""
