"""`python -m predictor`: `predictor.command`, with signals handled from the first moment on."""

import sys

from predictor import signals

if __name__ == "__main__":
    signals.prepare()
    # Importing what serves takes most of a second.
    from predictor.command import main

    sys.exit(main())
