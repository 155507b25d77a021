"""TrackingServer: the only place that sends requests to MLflow servers, and to hosts of artifacts.

It asks for uncompressed answers and refuses others: a few kilobytes can be unpacked to gigabytes. It
reads at most as many bytes as its caller allows, and follows no redirect. Its errors are in words of
ours, because a library's may quote a header, which may hold a secret.
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
_MOST_CAUSES = 10
_NOBODY = "a client without credentials"
WORKSPACE = "X-MLFLOW-WORKSPACE"


class Reply(NamedTuple):
    """An answer's status and its whole body."""

    status: int
    content: bytes


class TrackingServer:
    """One server, and what it is asked with: credentials, workspace, proxy."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        user: str = _NOBODY,
        secrets: tuple[str, ...] = (),
        proxy: Proxy | None = None,
    ) -> None:
        """`user` is who asks, for errors; `secrets` are never repeated, whatever a server says."""
        self._client = client
        self._secrets = [each for each in (*secrets, *(proxy.secrets if proxy else ())) if each]
        self._via = f" through {proxy}" if proxy else ""
        # Errors name it, and operators read them: a password in it stays out.
        self.address = str(client.base_url.copy_with(userinfo=b"")).rstrip("/")
        self.user = user

    @property
    def base_url(self) -> httpx.URL:
        """Its address, as it was set."""
        return self._client.base_url

    def named(self, path: str) -> str:
        """The URL of a path and the proxy on the way to it, for errors."""
        return f"{self.address}{path}{self._via}"

    def shown(self, text: str) -> str:
        """What a server said, fit for an error: short, printable, without our secrets."""
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
        """Ask for a path, or for an absolute URL.

        The whole answer has to come within `seconds`, where they are given. Raises
        RegistryUnreachable, or RegistryInvalidResponse for an answer that is compressed or larger than
        `max_bytes`.
        """
        named = self.named(path)
        try:
            # The client's own limits are for each step; a server that sends a byte a second
            # keeps every one of them.
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
                    named, "it is compressed (Content-Encoding), which was not asked for"
                )
            # Raw: nothing is unpacked.
            async for chunk in response.aiter_raw(_CHUNK):
                content += chunk
                if len(content) > max_bytes:
                    raise TooLarge(named, max_bytes)
        return Reply(response.status_code, bytes(content))


class TooLarge(RegistryInvalidResponse):
    """An answer of more bytes than are wanted."""

    def __init__(self, named: str, max_bytes: int) -> None:
        super().__init__(named, f"it is larger than {max_bytes:,} bytes")


def tracking_server(settings: Settings, *, seconds: float = _STEP_SECONDS) -> TrackingServer:
    """The registry, with MLflow's own credentials. Raises SettingsError for certificates and proxies.

    It waits `seconds` at most for each step of a request.
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
    """Another host of artifacts that the settings allow, asked without the registry's credentials."""
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
        # Each question stands alone; cookies would only be a way to fill memory.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # What the environment says of proxies and certificates is read by us, and checked.
        trust_env=False,
        proxy=httpx.Proxy(proxy.url) if proxy else None,
    )


def _reason(error: BaseException) -> str:
    """Why no answer came, in our words, with the error's type for whoever searches for it."""
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
            return "what it sent is cut off or not HTTP"
    return "the connection failed"


def _known_cause(error: BaseException) -> str | None:
    """What the system or OpenSSL says; neither knows of headers."""
    said = None
    match error:
        case ssl.SSLCertVerificationError():
            said = f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            said = f"no TLS: {(error.reason or 'cut off').replace('_', ' ').lower()}"
        case socket.gaierror():
            said = f"its name cannot be resolved: {error.strerror}"
        case httpx.ProxyError():
            status = re.match(r"\d{3}\b", str(error))
            said = f"the proxy answers HTTP {status[0]}" if status else "the proxy opens no tunnel"
        case OSError(errno=int(code)):
            said = os.strerror(code)
    return said


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, the innermost last."""
    found: list[BaseException] = [error]
    for each in found:
        yield each
        inner = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        before = each.__cause__ or each.__context__
        found += [*inner, *([before] if before else [])][: _MOST_CAUSES - len(found)]
