"""`python -m trainer fleet`: which version each replica serves, and which replicas lag."""

import asyncio
import json
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from fleet import sign_in
from trainer.errors import FleetError
from trainer.terminal import Output, Table, number, print_json, prose, word

_SECONDS = 5


@dataclass(frozen=True)
class Replica:
    """The status of one process of the service, as it last wrote it."""

    name: str
    model_uri: str
    serves: str | None
    desired: str | None
    fault: str | None
    registry_answered_at: str
    written_at: datetime

    @classmethod
    def read(cls, content: bytes) -> "Replica | None":
        """The status of a value in the bucket; None for a value that is no status."""
        try:
            found = json.loads(content)
            return cls(
                str(found["replica"]), str(found["model_uri"]), found["serves"], found["desired"],
                found["fault"], found["registry_answered_at"] or "",
                datetime.fromisoformat(found["written_at"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            return None


def desired_versions(replicas: Iterable[Replica]) -> dict[str, str | None]:
    """The version that should serve, by model URI: what the replica knows that the registry answered last."""
    latest: dict[str, Replica] = {}
    for each in replicas:
        known = latest.get(each.model_uri)
        if known is None or each.registry_answered_at > known.registry_answered_at:
            latest[each.model_uri] = each
    return {uri: each.desired for uri, each in latest.items()}


@dataclass(frozen=True)
class Line:
    """A replica, and the version that it should serve."""

    replica: Replica
    desired: str | None

    @property
    def lags(self) -> bool:
        """Whether it serves another version."""
        return self.replica.serves != self.desired

    def fields(self) -> dict[str, object]:
        """The line for JSON."""
        each = self.replica
        return {
            "replica": each.name, "model_uri": each.model_uri, "serves": each.serves,
            "desired": self.desired, "lags": self.lags, "fault": each.fault,
            "reported_at": each.written_at.isoformat(),
        }  # fmt: skip


def compared(replicas: Sequence[Replica]) -> list[Line]:
    """Each replica with the version that it should serve, lagging ones first."""
    desired = desired_versions(replicas)
    lines = [Line(each, desired[each.model_uri]) for each in replicas]
    return sorted(lines, key=lambda of: (not of.lags, of.replica.model_uri, of.replica.name))


def table(lines: Sequence[Line], now: datetime) -> Table:
    """One row for each replica."""
    rows = [
        (
            of.replica.name, of.replica.model_uri, of.replica.serves or None, of.desired or None,
            "lags" if of.lags else None, of.replica.fault,
            f"{max(0.0, (now - of.replica.written_at).total_seconds()):.0f} s ago",
        )
        for of in lines
    ]  # fmt: skip
    columns = [
        prose("replica"), prose("model", rank=4), number("serves"),
        number("desired", "should serve", rank=1), word("lags", " "), prose("fault", rank=2, least=16),
        number("reported", rank=3),
    ]  # fmt: skip
    return Table(columns, rows)


def show(servers: str, credentials_file: Path | None, model: str | None, output: Output) -> None:
    """Print the table, or JSON; exit code 1 if a replica lags or none has reported."""
    found = asyncio.run(_read(servers.split(","), _sign_in(credentials_file)))
    lines = compared(
        [each for each in found if model is None or each.model_uri.startswith(_prefixes(model))]
    )
    lagging = sum(each.lags for each in lines)
    if output.as_json:
        print_json([each.fields() for each in lines])
    elif lines:
        output.show(table(lines, datetime.now(UTC)))
        typer.echo(f"{len(lines)} replicas, {lagging} lag")
    else:
        of = f" of {model}" if model else ""
        typer.echo(f"no replica{of} has reported to {servers} within the last minute")
    if lagging or not lines:
        raise typer.Exit(1)


def _prefixes(model: str) -> tuple[str, str]:
    return f"models:/{model}/", f"models:/{model}@"


def _sign_in(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return sign_in.options(file.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FleetError(f"{file}: {reason}") from None


async def _read(servers: Sequence[str], credentials: dict[str, Any]) -> list[Replica]:
    """Every status in the bucket. Raises FleetError."""
    import nats.errors
    import nats.js.errors

    from fleet.client import BUCKET, Client

    client = Client()

    async def ignore(_: Exception) -> None:
        """It is raised as well."""

    try:
        for server in servers:
            try:
                await client.open(
                    server,
                    credentials,
                    ssl.create_default_context,
                    seconds=_SECONDS,
                    error_cb=ignore,
                )
                break
            except (nats.errors.Error, OSError):
                if server == servers[-1]:
                    raise
        bucket = await client.jetstream(timeout=_SECONDS).key_value(BUCKET)
        return await _values(bucket)
    except nats.js.errors.NotFoundError:
        return []
    except (nats.errors.Error, OSError) as error:
        reason = str(error) or type(error).__name__
        raise FleetError(f"no status could be read from {','.join(servers)}: {reason}") from None
    finally:
        await client.close()


async def _values(bucket: Any) -> list[Replica]:
    watcher = await bucket.watchall(ignore_deletes=True)
    found = []
    try:
        # The end of what is in the bucket now is None.
        while (entry := await watcher.updates(timeout=_SECONDS)) is not None:
            if replica := Replica.read(entry.value or b""):
                found.append(replica)
    finally:
        await watcher.stop()
    return found
