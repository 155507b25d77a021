"""Reference servers; each runs under uvicorn in the predictor's environment."""
