"""Files on http(s) servers: a session a process, retries with growing waits, and messages of one line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from mdpseg.errors import UserError

if TYPE_CHECKING:
    import requests

Value = TypeVar("Value")

TIMEOUT = (20.0, 60.0)  # seconds until connected; seconds without a byte
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between attempts
_PASSING = {408, 425, 429, 500, 502, 503, 504}

_sessions: dict[int, requests.Session] = {}  # by process: a connection must not be shared with a forked worker


class InterruptedTransferError(Exception):
    """The server, or the way to it, failed in a manner that may pass."""


@contextmanager
def opened(url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
    """A response whose body is read inside the block.

    Raises:
        InterruptedTransferError: connecting or reading failed, timed out or broke off, or the status may pass.
        UserError: any other status that is not a success, or an address that cannot be asked at all.
    """
    import requests
    import urllib3

    # Servers must send the bytes as they are: offsets and lengths are of those.
    asked = {"User-Agent": "mdpseg", "Accept-Encoding": "identity", **headers}
    session = _sessions.setdefault(os.getpid(), requests.Session())
    try:
        with session.get(url, headers=asked, stream=True, timeout=TIMEOUT) as response:
            if response.status_code in _PASSING:
                raise InterruptedTransferError(f"status {response.status_code}")
            if response.status_code not in (200, 206, 416):
                raise UserError(f"{url} was answered with status {response.status_code} ({response.reason}).")
            yield response
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise InterruptedTransferError(_reason(error)) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
        raise UserError(f"{url} cannot be read ({_reason(error)}); correct the address.") from error


def patiently(url: str, attempt: Callable[[], Value]) -> Value:
    """Calls ``attempt`` until it is not interrupted.

    Raises:
        UserError: it was interrupted each time.
    """
    for wait in WAITS:
        try:
            return attempt()
        except InterruptedTransferError:
            time.sleep(wait)
    try:
        return attempt()
    except InterruptedTransferError as error:
        raise UserError(
            f"{url} cannot be read after {len(WAITS) + 1} attempts ({error}); look at the server or the network, and "
            "go on later."
        ) from error


def read_small(url: str, most: int) -> bytes | None:
    """A whole file of at most ``most`` bytes, or None where the server has none (404).

    Raises:
        UserError: it is larger, or cannot be read.
    """

    def attempt() -> bytes | None:
        content = bytearray()
        with opened(url, {}) as response:
            for chunk in response.iter_content(2**20):
                content += chunk
                if len(content) > most:
                    raise UserError(f"{url} has more than {most} bytes, which no such file needs; it is not read.")
        return bytes(content)

    try:
        return patiently(url, attempt)
    except UserError as error:
        if "status 404" in str(error):
            return None
        raise


def read_range(url: str, offset: int, length: int) -> tuple[bytes, int | None]:
    """Some bytes of a file, and how many it has, where the server says so.

    Raises:
        UserError: the file is too short, the server does not answer range requests, or nothing can be read.
    """
    asked = {"Range": f"bytes={offset}-{offset + length - 1}"}

    def attempt() -> tuple[bytes, int | None]:
        with opened(url, asked) as response:
            start, total = content_range(response.headers.get("Content-Range", ""))
            if response.status_code != 206 or start != offset:
                raise UserError(
                    f"{url} was asked for bytes {offset} to {offset + length - 1} and answered with status "
                    f"{response.status_code}; a server that answers range requests is needed, and the whole file. "
                    "Copy the shards to a disk otherwise."
                )
            content = bytearray()
            for chunk in response.iter_content(2**16):
                content += chunk
                if len(content) > length:
                    break
        if len(content) != length:
            raise InterruptedTransferError(f"{len(content)} bytes instead of {length}")
        return bytes(content), total

    return patiently(url, attempt)


def content_range(header: str) -> tuple[int | None, int | None]:
    """First byte and total size from ``bytes 0-99/1234``; None for what it does not say."""
    unit, _, rest = header.partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    if unit.strip().lower() != "bytes":
        return None, None
    return (int(start) if _is_number(start) else None), (int(total) if _is_number(total) else None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _reason(error: Exception) -> str:
    """The innermost cause, in one line: the outer ones print objects."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__ or getattr(cause, "reason", None)) and isinstance(
        inner, BaseException
    ):
        cause = inner
    return " ".join((str(cause) or type(cause).__name__).split())[:200]
