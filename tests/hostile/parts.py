"""What every hostile test watches: other clients, the predictor's memory, and the shape of an error."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.end_to_end.parts import Reference, Service, wait_until
from tests.hostile.wire import Conversation, Response, converse, post

PROBLEM = "application/problem+json"
TOLERANCE = 1e-6  # coalesced rows can differ in the last bits of a float32
MAX_GROWTH_BYTES = 120 << 20  # bytes of resident memory, whatever is sent


@dataclass
class Target:
    """A predictor to be attacked, and what its version answers."""

    service: Service
    reference: Reference
    version: str
    record: dict[str, float]
    header_seconds: float = 10
    """How long the predictor waits for a request's head (PREDICTOR_HEADER_SECONDS)."""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.service.child.url)
        return str(parts.hostname), int(parts.port or 0)

    @property
    def body(self) -> bytes:
        return json.dumps(self.record).encode()

    def varied(self, number: int) -> dict[str, float]:
        """One of many records, each with an answer of its own."""
        return {name: value * (1 + number % 50 / 200) for name, value in self.record.items()}

    def converse(self, *sends: bytes | float, **how: Any) -> Conversation:
        return converse(self.address, *sends, **how)

    def predict(self, record: dict[str, float]) -> Response:
        """The response to one record.

        The predictor may close a connection that sent no request within `header_seconds`. Under load,
        this process may need longer to send it; then it asks again. Any other request must be answered.
        """
        while True:
            got = self.converse(post(json.dumps(record).encode()), answers=1)
            if got.responses or got.send_seconds < self.header_seconds:
                assert got.responses, f"no response to a request sent in {got.send_seconds:.3f} s"
                return got.responses[0]

    def is_right(self, response: Response, record: dict[str, float]) -> bool:
        """Whether a 200 has the version's own answer to this record."""
        answer = response.json()
        expected = self.reference.probabilities(record)
        return bool(
            answer["model_version"] == self.version
            and answer["prediction"] == max(expected, key=lambda label: expected[label])
            and all(
                abs(answer["probabilities"][label] - chance) <= TOLERANCE
                for label, chance in expected.items()
            )
        )

    def resident_bytes(self) -> int:
        """The predictor's resident memory."""
        status = Path(f"/proc/{self.service.child.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) << 10

    def serves_as_before(self) -> None:
        """Raise AssertionError unless it answers, and rightly."""
        response = self.predict(self.record)
        assert response.status == 200, response.body
        assert self.is_right(response, self.record)


def is_problem(response: Response) -> bool:
    """Whether an error has the one shape of errors, and tells nothing of the inside."""
    if response.headers.get("content-type") != PROBLEM or b"Traceback" in response.body:
        return False
    body = response.json()
    if response.status == 503 and "retry-after" not in response.headers:
        return False
    return (
        body["type"] == "about:blank" and body["status"] == response.status and body["detail"] > ""
    )


@dataclass
class Bystander:
    """Another client: it sends records all the time and checks each response."""

    target: Target
    answered: int = 0
    faults: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self._thread.start()

    def until_answered_again(self) -> None:
        """Return once it got another answer."""
        before = self.answered
        wait_until(lambda: self.answered > before or not self._thread.is_alive(), "it is answered")
        assert not self.faults, self.faults[:5]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self.faults, self.faults[:5]

    def _ask_on(self) -> None:
        number = 0
        while not self._stop.wait(0.005):
            number += 1
            record = self.target.varied(number)
            try:
                response = self.target.predict(record)
                if response.status != 200 or not self.target.is_right(response, record):
                    self.faults.append(f"{response.status} {response.body!r} to {record}")
                self.answered += 1
            except Exception as error:  # noqa: BLE001  whatever it is, a bystander noticed
                self.faults.append(repr(error))
                return
