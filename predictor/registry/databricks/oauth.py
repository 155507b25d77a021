"""OAuth machine-to-machine of a Databricks service principal, with a client id and a secret.

https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m
"""

import asyncio
import base64
import time
from collections.abc import Callable
from http import HTTPStatus

import httpx
import msgspec

from predictor.errors import RegistryRefused, RegistryUnreachable
from predictor.registry.sign_in import AuthFlow

_TOKEN_PATH = "/oidc/v1/token"  # noqa: S105
_TOKEN_SECONDS = 3600  # the lifetime of a token, if a response does not say it
_RENEW_SECONDS = 60  # before a token expires


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float = _TOKEN_SECONDS


class _OAuthFault(msgspec.Struct):
    error: str = ""


class DatabricksOAuth(httpx.Auth):
    """Requests tokens with the client id and secret of a service principal, and sends them."""

    def __init__(
        self,
        address: str,
        client_id: str,
        client_secret: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds."""
        self._url = f"{address}{_TOKEN_PATH}"
        self._basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self._clock = clock
        self._one_request = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    async def async_auth_flow(self, request: httpx.Request) -> AuthFlow:
        """Request a token if there is none or it expires soon; once more if it is refused."""
        for last_try in (False, True):
            async with self._one_request:
                if not self._token or self._clock() >= self._renew_at:
                    self._take((yield self._token_request()))
            token = self._token
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if last_try or not _token_refused(response):
                return
            if token == self._token:  # else another request has renewed it
                self._token = ""

    def _token_request(self) -> httpx.Request:
        return httpx.Request(
            "POST",
            self._url,
            data={"grant_type": "client_credentials", "scope": "all-apis"},
            headers={"Authorization": f"Basic {self._basic}"},
        )

    def _take(self, response: httpx.Response) -> None:
        """Keep the token of a response. Raises RegistryError."""
        status = response.status_code
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RegistryUnreachable(self._url, f"HTTP {status}")
        try:
            if status != HTTPStatus.OK:
                fault = msgspec.json.decode(response.content, type=_OAuthFault).error
                raise RegistryRefused(self._url, status, _oauth_reason(fault))
            token = msgspec.json.decode(response.content, type=_Token)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise RegistryRefused(self._url, status, _oauth_reason("")) from None
        self._token = token.access_token
        margin = min(_RENEW_SECONDS, token.expires_in / 2)
        self._renew_at = self._clock() + token.expires_in - margin


def _token_refused(response: httpx.Response) -> bool:
    """Whether the token is invalid. A workspace also answers 403 for that, as for a missing permission."""
    if response.status_code == HTTPStatus.FORBIDDEN:
        return b"invalid access token" in response.content.lower()
    return response.status_code == HTTPStatus.UNAUTHORIZED


def _oauth_reason(fault: str) -> str:
    known = fault if fault.isascii() and fault.isidentifier() else "no token"
    return (
        f"{known}; check DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET, and that the service "
        "principal is in this workspace"
    )
