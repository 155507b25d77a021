"""Python imports this at start-up where its folder is in PYTHONPATH; the sabotage begins there."""

import os

from sabotage import begin

begin(os.environ)
