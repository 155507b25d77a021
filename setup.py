"""The package's metadata that depend on the repository's address. `pyproject.toml` has everything else.

Only the place where a release is built knows the address: it sets PROJECT_SOURCE. An index shows README.md at
another address, so that its links within the repository must be complete.
"""

import os
import re
from pathlib import Path

from setuptools import setup

PAGES = {
    "Documentation": "/blob/main/docs/README.md",
    "Changelog": "/blob/main/CHANGELOG.md",
    "Source": "",
    "Issues": "/issues",
}
source = os.environ.get("PROJECT_SOURCE", "").rstrip("/")
readme = Path("README.md").read_text(encoding="utf-8")
if source:
    readme = re.sub(r'(src(?:set)?=")(?!\w+:)', rf"\1{source}/raw/main/", readme)
    readme = re.sub(r"(\]\()(?!\w+:|#)", rf"\1{source}/blob/main/", readme)
setup(
    project_urls={name: source + page for name, page in PAGES.items()} if source else {},
    long_description=readme,
    long_description_content_type="text/markdown",
)
