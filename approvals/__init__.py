"""Approvals: signed statements that exactly these files of a model version may serve.

The trainer signs them, the service checks them. Neither imports the other; both import this package.
"""
