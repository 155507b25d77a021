"""Why this answer: what each feature contributed to it, by Shapley values."""
