"""The cells of a Hugging Face dataset: images and masks as the bytes of their files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mdpseg.data.readers.decode import DAMAGE, LARGEST_FILE, damaged, decode_ids, refuse_too_large
from mdpseg.data.readers.whole_images import whole_images_only
from mdpseg.errors import BadFileError

_TIFF = (b"II*\0", b"MM\0*")


def undecoded(rows: Any, image: str, mask: str) -> Any:
    """The same rows; images as the bytes of their files."""
    import datasets

    rows = rows.cast_column(image, datasets.Image(decode=False))
    if isinstance(rows.features[mask], datasets.Image) or _is_file(rows.features[mask]):
        rows = rows.cast_column(mask, datasets.Image(decode=False))
    return rows


def _is_file(feature: Any) -> bool:
    """Whether it holds a file without saying that it is an image: bytes, or a structure of bytes and path."""
    return isinstance(feature, dict) or getattr(feature, "dtype", "") in ("binary", "large_binary", "string")


def content_of(value: Any, path: Path, dataset: str) -> bytes:
    """An image's or mask's file; of a mask in lists, as PNG."""
    if isinstance(value, dict):
        content = value.get("bytes")
        if not isinstance(content, bytes) or not content:
            only = f"only the path {value['path']!r:.100}" if value.get("path") else "it is empty"
            wrong = f"{path} has no bytes ({only})"
            todo = "embed the files in the dataset, as save_to_disk and push_to_hub do"
            raise BadFileError(dataset, path, "missing", wrong, todo)
        if len(content) > LARGEST_FILE:
            wrong = f"{path} has {len(content)} bytes, and at most {LARGEST_FILE} are read, which bounds the memory"
            raise BadFileError(dataset, path, "large", wrong, "shrink it, cut it into tiles or remove it")
        return content
    try:
        ids = np.asarray(value)
    except ValueError:  # rows of different lengths
        ids = np.zeros(0)
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or not ids.size or ids.min() < 0 or ids.max() > 255:
        wrong = f"{path} is no image and no mask of height x width whole numbers from 0 to 255"
        raise BadFileError(dataset, path, "format", wrong, "correct the dataset, or name another column")
    buffer = io.BytesIO()
    Image.fromarray(ids.astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode_cell_ids(content: bytes, path: Path, dataset: str) -> Tensor:
    """Ids of a PNG, or of a TIFF, which ``datasets`` makes of palettes and of more than 8 bits."""
    if not content.startswith(_TIFF):
        return decode_ids(content, path, dataset)
    try:
        image = Image.open(io.BytesIO(content), formats=["TIFF"])
        refuse_too_large(image.size, path, dataset)
        with whole_images_only():
            ids = np.asarray(image)
    except BadFileError:
        raise
    except DAMAGE as error:
        raise damaged(path, dataset, error) from error
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() > 255:
        wrong = f"mask {path} is a TIFF of other values than ids from 0 to 255"
        raise BadFileError(dataset, path, "format", wrong, "save the ids as an 8-bit image of one channel")
    return torch.from_numpy(ids.astype(np.uint8))
