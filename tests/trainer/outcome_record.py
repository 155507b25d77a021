"""A record of predictions and outcomes, written by the service's own code from given values."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from predictor.recording.frames import OutcomesFrame, RecordedFeature, RowsFrame, VersionFrame
from predictor.recording.sink import Sink
from predictor.recording.tables import outcome_tables, tables

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)  # a Monday


class Record:
    """The record in `folder`; each call writes a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sink = Sink(str(folder), folder)
        self._files = 0

    def _name(self) -> str:
        self._files += 1
        return f"{self._files:05}.parquet"

    def predictions(
        self,
        ids: Sequence[str],
        predictions: Sequence[Any],
        scores: Sequence[Sequence[float]] | None = None,
        *,
        model: str = "m",
        version: str = "1",
        classes: Sequence[Any] = ("benign", "malignant"),
        at: datetime = NOON,
        values: Sequence[float] | None = None,
        run_id: str | None = None,
        protocol: str = "predict",
        **described: Any,
    ) -> None:
        """Rows of one version with one feature, answered at one time."""
        features = [RecordedFeature("x", "float64")]
        frame = VersionFrame(
            model,
            version,
            f"run-{version}" if run_id is None else run_id,
            "d",
            features,
            [*classes],
            packed=False,
            **described,
        )
        rows = [[value] for value in values or range(len(ids))]
        answered = RowsFrame(
            0, at.timestamp(), [*ids], [None] * len(ids), [protocol] * len(ids), [1] * len(ids),
            rows, [*predictions], scores,
        )  # fmt: skip
        for described_version, day, table in tables([frame, answered]):
            self._sink.write(
                described_version.model_name,
                described_version.model_version,
                day,
                self._name(),
                table,
            )

    def outcomes(
        self, *outcomes: tuple[str, Any], at: datetime | None = None, days: float = 1
    ) -> None:
        """Outcomes of ids, reported at one time: `days` after the predictions."""
        now = at or NOON + timedelta(days=days)
        microseconds = round(now.timestamp() * 1e6)
        frame = OutcomesFrame(
            microseconds, None, [id_ for id_, _ in outcomes], [str(each) for _, each in outcomes],
            ["text"] * len(outcomes), [microseconds] * len(outcomes),
        )  # fmt: skip
        for day, table in outcome_tables([frame]):
            self._sink.write_outcomes(day, self._name(), table)
