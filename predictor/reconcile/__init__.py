"""Keep the serving version equal to the one that the registry names: poll, decide, load, swap."""
