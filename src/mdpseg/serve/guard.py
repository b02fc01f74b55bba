"""What stands before the application: who may ask, how much, and what a browser may do with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mdpseg.serve.images import RefusedError

LARGEST_BODY = 32 * 2**20
# Requests with work in them that are received, wait or run. Together with the largest body it bounds the memory.
MOST_AT_ONCE = 8
_SECONDS_TO_SEND = 60

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application around another.

    It answers only under known names, so that no foreign name can be pointed here (DNS rebinding); takes changes and
    work only from its own page or from programs, not from other sites' pages; reads bodies whole, up to a size; and
    takes a few requests at once.

    Args:
        app: what it guards.
        names: host names that it is known by. An address in digits is always taken: no foreign name is behind it.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self.app, self.names = app, {name.lower() for name in names}
        self._taken = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            self._check_origin(Headers(scope=scope))
            if scope["method"] in ("GET", "HEAD"):
                await self.app(scope, receive, send_with_headers)
            else:
                await self._work(scope, receive, send_with_headers)
        except RefusedError as refusal:
            later = {"Retry-After": "5"} if refusal.status == 503 else None
            answer = JSONResponse({"detail": str(refusal)}, refusal.status, later)
            await answer(scope, receive, send_with_headers)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._taken >= MOST_AT_ONCE:
            await _whole_body(receive, 0)  # else the sender meets a closed connection instead of the answer
            raise RefusedError(503, "Too many requests at once; try again in a few seconds.")
        self._taken += 1
        try:
            body = await _whole_body(receive, LARGEST_BODY)
            if body is None:
                raise RefusedError(
                    413, f"The request has more than {LARGEST_BODY >> 20} MB: send smaller or fewer images."
                )
            await self.app(scope, _replay(body, receive), send)
        finally:
            self._taken -= 1

    def _check_origin(self, headers: Headers) -> None:
        host = _host_name(headers.get("host", ""))
        if host is None or (host not in self.names and not _is_address(host)):
            raise RefusedError(
                421, f"This server does not answer to the name {host or ''!r}; mdpseg serve --allow NAME lets it."
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower():
            raise RefusedError(403, "Requests from other sites' pages are refused.")
        foreign = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        if foreign and headers.get("sec-fetch-mode") != "navigate":  # a link on another page may lead here
            raise RefusedError(403, "Requests from other sites' pages are refused.")


async def _whole_body(receive: Receive, most: int) -> bytes | None:
    """The body; None if it has more than ``most`` bytes. The rest of it is received, too, and thrown away.

    Raises:
        RefusedError: it does not come within a minute, or its sender is gone.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_SECONDS_TO_SEND):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(400, "The sender is gone.")
                size += len(message.get("body", b""))
                if size <= most:
                    parts.append(message.get("body", b""))
                elif parts:
                    parts = []
                if not message.get("more_body", False):
                    return b"".join(parts) if size <= most else None
    except TimeoutError:
        raise RefusedError(408, f"The request did not arrive within {_SECONDS_TO_SEND} seconds.") from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then what comes after it: that the sender is gone."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
