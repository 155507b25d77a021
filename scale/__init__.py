"""How many replicas behave: costs measured on real parts, and a simulation that scales them up."""
