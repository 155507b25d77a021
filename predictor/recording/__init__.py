"""Record predictions: each answered row goes to a spool of files, and a process of its own writes Parquet from it.

A row is in the spool before its response is sent, so that neither process loses it when it is killed.
"""
