"""`python -m predictor`: `predictor.cli`, with signals handled from the first moment on."""

import sys

from predictor import signals

if __name__ == "__main__":
    signals.prepare()
    # Importing what serves takes most of a second.
    from predictor.cli import main

    sys.exit(main())
