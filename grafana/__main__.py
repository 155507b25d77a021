"""`python -m grafana`: write the dashboard's file."""

from grafana.dashboard import FILE, written

if __name__ == "__main__":
    FILE.write_text(written())
