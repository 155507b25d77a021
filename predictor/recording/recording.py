"""Recording: the recorder of a service's process, its metrics, and the process of the writer."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec

from predictor.errors import SettingsError
from predictor.keys import read_small_file
from predictor.log_events import RECORD_WRITER_ENDED, RECORDS_DROPPED
from predictor.recording.arguments import WriterArguments
from predictor.recording.recorder import Omissions, Recorder
from predictor.recording.spool import Spool, spool_folder
from predictor.settings import Settings

_LOOK_SECONDS = 1.0
_RESTART_SECONDS = (1.0, 60.0)  # after the writer ended: the first, and the longest, pause
_GRACE_SECONDS = 2.0
_MAX_KEY_BYTES = 4096
_MIN_KEY_BYTES = 16


class Recording:
    """Records within `running`. `keep` is for the batcher."""

    def __init__(
        self,
        settings: Settings,
        observe: Callable[[Mapping[str, int], int, float], None],
        *,
        starts_writer: bool,
    ) -> None:
        """`observe` is called every second with the fields of `State`. Of several workers, one starts the writer. Raises SettingsError."""
        self._settings = settings
        self._observe = observe
        self._starts_writer = starts_writer
        self.keep = Recorder(
            _spool(settings),
            settings.record_when_full,
            percent=settings.record_percent,
            omissions=omissions(settings),
        )
        self._writer: Process | None = None
        self._is_full = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Close files in time, and keep the writer running; at the end wait until it has written what is left."""
        tasks = [asyncio.create_task(self._close_files())]
        if self._starts_writer:
            tasks.append(asyncio.create_task(self._keep_writing()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._look(0)
            await self._end_writer()

    async def _close_files(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._look(self._settings.record_seconds)

    def _look(self, older_than: float) -> None:
        state = self.keep.close_file(older_than)
        self._observe(state.rows, state.bytes_waiting, state.seconds_waiting)
        dropped, refused = state.rows.get("dropped", 0), state.rows.get("refused", 0)
        if dropped or refused:
            RECORDS_DROPPED.log(again=self._is_full, dropped=dropped, refused=refused)
            self._is_full = True
        elif state.rows.get("recorded"):
            self._is_full = False

    async def _keep_writing(self) -> None:
        first, longest = _RESTART_SECONDS
        pause = first
        while True:
            self._writer = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "predictor.recording.writer", stdin=PIPE
            )
            if self._writer.stdin is not None:
                arguments = msgspec.json.encode(WriterArguments.of(self._settings))
                self._writer.stdin.write(arguments + b"\n")
            started = asyncio.get_running_loop().time()
            code = await self._writer.wait()
            if asyncio.get_running_loop().time() - started > longest:
                pause = first
            RECORD_WRITER_ENDED.log(code=code, retry_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(longest, 2 * pause)

    async def _end_writer(self) -> None:
        """Tell the writer that this process ends, and wait for it; a writer that hangs is killed."""
        writer = self._writer
        if writer is None or writer.returncode is not None:
            return
        if writer.stdin is not None:
            writer.stdin.close()
        try:
            async with asyncio.timeout(self._settings.shutdown_seconds + _GRACE_SECONDS):
                await writer.wait()
        except TimeoutError:
            writer.kill()
            await writer.wait()


def _spool(settings: Settings) -> Spool:
    folder = spool_folder(settings)
    try:
        return Spool(folder, settings.record_max_bytes)
    except OSError as error:
        raise SettingsError(
            f"PREDICTOR_RECORD_SPOOL_DIR: {folder} cannot be made: {error.strerror}"
        ) from None


def omissions(settings: Settings) -> Omissions:
    """The features whose values are not recorded. Raises SettingsError for hashes without a key."""
    found = Omissions.parse(settings.record_omit)
    if not found.hashed:
        return found
    path = settings.record_hash_key_file
    if path is None:
        raise SettingsError(
            "PREDICTOR_RECORD_OMIT asks for a hash, and PREDICTOR_RECORD_HASH_KEY_FILE names no file with its key"
        )
    return Omissions.parse(settings.record_omit, _key(path))


def _key(path: Path) -> bytes:
    try:
        key = read_small_file(path, _MAX_KEY_BYTES).strip()
    except OSError as error:
        raise SettingsError(f"PREDICTOR_RECORD_HASH_KEY_FILE: {path}: {error.strerror}") from None
    if len(key) < _MIN_KEY_BYTES:
        raise SettingsError(
            f"PREDICTOR_RECORD_HASH_KEY_FILE: {path}: a key of at least {_MIN_KEY_BYTES} bytes is needed"
        )
    return key
