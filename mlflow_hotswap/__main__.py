"""`mlflow-hotswap COMMAND`. `serve`, `keys` and `healthcheck` need no extra, all other commands `trainer`.

Only the standard library is imported here: `mlflow-hotswap serve` starts as quickly, and needs as little memory,
as `python -m predictor`.
"""

import sys
from collections.abc import Callable, Mapping, Sequence

PROGRAM = "mlflow-hotswap"
_HELP = f"""usage: {PROGRAM} [--help | --version] COMMAND …

  serve         serve the model version that MLflow's registry names
  keys          make an API key
  healthcheck   whether the service answers, for containers

Training, promotion and their commands need an extra: pip install 'mlflow-hotswap[trainer]'
"""


def main() -> int:
    """Run the command in `sys.argv`; return the exit code."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name == "--version":
        print_version()
        return 0
    # An API key (`keys NAME`) is the service's, keys that sign are the trainer's.
    signs = name == "keys" and arguments[:1] in (["new"], ["list"])
    if name in SERVICE and not signs:
        return SERVICE[name](arguments)
    from trainer.extras import missing_package_named

    with missing_package_named(f"{PROGRAM} {name}"):
        try:
            from mlflow_hotswap.commands import app
        except ModuleNotFoundError:
            if name not in ("--help", "-h"):
                raise
            sys.stdout.write(_HELP)
            return 0
        app(prog_name=PROGRAM)
    return 0


def print_version() -> None:
    """Print the version of all packages."""
    from predictor import __version__

    sys.stdout.write(f"{PROGRAM} {__version__}\n")


def serve(arguments: Sequence[str]) -> int:
    """Serve the model version that MLflow's registry names."""
    from predictor.__main__ import main as run

    return run(arguments, f"{PROGRAM} serve")


def keys(arguments: Sequence[str]) -> int:
    """Make an API key."""
    from predictor.keys import main as run

    return run(arguments, f"{PROGRAM} keys")


def healthcheck(arguments: Sequence[str]) -> int:
    """Say whether the service answers, for containers."""
    from predictor.healthcheck import main as run

    return run(arguments)


SERVICE: Mapping[str, Callable[[Sequence[str]], int]] = {
    "serve": serve,
    "keys": keys,
    "healthcheck": healthcheck,
}
"""The commands that need no extra, by their names."""


if __name__ == "__main__":
    sys.exit(main())
