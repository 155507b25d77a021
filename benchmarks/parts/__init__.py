"""The parts of a run; each starts the servers that it measures, and gives back what it saw."""
