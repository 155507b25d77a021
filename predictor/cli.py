"""`python -m predictor`: read and check the settings, then serve, or start the supervisor of workers."""

import os
import socket
import sys
from collections.abc import Sequence

from pydantic import SecretStr

from predictor import __version__, logs
from predictor.errors import SettingsError
from predictor.http.listeners import allow, listen, listen_together
from predictor.log_events import CANNOT_LISTEN, STARTING, UNKNOWN_SETTING
from predictor.settings import Settings, variable
from predictor.settings_checks import check, unknown_variables

_WRONG = 2  # exit code


def main(arguments: Sequence[str] = (), program: str = "python -m predictor") -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code. The only arguments are `--help` and `--version`."""
    if arguments:
        return _answer(arguments, program)
    try:
        settings = Settings.read()
        check(settings)
        logs.set_up(settings.log_level)
        for name, similar in unknown_variables(os.environ).items():
            UNKNOWN_SETTING.log(variable=name, similar=similar)
        allow((1 if settings.grpc_port is None else 2) * settings.max_connections)
        listeners = _listen(settings)
    except SettingsError as error:
        return _report(error)
    if not listeners:
        return 1
    # Each branch imports only what it needs: a supervisor handles no requests and stays small.
    if settings.workers > 1:
        from predictor.workers import supervisor

        _log_start(settings, listeners[0])
        return supervisor.run(settings, listeners)
    from predictor.service import compose, serve

    try:
        service = compose(settings)
    except SettingsError as error:
        return _report(error)
    _log_start(settings, listeners[0])
    return serve(service, listeners[0])


def _answer(arguments: Sequence[str], program: str) -> int:
    """Answer `--help` and `--version`; refuse all else, because the service would ignore it."""
    if list(arguments) == ["--version"]:
        sys.stdout.write(f"mlflow-hotswap {__version__}\n")
        return 0
    if list(arguments) in (["--help"], ["-h"]):
        sys.stdout.write(_help(program))
        return 0
    # Without its value, which may be a secret.
    name = arguments[0].partition("=")[0]
    return _report(
        SettingsError(
            f"`{name}` is no argument of this command: settings are environment variables, such as "
            f"PREDICTOR_PORT=8001. `{program} --help` lists them, as docs/settings.md does; "
            "`--version` prints the version"
        )
    )


def _help(program: str) -> str:
    lines = [
        f"usage: {program} [--help | --version]",
        "",
        "Serve the model version that MLflow's registry names. Settings are environment variables:",
        "",
    ]
    for name, field in Settings.model_fields.items():
        has_default = field.default not in (None, "", SecretStr(""))
        default = f"  [{str(field.default).lower()}]" if has_default else ""
        lines.append(f"{variable(name)}{default}\n    {field.description}")
    return "\n".join(lines) + "\n"


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


def _log_start(settings: Settings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.tls_certificate else "http"
    STARTING.log(
        version=__version__,
        address=f"{scheme}://{host}:{port}",
        grpc_address=settings.grpc_port and f"{host}:{settings.grpc_port}",
        workers=settings.workers,
        model_uri=settings.model_uri,
        registry=settings.tracking_uri,
        approvers_file=str(settings.approvers_file) if settings.approvers_file else None,
    )


def _report(error: SettingsError) -> int:
    # A single line, even if a path in the message has line breaks.
    line = "".join(each if each.isprintable() else "?" for each in str(error))
    sys.stderr.write(f"mlflow-hotswap: {line}\n")
    return _WRONG
