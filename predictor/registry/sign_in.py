"""How requests to the registry are signed in: by user and password, by token, or by an `httpx.Auth`."""

import base64
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

from predictor.errors import SettingsError
from predictor.registry.credentials import KUBERNETES, TokenFile, find_plugin, token_file
from predictor.settings import Settings

AuthFlow = AsyncGenerator[httpx.Request, httpx.Response]


@dataclass(frozen=True)
class SignIn:
    """The credentials of every request to a server.

    `user` names the user in errors. `headers` are sent as they are; `auth` may add others to each request.
    `secrets` must not appear in errors.
    """

    user: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: httpx.Auth | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)


ANONYMOUS = SignIn("a client without credentials")


def sign_in(settings: Settings) -> SignIn:
    """The credentials that the settings choose. Raises SettingsError.

    User and password come before the token's file, and the file before the token. As in MLflow's client, a
    plugin gets requests with these credentials and may replace them.
    """
    plain = _plain(settings)
    name = settings.tracking_auth
    if name in {"", KUBERNETES}:
        return plain
    user = f"the sign-in `{name}`"
    if name == "databricks":
        from predictor.registry.databricks.oauth import DatabricksOAuth

        secret = settings.databricks_client_secret.get_secret_value()
        auth = DatabricksOAuth(settings.tracking_uri, settings.databricks_client_id, secret)
        return SignIn(user, auth=auth, secrets=(secret,))
    return SignIn(user, plain.headers, _plugin(name), plain.secrets)


def _plain(settings: Settings) -> SignIn:
    """User and password, or a token: MLflow's own variables."""
    if settings.tracking_username:
        password = settings.tracking_password.get_secret_value()
        basic = base64.b64encode(f"{settings.tracking_username}:{password}".encode()).decode()
        user = f"the user {settings.tracking_username}"
        return SignIn(user, {"Authorization": f"Basic {basic}"}, secrets=(basic, password))
    if file := token_file(settings):
        return SignIn(f"the token of {file.setting}", auth=TokenFileAuth(file))
    if token := settings.tracking_token.get_secret_value():
        user = "the token of MLFLOW_TRACKING_TOKEN"
        return SignIn(user, {"Authorization": f"Bearer {token}"}, secrets=(token,))
    return ANONYMOUS


def _plugin(name: str) -> httpx.Auth:
    found = find_plugin(name)
    try:
        auth = found.load()()
    except Exception as error:
        # Without its message, which may quote a secret.
        raise SettingsError(
            f"MLFLOW_TRACKING_AUTH: {found.value} of the plugin {name!r} failed ({type(error).__name__}); "
            "look at the plugin's own settings"
        ) from error
    if not isinstance(auth, httpx.Auth):
        raise SettingsError(
            f"MLFLOW_TRACKING_AUTH: {found.value} of the plugin {name!r} gives {type(auth).__name__}, "
            "and no httpx.Auth"
        )
    return auth


class TokenFileAuth(httpx.Auth):
    """Sends the token of a file, which is read again for each request."""

    def __init__(self, file: TokenFile) -> None:
        self._file = file

    async def async_auth_flow(self, request: httpx.Request) -> AuthFlow:
        """One request; a second one if it was refused and the file has another token since."""
        token = await self._file.latest()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED and token != await self._file.latest():
            request.headers["Authorization"] = f"Bearer {self._file.token}"
            yield request
