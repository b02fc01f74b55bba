"""Files that were made to do harm, each as small as it can be."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file


class Payload:
    """Makes the file ``marker`` when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def pickled_weights(path: Path, marker: Path, old: bool = False) -> Path:
    torch.save({"state": Payload(marker)}, path, _use_new_zipfile_serialization=not old)
    return path


def safetensors(path: Path, header: bytes, length: int | None = None, data: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


def rewritten(path: Path, source: Path, tensors: dict[str, torch.Tensor] | None = None, **metadata: str) -> Path:
    """A weights file with other tensors added or other metadata."""
    with safe_open(source, "pt") as file:
        known = file.metadata()
    save_file({**load_file(source), **(tensors or {})}, path, {**known, **metadata})
    return path


def yaml_bomb(levels: int = 12) -> str:
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


def png(header: bytes, data: bytes) -> bytes:
    """A PNG whose checksums hold, whatever its header and its compressed pixels are."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


def png_bomb(path: Path, side: int = 50_000) -> Path:
    """A grey PNG of side x side pixels, all zero: compressed a thousandfold."""
    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    data = b"".join(packer.compress(row) for _ in range(200)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(png(header, data))
    return path


def jpeg_bomb(path: Path, side: int = 65_500) -> Path:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    path.write_bytes(content)
    return path


def webp_bomb(path: Path, side: int = 16_383) -> Path:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "WEBP", lossless=True)
    content = bytearray(buffer.getvalue())
    content[21:25] = struct.pack("<I", (side - 1) | (side - 1) << 14)
    path.write_bytes(content)
    return path


def tiff_bomb(path: Path, side: int = 50_000) -> Path:
    """A grey TIFF of side x side pixels, which says that its one strip is empty."""
    # tag, type 3 or 4 (16 or 32 bits), count, value: width, height, bits, compression, colors, offset, rows, bytes
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 0), (278, side), (279, 0)]
    entries = b"".join(struct.pack("<HHII", tag, 4 if value > 65535 else 3, 1, value) for tag, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
    return path


def deep_json(levels: int = 100_000) -> str:
    return "[" * levels + "]" * levels


def huge_network(known: str) -> str:
    """The metadata of a network that fits no memory."""
    return json.dumps({**json.loads(known), "embedding_dim": 2**16, "decoder_channels": 2**16})
