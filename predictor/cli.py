"""`python -m predictor`: read and check the settings, then serve, or start the supervisor of workers."""

import socket
import sys

from predictor import logs
from predictor.errors import SettingsError
from predictor.http.listeners import allow, listen, listen_together
from predictor.log_events import CANNOT_LISTEN
from predictor.settings import Settings
from predictor.settings_checks import check


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    try:
        settings = Settings.read()
        check(settings)
        logs.set_up(settings.log_level)
        allow((1 if settings.grpc_port is None else 2) * settings.max_connections)
        listeners = _listen(settings)
    except SettingsError as error:
        return _report(error)
    if not listeners:
        return 1
    # Each branch imports only what it needs: a supervisor handles no requests and stays small.
    if settings.workers > 1:
        from predictor.workers import supervisor

        return supervisor.run(settings, listeners)
    from predictor.service import compose, serve

    try:
        service = compose(settings)
    except SettingsError as error:
        return _report(error)
    return serve(service, listeners[0])


def _listen(settings: Settings) -> list[socket.socket]:
    """Open the sockets, one for each worker; none, and a log line, if that fails. Raises SettingsError."""
    host, port, workers = settings.host, settings.port, settings.workers
    try:
        listeners = [listen(host, port)] if workers == 1 else listen_together(host, port, workers)
        if settings.grpc_port is not None:
            port = settings.grpc_port
            # Only a check. gRPC binds its own sockets later; those of several workers would not notice
            # that another program has the port.
            listen(host, port).close()
    except OSError as error:
        CANNOT_LISTEN.log(host=host, port=port, reason=str(error))
        return []
    return listeners


def _report(error: SettingsError) -> int:
    # A single line, even if a path in the message has line breaks.
    line = "".join(each if each.isprintable() else "?" for each in str(error))
    sys.stderr.write(f"mlflow-hotswap: {line}\n")
    return 2
