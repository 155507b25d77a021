"""The page's pure modules, called in Node without a browser."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from predictor.operations.page import FOLDER
from tests.required import program


class Modules:
    """The page's folder as Node takes it: a package of modules."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(
            FOLDER, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("docs", "*.html")
        )
        (folder / "package.json").write_text('{"type": "module"}')

    def compute(self, module: str, *expressions: str, language: str = "en") -> list[Any]:
        """What expressions over `m`, the exports of a module, are; None for undefined and null.

        `language` is the browser's.
        """
        script = f"globalThis.navigator = {{ languages: ['{language}'] }};\n"
        script += f'const m = await import("./{module}");\n'
        script += f"console.log(JSON.stringify([{', '.join(f'({each})' for each in expressions)}]))"
        command = [program("node"), "--input-type=module", "--eval", script]
        done = subprocess.run(
            command, capture_output=True, check=False, text=True, timeout=60, cwd=self._folder
        )
        assert done.returncode == 0, done.stderr
        computed: list[Any] = json.loads(done.stdout)
        return computed
