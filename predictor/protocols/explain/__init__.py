"""`/predict/explain`: what each feature contributed to an answer, by Shapley values."""
