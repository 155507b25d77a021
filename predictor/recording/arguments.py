"""WriterArguments: what the service tells the writer."""

from typing import Any

import msgspec

from predictor.recording.spool import spool_folder
from predictor.settings import Settings


class WriterArguments(msgspec.Struct):
    """A line of JSON on the writer's stdin. `options` are those of fsspec."""

    spool: str
    uri: str
    options: dict[str, Any]
    days: int
    shutdown_seconds: int
    log_level: str

    @classmethod
    def of(cls, settings: Settings) -> "WriterArguments":
        """From the service's settings."""
        options = settings.s3_options if settings.record_uri.startswith("s3:") else {}
        return cls(
            str(spool_folder(settings)), settings.record_uri, options, settings.record_days,
            settings.shutdown_seconds, settings.log_level,
        )  # fmt: skip
