"""One package for each protocol of predictions: from a body to rows, from answers to bytes, and its errors."""
