"""What `python -m grafana` does: write the dashboard's file, which Grafana is provisioned with."""

from grafana.dashboard import FILE, written

if __name__ == "__main__":
    FILE.write_text(written())
