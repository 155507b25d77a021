"""Databricks as a registry. Nothing here is imported unless the settings choose it."""
