"""A real Prometheus with the configuration and the rules that are shipped, in fast motion."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demo.processes import ROOT, Child, free_port, running, spawn
from tests.end_to_end.parts import wait_until
from tests.required import program

SHIPPED = ROOT / "deploy/prometheus"
STEP = 0.5  # seconds between two scrapes, and between two points of a range
# Windows and waiting times are a small part of what they are in earnest; thresholds are the same.
FASTER = {
    "[1m]": "[3s]", "[5m]": "[10s]", "[20s]": "[3s]", "[1d:5m]": "[20s:1s]",
    "[7d:1d] offset 1d": "[10s:1s] offset 5s",
}  # fmt: skip
WINDOW = "3s"

Series = dict[str, Any]


def in_fast_motion(expr: str) -> str:
    """The same expression over shorter windows."""
    for window, shorter in FASTER.items():
        expr = expr.replace(window, shorter)
    return expr


@dataclass(frozen=True)
class Prometheus:
    """A server of its own, which scrapes twice a second."""

    child: Child

    def ask(self, path: str, **arguments: str | float) -> Any:
        """What the API answers. Raises HTTPError where an expression does not parse."""
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"{self.child.url}/api/v1/{path}?{query}", timeout=20) as reply:
            return json.load(reply)["data"]

    def now(self, expr: str) -> dict[tuple[str, ...], float]:
        """The values of an expression, by the values of its labels."""
        return {
            tuple(each["metric"].values()): float(each["value"][1])
            for each in self.ask("query", query=expr)["result"]
        }

    def since(self, start: float, expr: str) -> list[Series]:
        """The series of an expression from then until now."""
        # One step more: what was seen last may lie behind the last full step.
        _, until = self.ask("query", query=f"time() + {STEP}")["result"]
        answer = self.ask("query_range", query=expr, start=start, end=until, step=STEP)
        found: list[Series] = answer["result"]
        return found

    def until(self, expr: str, what: str) -> None:
        """Wait until the expression has a value."""
        wait_until(lambda: bool(self.now(expr)), what, seconds=60)

    def until_firing(self, *alerts: str) -> None:
        """Wait until all of these alerts fire."""
        names = "|".join(alerts)
        firing = (
            f'count(count by (alertname) (ALERTS{{alertstate="firing", alertname=~"{names}"}}))'
        )
        self.until(f"{firing} == {len(alerts)}", f"{names} fires; {self.now('ALERTS')}")


@contextmanager
def started(folder: Path, targets: Sequence[str], key: Path) -> Iterator[Prometheus]:
    """Prometheus as it is shipped, but for what it scrapes, with which key, and how fast."""
    for name in ("recording.yml", "alerts.yml"):
        rules = yaml.safe_load((SHIPPED / name).read_text())
        for group in rules["groups"]:
            group.pop("interval", None)
            for rule in group["rules"]:
                rule["expr"] = in_fast_motion(rule["expr"])
                rule.pop("for", None)
        (folder / name).write_text(yaml.safe_dump(rules))
    config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    step = f"{STEP * 1000:.0f}ms"
    config["global"] = {"scrape_interval": step, "evaluation_interval": step}
    (job,) = config["scrape_configs"]
    job["authorization"]["credentials_file"] = str(key)
    job["static_configs"] = [{"targets": list(targets)}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        program("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]  # fmt: skip
    child = spawn(command, f"http://127.0.0.1:{port}", folder / "prometheus.log", {})
    with running(child, "/-/ready"):
        yield Prometheus(child)
