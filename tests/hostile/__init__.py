"""Attacks on one predictor; a package, so that the predictor ends with the last of them."""
