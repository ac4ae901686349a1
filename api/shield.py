"""What stands before every route: who may ask, which headers leave, what an error looks like."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import ProblemError, too_large, unexpected
from api.rooms import Meters
from api.settings import is_loopback

log = structlog.get_logger(__name__)

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
        " connect-src 'self'; media-src 'self' blob:; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a form says Origin: null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}
NO_STORE: Final = "no-store"
HOSTS_MAX: Final = 100
"""Values of `Host` whose verdict is remembered: nearly all requests say the same one."""

Answer = Callable[[Request, ProblemError], Response]


class Shield:
    """The outermost layer. `answer` turns an error into JSON or a page.

    `public_url` is where a proxy before us is reached; other names are refused, loopback's aside.
    No body of more than `body_max` bytes is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        answer: Answer,
        meters: Meters,
        body_max: int,
        public_url: str | None = None,
    ) -> None:
        self.app = app
        self.answer = answer
        self.meters = meters
        self.body_max = body_max
        self.public_host = urlsplit(public_url).netloc if public_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        door = _Door(send)
        try:
            await self._served(scope, receive, door)
        finally:
            self._count(scope, door.status, time.perf_counter() - started)

    async def _served(self, scope: Scope, receive: Receive, door: _Door) -> None:
        refusal = _refusal(scope, self.public_host) or _too_much(scope, self.body_max)
        try:
            if refusal is None:
                await self.app(scope, _Slot(receive, self.body_max).receive, door)
                return
        except Exception:
            log.exception("request_failed", path=scope["path"])
            if door.status is not None:
                raise
            refusal = unexpected()
        response = self.answer(Request(scope, receive), refusal)
        await response(scope, receive, door)

    def _count(self, scope: Scope, status: int | None, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in {"GET", "POST"} else "other"
        self.meters.requests.labels(method, route, str(status or 0)).inc()
        self.meters.duration_s.labels(route).observe(duration_s)


class _Door:
    """The way out; adds the headers to whatever passes and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", NO_STORE)
        await self._send(message)


class _Slot:
    """The way in; counts a body that does not say its length, and ends it at the limit."""

    def __init__(self, receive: Receive, body_max: int) -> None:
        self._receive = receive
        self._body_max = body_max
        self._read_n = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._read_n += len(message.get("body", b""))
        if self._read_n > self._body_max:  # the one error that FastAPI lets through while it reads
            raise HTTPException(413, _more_than(self._body_max))
        return message


def _more_than(body_max: int) -> str:
    return f"The body is larger than {body_max:,} bytes."


def _too_much(scope: Scope, body_max: int) -> ProblemError | None:
    """A body that says how long it is, and is too long, is refused before it is read."""
    length = Headers(scope=scope).get("content-length", "0")
    too_long = length.isdecimal() and int(length[:20]) > body_max
    return too_large(_more_than(body_max)) if too_long else None


def _refusal(scope: Scope, public_host: str | None) -> ProblemError | None:
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if host != public_host and not _is_local_host(host):
        return ProblemError(
            421,
            "wrong-host",
            "This server does not answer to that name.",
            f"Use {public_host or 'http://127.0.0.1 or http://localhost with the right port'}.",
        )
    if scope["method"] not in {"GET", "HEAD"} and _is_foreign(headers):
        return ProblemError(
            403,
            "cross-site",
            "The request was sent by a page of another site.",
            "Send it from a program, or from a page of this server.",
        )
    return None


@lru_cache(HOSTS_MAX)
def _is_local_host(host: str) -> bool:
    """Names that only this machine has; a rebound domain name carries its own in Host."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return False
    name = parts.hostname
    return name in {"127.0.0.1", "localhost", "::1"} and is_loopback(name)


def _is_foreign(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return True
    return headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}
