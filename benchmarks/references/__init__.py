"""Reference servers under uvicorn in the predictor's environment, and programs of other environments."""
