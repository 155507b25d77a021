"""What the predictor is measured against; each runs in the predictor's environment, under uvicorn."""
