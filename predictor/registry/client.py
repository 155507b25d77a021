"""TrackingServer: the only place that sends requests to MLflow servers and to hosts of artifacts.

It requests uncompressed responses and refuses others: a few kilobytes can be unpacked to gigabytes. It
reads at most as many bytes as its caller allows, and follows no redirect. It writes its own error messages,
because a library's message may quote a header with a secret.
"""

import asyncio
import os
import re
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import aclosing
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple

import httpx

from predictor.errors import RegistryError, RegistryInvalidResponse, RegistryUnreachable
from predictor.proxy import Proxy
from predictor.registry.sign_in import ANONYMOUS, SignIn, sign_in
from predictor.settings import Settings
from predictor.tls import registry_tls

_STEP_SECONDS = 5.0  # for each step of a request
_CHUNK = 1 << 20  # bytes
_MAX_CAUSES = 10
_MAX_SIGN_IN_REQUESTS = 5  # for one request of ours
_SIGN_IN_BYTES = 65_536  # of a response to another request of an `httpx.Auth`, such as for a token
WORKSPACE = "X-MLFLOW-WORKSPACE"


class Reply(NamedTuple):
    """A response's status, its whole body and its header fields."""

    status: int
    content: bytes
    headers: httpx.Headers


class TrackingServer:
    """One server, with the credentials, workspace and proxy of its requests."""

    def __init__(
        self, client: httpx.AsyncClient, sign_in: SignIn = ANONYMOUS, *, proxy: Proxy | None = None
    ) -> None:
        self._client = client
        self._auth = sign_in.auth
        self._secrets = [
            each for each in (*sign_in.secrets, *(proxy.secrets if proxy else ())) if each
        ]
        # Credentials that an `httpx.Auth` sent lately: they change while the service runs.
        self._sent: deque[str] = deque(maxlen=8)
        self._via = f" through {proxy}" if proxy else ""
        # Errors have the address, and operators read them: without a password.
        self.address = str(client.base_url.copy_with(userinfo=b"")).rstrip("/")
        #: Names the user in errors.
        self.user = sign_in.user

    @property
    def base_url(self) -> httpx.URL:
        """The address from the settings."""
        return self._client.base_url

    def named(self, path: str) -> str:
        """The URL of a path, and the proxy, for errors; without a query, which may be a signature."""
        return f"{self.address}{path.partition('?')[0]}{self._via}"

    def shown(self, text: str) -> str:
        """A server's text, made safe for an error: short, printable, without our secrets.

        Secrets never appear in errors, even if a server repeats them.
        """
        for secret in (*self._secrets, *self._sent):
            text = text.replace(secret, "[secret]")
        return "".join(each if each.isprintable() else "?" for each in text[:500])

    async def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int,
        seconds: float | None = None,
    ) -> Reply:
        """GET a path, or an absolute URL. `seconds` limits the whole response; None for no limit.

        Raises RegistryUnreachable, or RegistryInvalidResponse for a response that is compressed or larger
        than `max_bytes`.
        """
        return await self._limited("GET", path, max_bytes, seconds, params=query, headers=headers)

    async def post(
        self, path: str, body: Mapping[str, Any], *, max_bytes: int, seconds: float
    ) -> Reply:
        """POST a JSON object; else as `get`."""
        return await self._limited("POST", path, max_bytes, seconds, json=body)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _limited(
        self, method: str, path: str, max_bytes: int, seconds: float | None, **content: Any
    ) -> Reply:
        named = self.named(path)
        try:
            request = self._client.build_request(method, path, **content)
            # The client's own limits are per step, so a server that sends one byte per second never
            # exceeds them.
            async with asyncio.timeout(seconds):
                return await self._signed_in(named, request, max_bytes)
        except RegistryError:
            raise
        except TimeoutError as error:
            raise RegistryUnreachable(named, f"no whole answer in {seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise RegistryUnreachable(named, _reason(error)) from error

    async def _signed_in(self, named: str, request: httpx.Request, max_bytes: int) -> Reply:
        """Send a request with all that its `httpx.Auth` sends before and after it.

        httpx would read the responses in between without a limit, and unpack them.
        """
        if self._auth is None:
            return await self._send(named, request, max_bytes)
        ours = request.url.copy_with(query=None)
        async with aclosing(self._auth.async_auth_flow(request)) as flow:
            following = await self._sign_in_step(named, anext(flow))
            for _ in range(_MAX_SIGN_IN_REQUESTS):
                if following is None:
                    raise RegistryUnreachable(named, f"{self.user} sends no request")
                self._remember(following)
                is_ours = following.url.copy_with(query=None) == ours
                limit = max_bytes if is_ours else _SIGN_IN_BYTES
                reply = await self._send(named, following, limit)
                response = httpx.Response(
                    reply.status, headers=reply.headers, content=reply.content, request=following
                )
                following = await self._sign_in_step(named, flow.asend(response))
                if following is None:
                    return reply
        raise RegistryUnreachable(
            named, f"{self.user} sends more than {_MAX_SIGN_IN_REQUESTS} requests to sign in"
        )

    def _remember(self, request: httpx.Request) -> None:
        """Keep what `shown` must hide; the same credentials once."""
        sent = request.headers.get("authorization", "").rpartition(" ")[2]
        if sent and sent not in self._sent:
            self._sent.append(sent)

    async def _sign_in_step(
        self, named: str, step: Awaitable[httpx.Request]
    ) -> httpx.Request | None:
        """The next request of an `httpx.Auth`; None after the last. Its errors become RegistryError."""
        try:
            return await step
        except StopAsyncIteration:
            return None
        except RegistryError:
            raise
        except Exception as error:
            # Without its message, which may quote a secret.
            reason = f"{self.user} failed to sign in ({type(error).__name__})"
            raise RegistryUnreachable(named, reason) from error

    async def _send(self, named: str, request: httpx.Request, max_bytes: int) -> Reply:
        request.headers["Accept-Encoding"] = "identity"
        content = bytearray()
        response = await self._client.send(request, stream=True, auth=None)
        async with aclosing(response):
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
        return Reply(response.status_code, bytes(content), response.headers)


class TooLarge(RegistryInvalidResponse):
    """A response has more bytes than its caller allows."""

    def __init__(self, named: str, max_bytes: int) -> None:
        super().__init__(named, f"it is larger than {max_bytes:,} bytes")


def tracking_server(settings: Settings, *, seconds: float = _STEP_SECONDS) -> TrackingServer:
    """The registry, with its credentials. Raises SettingsError for credentials, certificates and proxies.

    Each step of a request may take `seconds`.
    """
    signed = sign_in(settings)
    proxy = Proxy.of(settings.tracking_uri)
    client = _client(settings.tracking_uri, settings, proxy, registry_tls(settings), seconds)
    client.headers.update(signed.headers)
    return TrackingServer(client, signed, proxy=proxy)


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
