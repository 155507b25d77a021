"""Predictions that the real service recorded, for the commands that read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.predictor.live import Live


async def record(
    folder: Path,
    versions: Mapping[int, bytes],
    requests: Sequence[tuple[str, Any, Mapping[str, str]]],
    **settings: Any,
) -> Path:
    """Have each version answer the requests (path, body, headers), each id with the version before it; return the folder of the records."""
    records = folder / "records"
    asked = {"record_uri": str(records), "record_spool_dir": folder / "spool", **settings}
    live = Live(folder, **asked)
    async with live.on_socket(), live.service.recording.running():
        for number, model in versions.items():
            await live.serve(number, model)
            for path, body, headers in requests:
                named = {**headers, "x-request-id": f"{number}-{headers['x-request-id']}"}
                response = await live.client.post(path, json=body, headers=named)
                assert response.status_code == 200, response.text
    await live.close()
    return records
