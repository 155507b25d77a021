"""`python -m predictor`: read the settings, check them, then serve, or have workers serve."""

import ipaddress
import sys

from predictor import logs
from predictor.access import KINDS, Access
from predictor.errors import SettingsError
from predictor.http import listeners as descriptors
from predictor.http.listeners import listen, listen_together
from predictor.log_events import CANNOT_LISTEN
from predictor.proxy import Proxy
from predictor.registry.webhooks import check_webhook_secret
from predictor.settings import Settings, plain_host, variable
from predictor.settings_checks import check_grpc, check_traces, check_uvicorn
from predictor.tls import check_tls, registry_tls


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    try:
        settings = Settings.read()
        check_exposure(settings)
        Access.of(settings, logs.write)
        check_tls(settings)
        registry_tls(settings)
        for address in (settings.tracking_uri, *map(str, settings.other_hosts)):
            Proxy.of(address)
        check_uvicorn()
        check_traces(settings)
        check_grpc(settings)
        check_webhook_secret(settings.webhook_secret_file)
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


def check_exposure(settings: Settings) -> None:
    """Raise SettingsError where others than this machine could ask without a key."""
    missing = [variable(kind) for kind in KINDS if getattr(settings, kind) is None]
    if missing and not settings.allow_anonymous and not is_loopback(settings.host):
        raise SettingsError(
            f"PREDICTOR_HOST: others than this machine reach {settings.host}, and anybody could ask: "
            f"set {' and '.join(missing)} (`python -m predictor.keys NAME` makes a key), "
            "or PREDICTOR_ALLOW_ANONYMOUS=true"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address: 127.0.0.0/8, ::1 or localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(plain_host(host)).is_loopback
    except ValueError:
        return False
