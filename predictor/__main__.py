"""`python -m predictor`: `predictor.command`, and an end on SIGTERM from the first moment on."""

import signal
import sys
from typing import NoReturn


def _end(*_: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    # The first process of a container does not die of a signal that it does not handle. Importing what
    # serves takes most of a second; a SIGTERM that came then would be lost, and whoever stops the
    # container would wait for a service that goes on. Nothing is in flight yet.
    signal.signal(signal.SIGTERM, _end)
    from predictor.command import main

    sys.exit(main())
