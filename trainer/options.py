"""The options that several commands of `python -m trainer` share, and the commands on the model that they name."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trainer.terminal import Output

if TYPE_CHECKING:
    from trainer.registry_commands import RegistryCommands

MODEL = "breast-cancer"
ALIAS = "production"

PointerKind = Literal["stage", "alias"]

VersionArgument = Annotated[str, typer.Argument(help="The number of a registered version.")]
Model = Annotated[str, typer.Option("--model", help="The registered model.")]
Kind = Annotated[
    PointerKind,
    typer.Option(
        "--pointer",
        metavar="stage|alias",
        envvar="TRAINER_POINTER",
        help="What says which version serves: MLflow's stage, or an alias. Never both.",
    ),
]
Alias = Annotated[
    str,
    typer.Option(
        "--alias", envvar="TRAINER_ALIAS", help="The alias that serves, with --pointer alias."
    ),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Reason, recorded in the history.")]
Who = Annotated[
    str | None, typer.Option("--who", help="Who does this, for the history.  [default: user@host]")
]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="NAME:TOLERANCE",
        help="A metric, and how much worse than the champion's it may be: test_roc_auc:0.01, "
        "test_rmse:2%, test_cost:5:lower. Repeat it for several; they are stored for all promotions.",
    ),
]
Wide = Annotated[
    bool,
    typer.Option("--wide", help="Show every column whole, however wide the terminal is."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
KeysFolder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        envvar="TRAINER_KEYS_FOLDER",
        help="Where the keys are.  [default: ~/.config/mlflow-hotswap/keys]",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="TRAINER_KEY",
        help="The key that signs: a name of `keys list`, the path of a private key, or pkcs11:… of a device.",
    ),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        envvar="TRAINER_PASSPHRASE_FILE",
        help="A file whose first line is the key's passphrase.  [default: TRAINER_PASSPHRASE, or typed]",
    ),
]
ApproversFile = Annotated[
    Path | None,
    typer.Option(
        "--approvers",
        envvar="PREDICTOR_APPROVERS_FILE",
        help="The file of approvers that the service has.",
    ),
]


def suggested(command: str, model: str, pointer: str = "stage") -> str:
    """A command to type, with the model and the pointer (`stage`, or `@` and the alias) that it is about."""
    words = ["python -m trainer", command]
    if model != MODEL:
        words.append(f"--model {shlex.quote(model)}")
    if pointer.startswith("@"):
        words.append("--pointer alias")
        if pointer != f"@{ALIAS}":
            words.append(f"--alias {shlex.quote(pointer[1:])}")
    return f"`{' '.join(words)}`"


def default_keys_folder() -> Path:
    """The folder of the user's keys."""
    if own := os.environ.get("TRAINER_KEYS_FOLDER"):
        return Path(own)
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "mlflow-hotswap" / "keys"


def commands_on(
    model: str,
    pointer: PointerKind,
    alias: str,
    signing: tuple[str | None, Path | None] = (None, None),
    approvers: Path | None = None,
    *,
    output: Output | None = None,
) -> "RegistryCommands":
    """The commands on a model. `signing` are a key and the file of its passphrase; no key signs nothing."""
    from trainer.approval import read_approvers
    from trainer.registry_commands import RegistryCommands
    from trainer.signing_keys import open_key

    people = read_approvers(approvers) if approvers else None
    key, passphrase_file = signing
    signer = open_key(key, passphrase_file) if key else None
    return RegistryCommands(model, alias if pointer == "alias" else None, signer, people, output)
