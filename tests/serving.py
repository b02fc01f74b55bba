"""A real server in a process of its own, and how tests reach it."""

from __future__ import annotations

import base64
import io
import os
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from mdpseg.data.toy import ToyWorld
from tests import processes


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: where it listens.
        http: asks it; addresses start at its own.
        run: what it serves.
        stderr: file with what it said.
        temporary: its folder for temporary files.
    """

    url: str
    http: httpx.Client
    run: Path
    stderr: Path
    temporary: Path

    def segment(self, image: Image.Image | bytes, session: str | None = None, **fields: Any) -> httpx.Response:
        return self.post("segment", image, session, **fields)

    def post(self, path: str, image: Image.Image | bytes, session: str | None = None, **fields: Any) -> httpx.Response:
        headers = {"X-Mdpseg-Session": session} if session else {}
        content = image if isinstance(image, bytes) else png(image)
        return self.http.post(f"/api/{path}", files={"image": ("x.png", content)}, data=fields, headers=headers)


@contextmanager
def served(run: Path, folder: Path, *options: object) -> Iterator[Served]:
    """``mdpseg serve RUN`` on a free port, until the block ends."""
    port, stderr, temporary = processes.free_port(), folder / "stderr", folder / "temporary"
    temporary.mkdir()
    arguments = ("serve", run, "--port", port, "--device", "cpu", *options)
    process = processes.start(*arguments, stderr=stderr, environment={"TMPDIR": str(temporary)})
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=120) as client:
        processes.wait_for(lambda: _answers(client), process)
        assert process.is_alive(), stderr.read_text()
        yield Served(url, client, run, stderr, temporary)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    assert processes.finish(process, 30) == 0
    assert "Traceback" not in stderr.read_text()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/health").is_success
    except httpx.TransportError:
        return False


def world_image(world: str, number: int = 0, size: tuple[int, int] = (64, 96)) -> Image.Image:
    """A photograph of an embedded world."""
    sample = ToyWorld(world, split="val", count=number + 1, size=size)[number]
    return Image.fromarray(sample.image.permute(1, 2, 0).numpy())


def png(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def ids_of(answer: httpx.Response) -> np.ndarray:
    """The pixel values of a PNG, [H, W]; of a palette PNG the indices."""
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def ids_in(found: dict[str, Any]) -> np.ndarray:
    """The ids in an answer as JSON, [h, w]."""
    packed = zlib.decompress(base64.b64decode(found["ids"]["data"]))
    return np.frombuffer(packed, "<u2").reshape(found["ids"]["height"], found["ids"]["width"])
