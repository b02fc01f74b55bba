"""A real HTTP server on this machine that serves a folder, answers range requests, and can be told to misbehave."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's acknowledgement
    server: Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        for fault in self.server.faults:
            if fault(self):
                return
        self.serve()

    def serve(self, ranges: bool = True, etag: str | None = '"one"') -> None:
        """The file, or the asked part of it."""
        path = self.server.root / self.path.lstrip("/")
        if not path.is_file():
            self.status(404)
            return
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if ranges else None
        if asked and self.headers.get("If-Range", etag) != etag:
            asked = None
        if asked is None:
            self.send(200, path.read_bytes(), etag)
            return
        start = int(asked[1])
        end = min(int(asked[2] or size - 1), size - 1)
        if start > end:
            self.send(416, b"", etag, f"bytes */{size}")
            return
        with path.open("rb") as file:
            file.seek(start)
            self.send(206, file.read(end + 1 - start), etag, f"bytes {start}-{end}/{size}")

    def content(self) -> bytes | None:
        path = self.server.root / self.path.lstrip("/")
        return path.read_bytes() if path.is_file() else None

    def send(
        self, status: int, body: bytes, etag: str | None = None, span: str | None = None, length: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if etag:
            self.send_header("ETag", etag)
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        self.wfile.write(body)
        if length is not None and length != len(body):
            self.close_connection = True

    def status(self, number: int) -> None:
        self.send(number, b"no")


Fault = Callable[[Handler], bool]


class Server(ThreadingHTTPServer):
    """Attributes: url; asked: path and Range of each request; faults: one that answers instead returns True."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, str | None]] = []
        self.faults: list[Fault] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    server = Server(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def times(count: int, fault: Fault) -> Fault:
    """The fault, for so many requests."""
    left = [count]

    def limited(handler: Handler) -> bool:
        left[0] -= 1
        return left[0] >= 0 and fault(handler)

    return limited


def answers(status: int) -> Fault:
    def fault(handler: Handler) -> bool:
        handler.status(status)
        return True

    return fault


def ignores_ranges(handler: Handler) -> bool:
    handler.serve(ranges=False)
    return True


def hangs(seconds: float) -> Fault:
    def fault(handler: Handler) -> bool:
        time.sleep(seconds)
        handler.close_connection = True
        return True

    return fault


def breaks_off(after: int) -> Fault:
    """Says the true length, sends so many bytes, and hangs up."""

    def fault(handler: Handler) -> bool:
        content = handler.content() or b""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        part = content[start : int(asked[2]) + 1 if asked and asked[2] else None]
        span = f"bytes {start}-{start + len(part) - 1}/{len(content)}" if asked else None
        handler.send(206 if asked else 200, part[:after], '"one"', span, length=len(part))
        return True

    return fault


def says_length(difference: int) -> Fault:
    """Says that the file is so many bytes longer (or shorter) than it is."""

    def fault(handler: Handler) -> bool:
        content = handler.content() or b""
        handler.send(200, content, None, length=len(content) + difference)
        return True

    return fault


def redirects_to(place: str) -> Fault:
    def fault(handler: Handler) -> bool:
        if handler.path == place:
            return False
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return fault
