"""From what the registry says to what serves: one decision, and the swap that follows from it."""
