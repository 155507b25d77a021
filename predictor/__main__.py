"""`python -m predictor`: `predictor.cli`, with signals handled from the start."""

import sys

from predictor import signals

if __name__ == "__main__":
    signals.prepare()
    # This import takes most of a second.
    from predictor.cli import main

    sys.exit(main())
