"""What `python -m docs` does: write the documents' tables from the code."""

from pathlib import Path

from docs.tables import write

if __name__ == "__main__":
    write(Path(__file__).parent.parent)
