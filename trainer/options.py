"""The options that several commands of `python -m trainer` share."""

from typing import Annotated, Literal

import typer

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
Tolerance = Annotated[
    float, typer.Option(min=0, help="How far below the champion's it may be, and pass.")
]
