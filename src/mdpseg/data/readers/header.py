"""What an image file says of its size, before anything is decoded.

A file of a few bytes may claim billions of pixels, and torchvision allocates what a JPEG or WebP claims.
"""

from __future__ import annotations

# An image is decoded whole, as 3 bytes a pixel, in each worker. The bound is Pillow's own.
MOST_PIXELS = 89_478_485

GREY, RGB, PALETTE, GREY_ALPHA = 0, 2, 3, 4  # the color types of a PNG

_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 without DHT, JPG and DAC
_BARE_MARKERS = {0x01, *range(0xD0, 0xDA)}  # without a length: TEM, RST0 to RST7, SOI, EOI
_START_OF_SCAN = 0xDA
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF, in both byte orders


def kind_of(content: bytes) -> str | None:
    """``PNG``, ``JPEG`` or ``WEBP`` by the first bytes, whatever the file's suffix; None for anything else."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"\xff\xd8"):
        return "JPEG"
    return "WEBP" if content.startswith(b"RIFF") and content[8:12] == b"WEBP" else None


def is_tiff(content: bytes) -> bool:
    """By the first bytes, whatever the file's suffix."""
    return content.startswith(_TIFF)


def other_kind_of(content: bytes) -> str | None:
    """The name of a picture format that is not read, by the first bytes; None for anything else."""
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if is_tiff(content):
        return "TIFF"
    # "BM" alone begins many a text; the four bytes from the seventh on are reserved, and 0
    return "BMP" if content.startswith(b"BM") and content[6:10] == bytes(4) else None


def png_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, or None if its header is not whole."""
    if len(content) < 24:
        return None
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG as its first frame header states them, or None if there is none."""
    place = 2  # behind the start of the image
    while True:
        place = content.find(b"\xff", place)
        if place < 0:
            return None
        while content[place : place + 1] == b"\xff":  # any number of them may stand before a marker
            place += 1
        marker = content[place] if place < len(content) else _START_OF_SCAN
        segment = content[place + 1 : place + 8]
        if marker in _FRAME_HEADERS and len(segment) == 7:
            return int.from_bytes(segment[5:7]), int.from_bytes(segment[3:5])
        if marker == _START_OF_SCAN or len(segment) < 2:
            return None
        bare = marker == 0 or marker in _BARE_MARKERS
        place += 1 if bare else 1 + max(2, int.from_bytes(segment[:2]))


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP, or None if its first chunk is not of a known kind."""
    kind, chunk = content[12:16], content[20:30]
    if len(chunk) < 10:
        return None
    if kind == b"VP8X":  # extended: 24 bits each, less one
        return 1 + int.from_bytes(chunk[4:7], "little"), 1 + int.from_bytes(chunk[7:10], "little")
    if kind == b"VP8L":  # lossless: 14 bits each, less one, behind a signature byte
        bits = int.from_bytes(chunk[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":  # lossy: 14 bits each, behind a frame tag and a start code
        return int.from_bytes(chunk[6:8], "little") & 0x3FFF, int.from_bytes(chunk[8:10], "little") & 0x3FFF
    return None
