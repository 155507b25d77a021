"""The dashboard, built with Grafana's Foundation SDK."""
