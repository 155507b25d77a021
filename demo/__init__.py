"""From nothing to a live prediction, with the real parts: what `make demo` runs."""
