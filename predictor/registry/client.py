"""TrackingServer: the only place that sends requests to MLflow servers and to hosts of artifacts.

It requests uncompressed responses and refuses others: a few kilobytes can be unpacked to gigabytes. It
reads at most as many bytes as its caller allows, and follows no redirect. It writes its own error messages,
because a library's message may quote a header with a secret.
"""

import asyncio
import base64
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import NamedTuple

import httpx

from predictor.errors import RegistryError, RegistryInvalidResponse, RegistryUnreachable
from predictor.proxy import Proxy
from predictor.settings import Settings
from predictor.tls import registry_tls

_STEP_SECONDS = 5.0  # for each step of a request
_CHUNK = 1 << 20  # bytes
_MAX_CAUSES = 10
_NOBODY = "a client without credentials"
WORKSPACE = "X-MLFLOW-WORKSPACE"


class Reply(NamedTuple):
    """A response's status and its whole body."""

    status: int
    content: bytes


class TrackingServer:
    """One server, with the credentials, workspace and proxy of its requests."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        user: str = _NOBODY,
        secrets: tuple[str, ...] = (),
        proxy: Proxy | None = None,
    ) -> None:
        """`user` names the user in errors; `secrets` never appear in errors, even if a server repeats them."""
        self._client = client
        self._secrets = [each for each in (*secrets, *(proxy.secrets if proxy else ())) if each]
        self._via = f" through {proxy}" if proxy else ""
        # Errors have the address, and operators read them: without a password.
        self.address = str(client.base_url.copy_with(userinfo=b"")).rstrip("/")
        self.user = user

    @property
    def base_url(self) -> httpx.URL:
        """The address from the settings."""
        return self._client.base_url

    def named(self, path: str) -> str:
        """The URL of a path, and the proxy, for errors."""
        return f"{self.address}{path}{self._via}"

    def shown(self, text: str) -> str:
        """A server's text, made safe for an error: short, printable, without our secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return "".join(each if each.isprintable() else "?" for each in text[:500])

    async def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        max_bytes: int,
        seconds: float | None = None,
    ) -> Reply:
        """GET a path, or an absolute URL. `seconds` limits the whole response; None for no limit.

        Raises RegistryUnreachable, or RegistryInvalidResponse for a response that is compressed or larger
        than `max_bytes`.
        """
        named = self.named(path)
        try:
            # The client's own limits are per step, so a server that sends one byte per second never
            # exceeds them.
            async with asyncio.timeout(seconds):
                return await self._get(named, path, query, max_bytes)
        except RegistryError:
            raise
        except TimeoutError as error:
            raise RegistryUnreachable(named, f"no whole answer in {seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise RegistryUnreachable(named, _reason(error)) from error

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _get(
        self, named: str, path: str, query: Mapping[str, str] | None, max_bytes: int
    ) -> Reply:
        content = bytearray()
        headers = {"Accept-Encoding": "identity"}
        async with self._client.stream("GET", path, params=query, headers=headers) as response:
            encoding = response.headers.get("content-encoding", "").strip().lower()
            if encoding not in {"", "identity"}:
                raise RegistryInvalidResponse(
                    named,
                    "it is compressed (Content-Encoding), but the request allows no compression",
                )
            # Raw bytes are never decompressed.
            async for chunk in response.aiter_raw(_CHUNK):
                content += chunk
                if len(content) > max_bytes:
                    raise TooLarge(named, max_bytes)
        return Reply(response.status_code, bytes(content))


class TooLarge(RegistryInvalidResponse):
    """A response has more bytes than its caller allows."""

    def __init__(self, named: str, max_bytes: int) -> None:
        super().__init__(named, f"it is larger than {max_bytes:,} bytes")


def tracking_server(settings: Settings, *, seconds: float = _STEP_SECONDS) -> TrackingServer:
    """The registry, with MLflow's own credentials. Raises SettingsError for certificates and proxies.

    Each step of a request may take `seconds`.
    """
    user, headers = _NOBODY, dict[str, str]()
    secrets: tuple[str, ...] = ()
    if settings.tracking_username:
        password = settings.tracking_password.get_secret_value()
        basic = base64.b64encode(f"{settings.tracking_username}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {basic}"
        user = f"the user {settings.tracking_username}"
        secrets = (basic, password)
    elif token := settings.tracking_token.get_secret_value():
        headers["Authorization"] = f"Bearer {token}"
        user, secrets = "the token of MLFLOW_TRACKING_TOKEN", (token,)
    proxy = Proxy.of(settings.tracking_uri)
    client = _client(settings.tracking_uri, settings, proxy, registry_tls(settings), seconds)
    client.headers.update(headers)
    return TrackingServer(client, user=user, secrets=secrets, proxy=proxy)


def artifact_server(address: str, settings: Settings) -> TrackingServer:
    """Another host of artifacts that the settings allow, without the registry's credentials."""
    proxy = Proxy.of(address)
    tls = registry_tls(settings, own=False)
    return TrackingServer(_client(address, settings, proxy, tls, _STEP_SECONDS), proxy=proxy)


def _client(
    address: str, settings: Settings, proxy: Proxy | None, tls: ssl.SSLContext, seconds: float
) -> httpx.AsyncClient:
    workspace = {WORKSPACE: settings.workspace} if settings.workspace else {}
    return httpx.AsyncClient(
        base_url=address,
        headers=workspace,
        timeout=seconds,
        verify=tls,
        follow_redirects=False,
        # Requests are independent; cookies would only fill memory.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # Settings read and check the environment's proxies and certificates.
        trust_env=False,
        proxy=httpx.Proxy(proxy.url) if proxy else None,
    )


def _reason(error: BaseException) -> str:
    """Why there is no response, with the error's type to search for."""
    return f"{_in_words(error)} ({type(error).__name__})"


def _in_words(error: BaseException) -> str:
    found = next(filter(None, map(_known_cause, _causes(error))), None)
    if found:
        return found
    match error:
        case httpx.TimeoutException():
            return "no answer in time"
        case httpx.LocalProtocolError() | httpx.InvalidURL() | ValueError():
            return "the request could not be written; look at the address and the credentials"
        case httpx.RemoteProtocolError():
            return "the response is cut off or not HTTP"
    return "the connection failed"


def _known_cause(error: BaseException) -> str | None:
    """The message of the system or of OpenSSL, which cannot quote headers."""
    message = None
    match error:
        case ssl.SSLCertVerificationError():
            message = f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            message = f"no TLS: {(error.reason or 'cut off').replace('_', ' ').lower()}"
        case socket.gaierror():
            message = f"its name cannot be resolved: {error.strerror}"
        case httpx.ProxyError():
            status = re.match(r"\d{3}\b", str(error))
            message = (
                f"the proxy answers HTTP {status[0]}" if status else "the proxy opens no tunnel"
            )
        case OSError(errno=int(code)):
            message = os.strerror(code)
    return message


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes, the innermost last."""
    found: list[BaseException] = [error]
    for each in found:
        yield each
        inner = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        before = each.__cause__ or each.__context__
        found += [*inner, *([before] if before else [])][: _MAX_CAUSES - len(found)]
