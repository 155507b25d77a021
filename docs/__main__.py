"""What `python -m docs` does: write the README's tables from the code."""

from pathlib import Path

from docs.tables import rewritten

README = Path(__file__).parent.parent / "README.md"

if __name__ == "__main__":
    README.write_text(rewritten(README.read_text()))
