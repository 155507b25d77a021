"""The parts of a run; each starts its servers, measures them and returns the results."""
