"""Granian: its environment, an empty RSGI application, and how it is started."""
