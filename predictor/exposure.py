"""Exposure: a service that anybody may ask is for its own machine, unless somebody says otherwise."""

import ipaddress

from predictor.access import KINDS
from predictor.errors import SettingsError
from predictor.settings import Settings, plain_host, variable


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
