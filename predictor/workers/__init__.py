"""Several processes that serve on one port: their supervisor, what they share and what they tell."""
