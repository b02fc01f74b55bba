"""What a server refuses: with a message, without falling over, and without a trace on the disk."""

import socket
import struct
import zlib

import pytest
from PIL import Image

from tests import hostile
from tests.serving import ids_of, png, world_image

pytestmark = pytest.mark.slow

IMAGE = world_image("fine")
JPEG = png(world_image("fine"), "JPEG")


def png_that_claims(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def file_of(write, tmp_path) -> bytes:
    return write(tmp_path / "x").read_bytes()


@pytest.mark.parametrize(
    "content, status, message",
    [
        (b"<html><script>alert(1)</script></html>", 415, "not a JPEG, PNG or WebP"),
        (b"GIF89a" + bytes(100), 415, "not a JPEG, PNG or WebP"),
        (b"", 422, "empty"),
        (JPEG[: len(JPEG) // 2], 422, "truncated"),
        (png(IMAGE)[:-200], 422, "truncated"),
        (b"\x89PNG\r\n\x1a\n", 422, "header"),
        (png_that_claims(30_000, 30_000), 413, "30000x30000"),
        (png(Image.new("I;16", (8, 8))), 415, "16 bits"),
    ],
)
def test_what_is_no_image_is_refused(content, status, message, server):
    for path, fields in (("segment", {}), ("nearest", {"row": 0, "column": 0})):
        answer = server.post(path, content, **fields)
        assert answer.status_code == status
        assert message in answer.json()["detail"]


@pytest.mark.parametrize("bomb", [hostile.png_bomb, hostile.jpeg_bomb, hostile.webp_bomb])
def test_bombs_are_refused_by_their_header(bomb, server, tmp_path):
    answer = server.segment(file_of(bomb, tmp_path))
    assert answer.status_code == 413
    assert "pixels" in answer.json()["detail"]


def test_no_body_and_no_form(server):
    for answer in (
        server.http.post("/api/segment"),
        server.http.post("/api/segment", content=JPEG, headers={"Content-Type": "image/jpeg"}),
        server.http.post("/api/segment", content=b"--x\r\n", headers={"Content-Type": "multipart/form-data"}),
        server.http.post("/api/segment", data={"image": "text"}),
    ):
        assert answer.status_code in (400, 422)
        assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"taxonomy": "nowhere"}, "No prototypes of 'nowhere'"),
        ({"taxonomy": "coarse+coarse"}, "once"),
        ({"format": "exe"}, "format"),
        ({"opacity": "7"}, "opacity"),
    ],
)
def test_wrong_fields_are_named(fields, message, server):
    answer = server.segment(IMAGE, **fields)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


def test_a_body_of_100_mb_is_refused_and_not_kept(server):
    answer = server.segment(bytes(100 * 2**20))
    assert answer.status_code == 413
    assert "32 MB" in answer.json()["detail"]

    def pieces():  # without a length
        for _ in range(40):
            yield bytes(2**20)

    answer = server.http.post("/api/segment", content=pieces(), headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 413


def test_a_file_name_is_never_a_path(server):
    for name in ("../../../../etc/passwd", "/etc/passwd", "C:\\windows\\x.png", "<script>.png"):
        answer = server.http.post("/api/segment", files={"image": (name, png(IMAGE))}, data={"taxonomy": "coarse"})
        assert ids_of(answer).shape == (64, 96)
    for name in ("a\x00b.png", "x" * 20_000):
        answer = server.http.post("/api/segment", files={"image": (name, png(IMAGE))})
        assert answer.status_code in (200, 400)
    for path in ("/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2f..%2fcli.py", "//etc/passwd", "/page/"):
        assert server.http.get(path).status_code == 404


def test_large_uploads_leave_nothing_on_the_disk(server):
    noise = Image.effect_noise((1500, 1500), 100).convert("RGB")
    content = png(noise)
    assert len(content) > 2 * 2**20
    before = set(server.temporary.iterdir())
    assert server.segment(content, taxonomy="coarse").status_code == 200
    assert set(server.temporary.iterdir()) == before == set()


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8000"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Host": "localhost"}, 200),
        ({"Host": "LOCALHOST:1234"}, 200),
        ({"Host": "[::1]:99"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://[bad"}, 403),
    ],
)
def test_who_may_ask(headers, status, server):
    answer = server.http.get("/api/classes", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_another_sites_form_is_refused(server):
    files = {"image": ("x.png", png(IMAGE))}
    assert server.http.post("/api/segment", files=files, headers={"Origin": "http://evil.example"}).status_code == 403
    assert server.http.post("/api/segment", files=files, headers={"Origin": server.url}).status_code == 200
    preflight = server.http.options("/api/segment", headers={"Origin": "http://evil.example"})
    assert preflight.status_code == 403


def test_every_answer_has_the_browsers_orders(server):
    for path in ("/", "/docs", "/page/main.js", "/api/health", "/openapi.json", "/nothing"):
        headers = server.http.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


def test_too_many_at_once_are_told_to_come_back(server):
    port = int(server.url.rpartition(":")[2])
    head = f"POST /api/segment HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 1000\r\n\r\nslow".encode()
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    for connection in slow:
        connection.sendall(head)
    for connection in slow:
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    for _ in range(100):
        answer = server.segment(IMAGE, taxonomy="coarse")
        if answer.status_code == 503:
            break
    assert answer.status_code == 503
    assert "again" in answer.json()["detail"]
    assert answer.headers["retry-after"]
    assert server.http.get("/api/health").status_code == 200
    for connection in slow:
        connection.close()
    for _ in range(100):
        answer = server.segment(IMAGE, taxonomy="coarse")
        if answer.status_code == 200:
            break
    assert answer.status_code == 200


def test_it_segments_after_all_that(server):
    assert ids_of(server.segment(IMAGE, taxonomy="coarse")).shape == (64, 96)
    assert "Traceback" not in server.stderr.read_text()
