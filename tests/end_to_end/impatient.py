"""The service of workers whose supervisor waits for fewer beats: `python -m tests.end_to_end.impatient BEATS`.

Only the figure differs from `python -m predictor`, so that a test need not wait for half a minute.
"""

import sys

from predictor import logs
from predictor.http.listeners import listen_together
from predictor.settings import Settings
from predictor.workers import supervisor

if __name__ == "__main__":
    settings = Settings.read()
    logs.set_up(settings.log_level)
    listeners = listen_together(settings.host, settings.port, settings.workers)
    sys.exit(supervisor.run(settings, listeners, hung_beats=int(sys.argv[1])))
