"""The dashboard, written with Grafana's Foundation SDK; `python -m grafana` makes its file."""
