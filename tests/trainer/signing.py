"""People with keys, and versions with files, for tests of signed statements."""

import uuid
from dataclasses import dataclass
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from tests.predictor.graphs import regressor
from tests.predictor.parts import write_artifact
from tests.trainer.conftest import GOOD, PROVEN, Shelf
from trainer.cli import app
from trainer.registry import register
from trainer.signing_keys import KeyFolder, approvers_line

WORDS = "correct horse battery"
VARIABLES = (
    "TRAINER_KEY", "TRAINER_PASSPHRASE_FILE", "TRAINER_POINTER", "TRAINER_ALIAS", "PREDICTOR_APPROVERS_FILE",
)  # fmt: skip


@dataclass
class Ward:
    """The commands of people who share a folder of keys, on one registered model."""

    shelf: Shelf
    folder: Path
    lines: dict[str, str]

    def add(self, files: Path | None = None, tags: dict[str, str] | None = None) -> str:
        """Register a version that has files."""
        name = f"files-{uuid.uuid4().hex}"
        if files is None:
            files = self.folder / name
            write_artifact(files, regressor())
        run_id, root = self.shelf.new_run(GOOD)
        self.shelf.client.log_artifacts(run_id, str(files), name)
        return register(
            self.shelf.client, model_name=self.shelf.name, run_id=run_id, source=f"{root}/{name}",
            description="", tags=PROVEN if tags is None else tags,
        )  # fmt: skip

    def person(self, *names: str) -> None:
        """Make keys."""
        for name in names:
            public = KeyFolder(self.folder / "keys").create(name, WORDS)
            self.lines[name] = approvers_line(name, public)

    def approvers(self, required: int, *names: str) -> str:
        """A file of approvers."""
        file = self.folder / f"approvers-{required}-{'-'.join(names)}.toml"
        lines = [f"required = {required}", "[approvers]", *(self.lines[name] for name in names)]
        file.write_text("\n".join(lines))
        return str(file)

    def run(self, *arguments: str) -> Result:
        """A command in this process."""
        return CliRunner().invoke(app, [*arguments, "--model", self.shelf.name])

    def ok(self, *arguments: str) -> str:
        """What a command prints that must succeed."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return str(result.output)

    def tags(self, version: str, prefix: str) -> dict[str, str]:
        """The tags of a version with a prefix."""
        tags = self.shelf.registry.version(version).tags
        return {key: value for key, value in sorted(tags.items()) if key.startswith(prefix)}
