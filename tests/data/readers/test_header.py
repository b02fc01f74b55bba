import io
import random

import pytest
from PIL import Image

from mdpseg.data.readers.header import jpeg_size, png_size, webp_size

SIZES = [(1, 1), (17, 5), (640, 480), (1, 3000)]


def encoded(size, kind, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (10, 200, 30)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_what_pillow_says(size):
    assert png_size(encoded(size, "PNG")) == size
    for options in ({}, {"progressive": True}, {"comment": b"\xff\xc0" * 9}, {"exif": b"Exif\0\0" + bytes(300)}):
        assert jpeg_size(encoded(size, "JPEG", **options)) == size
    for options in ({}, {"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}):
        assert webp_size(encoded(size, "WEBP", **options)) == size


def test_fill_bytes_before_a_marker():
    content = encoded((33, 22), "JPEG")
    assert jpeg_size(content[:2] + b"\xff\xff\xff" + content[2:]) == (33, 22)


@pytest.mark.parametrize("read, kind", [(png_size, "PNG"), (jpeg_size, "JPEG"), (webp_size, "WEBP")])
def test_any_cut_or_damage_gives_a_size_or_none(read, kind):
    content = bytearray(encoded((33, 22), kind))
    for length in range(min(len(content), 300)):
        assert read(bytes(content[:length])) in (None, (33, 22))
    source = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(5):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        size = read(bytes(damaged))
        assert size is None or (len(size) == 2 and min(size) >= 0)
    assert read(b"") is None


def test_an_image_without_a_frame_header():
    assert jpeg_size(b"\xff\xd8\xff\xda" + bytes(50)) is None
    assert jpeg_size(b"\xff\xd8" + b"\xff\xe0\x00\x00" * 1000) is None
    assert webp_size(b"RIFF\0\0\0\0WEBPJUNK" + bytes(50)) is None
