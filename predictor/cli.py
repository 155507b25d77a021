"""`python -m predictor`: read the settings, check them, then serve, or have workers serve."""

import sys

from predictor import logs
from predictor.errors import SettingsError
from predictor.http import listeners as descriptors
from predictor.http.listeners import listen, listen_together
from predictor.log_events import CANNOT_LISTEN
from predictor.settings import Settings
from predictor.settings_checks import check


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    try:
        settings = Settings.read()
        check(settings)
    except SettingsError as error:
        return _wrong(error)
    logs.set_up(settings.log_level)
    ports = 1 if settings.grpc_port is None else 2
    descriptors.allow(ports * settings.max_connections)
    host, port, workers = settings.host, settings.port, settings.workers
    try:
        listeners = [listen(host, port)] if workers == 1 else listen_together(host, port, workers)
        if settings.grpc_port is not None:
            port = settings.grpc_port
            # gRPC binds sockets of its own, later, and those of workers would share it with anybody's.
            listen(host, port).close()
    except SettingsError as error:
        return _wrong(error)
    except OSError as error:
        CANNOT_LISTEN.log(host=host, port=port, reason=str(error))
        return 1
    # Each imports only what it needs: a supervisor, which serves nobody, is small.
    if workers > 1:
        from predictor.workers import supervisor

        return supervisor.run(settings, listeners)
    from predictor.service import compose, serve

    try:
        service = compose(settings)
    except SettingsError as error:
        return _wrong(error)
    return serve(service, listeners[0])


def _wrong(error: SettingsError) -> int:
    # One line, whatever a path has in it.
    line = "".join(each if each.isprintable() else "?" for each in str(error))
    sys.stderr.write(f"mlflow-hotswap: {line}\n")
    return 2
