"""Credentials that are not plain settings: a token in a file, and plugins that sign requests in.

Neither needs httpx, so that a supervisor checks them without it.
"""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from predictor.errors import SettingsError
from predictor.keys import SmallFile, read_small_file
from predictor.log_events import TOKEN_NOT_READ, TOKEN_READ
from predictor.settings import Settings
from predictor.tracking_settings import token_fault

_FILE_VARIABLE = "MLFLOW_TRACKING_TOKEN_FILE"
_PLUGIN_VARIABLE = "MLFLOW_TRACKING_AUTH"
_MAX_TOKEN_BYTES = 65_536
PLUGINS = "mlflow_hotswap.auth"
"""The group of entry points. Each names a callable without arguments that returns an `httpx.Auth`."""
KUBERNETES = "kubernetes"
"""As in MLflow's client: the token of the pod's service account."""
SHIPPED = ("databricks", KUBERNETES)
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def check_credentials(settings: Settings) -> None:
    """Raise SettingsError for a token file that cannot be used, or a plugin that is not installed."""
    token_file(settings)
    if settings.tracking_auth and settings.tracking_auth not in SHIPPED:
        find_plugin(settings.tracking_auth)


def token_file(settings: Settings) -> "TokenFile | None":
    """The file whose token is sent, if the settings name one. Raises SettingsError if it cannot be used."""
    if settings.tracking_token_file is not None:
        return TokenFile(settings.tracking_token_file, _FILE_VARIABLE)
    if settings.tracking_auth == KUBERNETES:
        return TokenFile(_SERVICE_ACCOUNT, f"{_PLUGIN_VARIABLE}={KUBERNETES}")
    return None


def find_plugin(name: str) -> EntryPoint:
    """The entry point of a plugin; nothing of it is imported. Raises SettingsError for an unknown name."""
    installed = entry_points(group=PLUGINS)
    found = next(iter(installed.select(name=name)), None)
    if found is None and name == f"{KUBERNETES}-namespaced":
        raise SettingsError(
            f"{_PLUGIN_VARIABLE}: this service has no {name!r}; set {_PLUGIN_VARIABLE}={KUBERNETES}, and "
            "MLFLOW_WORKSPACE to the namespace"
        )
    if found is None:
        names = ", ".join(sorted({*SHIPPED, *installed.names}))
        raise SettingsError(
            f"{_PLUGIN_VARIABLE}: there is no {name!r}; installed are: {names}. A package adds one by an "
            f"entry point in the group `{PLUGINS}`; plugins of MLflow's own client are not used"
        )
    return found


class TokenFile:
    """A file with a bearer token, which may be replaced while the service runs."""

    def __init__(self, path: Path, setting: str = _FILE_VARIABLE) -> None:
        """Raises SettingsError for a file that cannot be read or holds no token. `setting` chose the file."""
        self.setting = setting
        self._file = SmallFile(path, _MAX_TOKEN_BYTES)
        self._fault: str | None = None
        try:
            #: The last token that was read.
            self.token = _token(read_small_file(path, _MAX_TOKEN_BYTES))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{setting}: {self._reason(error)}") from None

    async def latest(self) -> str:
        """The token in the file now; the previous one, and a log line, if the file cannot be used."""
        try:
            token = _token(await self._file.latest())
        except (OSError, ValueError) as error:
            reason = self._reason(error)
            TOKEN_NOT_READ.log(again=reason == self._fault, reason=reason)
            self._fault = reason
            return self.token
        if token != self.token or self._fault is not None:
            TOKEN_READ.log()
        self.token, self._fault = token, None
        return token

    def _reason(self, error: OSError | ValueError) -> str:
        detail = error.strerror if isinstance(error, OSError) else error
        return f"{self._file.path}: {detail}"


def _token(content: bytes) -> str:
    """The token of a file's content. Raises ValueError, which does not quote it."""
    token = content.decode("ascii", "replace").strip()
    if fault := token_fault(token) if token else "holds no token":
        raise ValueError(fault)
    return token
