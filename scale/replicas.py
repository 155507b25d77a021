"""Real predictors behind the gateway, and a light load of predictions, each of which is checked."""

import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx

from benchmarks.registry import Published
from demo.processes import Child, free_port, start_predictor
from stress.truth import WrongAnswerError

_OK = 200
# Replicas have machines of their own; here, 20 that load a version at once must not take the time of all other parts.
_NICE = 19


class Replicas:
    """Predictors that follow one model, and the client that requests a prediction of each in turn."""

    def __init__(
        self, folder: Path, published: Published, settings: Mapping[str, str], count: int
    ) -> None:
        """Start `count` predictors with these settings, from this environment, which has nats-py."""
        self.children: list[Child] = []
        for number in range(count):
            child = start_predictor(
                folder / str(number), free_port(), settings, python=sys.executable
            )
            os.setpriority(os.PRIO_PROCESS, child.process.pid, _NICE)
            self.children.append(child)
        self._truth = published.truth
        # One for all requests: a new one takes as much time as a hundred requests, from all other parts.
        self._client = httpx.Client(timeout=30)
        self._done = threading.Event()
        #: Predictions: `right`, `wrong` and `lost`.
        self.counts: Counter[str] = Counter()
        self._load = threading.Thread(target=self._request_predictions, daemon=True)

    def until_ready(self) -> None:
        """Wait until all serve, then start the load. Raises StartError."""
        for child in self.children:
            child.wait_until_answers("/ready", seconds=180)
        self._load.start()

    def not_yet(self, version: str, pending: Iterable[Child]) -> list[Child]:
        """The predictors of `pending` that do not serve this version."""
        return [
            each for each in pending if self._get(each, "/ready").get("model_version") != version
        ]

    def unreachable(self) -> int:
        """How many say that the registry cannot be reached."""
        found = (self._get(each, "/model") for each in self.children)
        return sum(not each["registry"]["reachable"] for each in found)

    def stop(self) -> None:
        """Stop the load and the predictors."""
        self._done.set()
        if self._load.is_alive():
            self._load.join()
        for child in self.children:
            child.process.terminate()
        for child in self.children:
            child.stop()
        self._client.close()

    def _get(self, child: Child, path: str) -> dict[str, Any]:
        return dict(self._client.get(child.url + path).json())

    def _request_predictions(self) -> None:
        with httpx.Client(timeout=30) as client:
            while True:
                for child in self.children:
                    if self._done.wait(1 / (2 * len(self.children))):
                        return
                    self.counts[self._predict(client, child)] += 1

    def _predict(self, client: httpx.Client, child: Child) -> str:
        try:
            answer = client.post(f"{child.url}/predict", json=self._truth.records[0])
            if answer.status_code != _OK:
                return "lost"
            self._truth.prediction(answer.content, [0])
        except httpx.HTTPError:
            return "lost"
        except WrongAnswerError:
            return "wrong"
        return "right"
