"""The socket between workers and the process: private, and found by all workers of one service."""

import os
import socket
import stat
import time

import pytest

from predictor.settings import Settings
from predictor.shadow.place import address, listen, socket_path


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    try:
        with address(path) as where:
            connection.connect(where)
    except OSError:
        connection.close()
        raise
    return connection


def settings(folder):
    return Settings(MLFLOW_TRACKING_URI="http://registry", cache_dir=folder)


def test_workers_of_one_service_have_one_socket(tmp_path):
    """Another service on the same folder has another one."""
    one = settings(tmp_path)
    assert socket_path(one, 12.5) == socket_path(one, 12.5)
    assert socket_path(one, 12.5) != socket_path(one, 12.75)


@pytest.mark.parametrize("folder", ["short", "a-folder-with-a-long-name/" * 8])
def test_only_this_user_may_use_it(tmp_path, folder):
    """Also where the path is longer than an address may be."""
    path = socket_path(settings(tmp_path / folder), 1.0)
    with listen(path) as listener, connect(path) as connection:
        accepted, _ = listener.accept()
        with accepted:
            connection.send(b"rows")
            assert accepted.recv(10) == b"rows"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_may_write_is_refused(tmp_path):
    """By both sides: another user could listen in place of the shadow."""
    path = socket_path(settings(tmp_path), 1.0)
    with listen(path):
        path.parent.chmod(0o777)
        with pytest.raises(PermissionError, match="others may write"):
            connect(path)
    with pytest.raises(PermissionError, match="others may write"):
        listen(path)


def test_without_a_process_there_is_no_connection(tmp_path):
    """Neither before its start, nor after it was killed."""
    path = socket_path(settings(tmp_path), 1.0)
    with pytest.raises(FileNotFoundError):
        connect(path)
    listen(path).close()
    with pytest.raises(ConnectionRefusedError):
        connect(path)
    with listen(path), connect(path):
        pass


def test_what_killed_services_left_is_removed_after_a_day(tmp_path):
    """And not what is in use."""
    old, new = (socket_path(settings(tmp_path), since) for since in (1.0, 2.0))
    for path, age in ((old, 90_000), (new, 10)):
        listen(path).close()
        os.utime(path, (time.time() - age,) * 2)
    listen(socket_path(settings(tmp_path), 3.0)).close()
    assert not old.exists()
    assert new.exists()
