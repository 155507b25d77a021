"""A small file that is read repeatedly: invalid and hanging ones."""

import threading

import pytest

from predictor.keys import SmallFile


class Hanging(SmallFile):
    """A file whose read hangs until the test releases it."""

    def __init__(self, path):
        super().__init__(path, 100)
        self.answers = threading.Event()
        self.reads = 0

    def read(self):
        self.reads += 1
        self.answers.wait(60)
        return super().read()


def test_a_large_file_and_a_folder_are_refused(tmp_path):
    """The error has a reason."""
    (tmp_path / "large").write_bytes(b"x" * 101)
    (tmp_path / "right").write_bytes(b"x" * 100)
    assert SmallFile(tmp_path / "right", 100).read() == b"x" * 100
    for name, reason in (("large", "larger than 100"), ("gone", "No such"), (".", "directory")):
        with pytest.raises(OSError, match=reason):
            SmallFile(tmp_path / name, 100).read()


async def test_a_hanging_file_is_reported_and_blocks_one_thread(tmp_path):
    """For any number of reads. It is read when the folder responds again."""
    file = Hanging(tmp_path / "keys")
    file.path.write_bytes(b"content")
    for _ in range(3):
        with pytest.raises(TimeoutError) as caught:
            await file.latest()
        assert "not read within" in caught.value.strerror
    assert file.reads == 1
    file.answers.set()
    assert await file.latest() == b"content"
    assert await file.latest() == b"content"
    assert file.reads == 2
