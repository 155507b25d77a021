"""`python -m predictor`: `predictor.cli`, with signals handled from the start."""

import sys
from collections.abc import Sequence

from predictor import signals


def main(arguments: Sequence[str], program: str = "python -m predictor") -> int:
    """Serve, or answer `--help` and `--version`; return the exit code."""
    signals.prepare()
    # This import takes most of a second.
    from predictor.cli import main as serve

    return serve(arguments, program)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
