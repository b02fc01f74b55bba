"""Uploaded bytes to images: bounded by what the header says before anything is decoded, and never written to disk."""

from __future__ import annotations

import io
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mdpseg.data.image import DAMAGE_BESIDE
from mdpseg.data.readers.decode import DAMAGE
from mdpseg.data.readers.header import jpeg_size, kind_of, png_size, webp_size
from mdpseg.data.readers.whole_images import whole_images_only
from mdpseg.data.region import marked
from mdpseg.errors import UserError

MOST_PIXELS = 50_000_000
# What the network sees at once; larger images are shrunk for it, and their masks enlarged again.
MOST_PIXELS_SEEN = 2**21

_SIZES = {"PNG": png_size, "JPEG": jpeg_size, "WEBP": webp_size}


class RefusedError(UserError):
    """A request that is not carried out.

    Attributes:
        status: the HTTP status that says why.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def open_image(content: bytes) -> Image.Image:
    """A photograph as it is seen: RGB, turned upright as its camera noted.

    Args:
        content: a JPEG, PNG or WebP file.

    Raises:
        RefusedError: it is no such file (415), claims too many pixels (413), or is damaged (422).
    """
    picture = _decoded(content)
    if picture.mode.startswith(("I", "F")):
        raise RefusedError(415, "The image has 16 bits a pixel; 8 bits are expected: convert it.")
    with suppress(*DAMAGE_BESIDE):
        picture = ImageOps.exif_transpose(picture)
    return picture.convert("RGB")


def open_region(content: bytes, sizes: Collection[tuple[int, int]]) -> NDArray[np.bool_]:
    """A marked region: a PNG of its image's size, marked wherever it is neither 0 (black) nor transparent.

    Args:
        content: the PNG file.
        sizes: widths and heights that it may have, the image's first.

    Returns:
        bool [H, W].

    Raises:
        RefusedError: it is no image, of another size, or nothing is marked.
    """
    region = marked(_decoded(content))
    size = region.shape[1], region.shape[0]
    if size not in sizes:
        width, height = next(iter(sizes))
        raise RefusedError(
            422,
            f"The region has {size[0]}x{size[1]} pixels and its image {width}x{height}; they must be of one size.",
        )
    if not region.any():
        raise RefusedError(422, "The region is empty; mark the pixels that show the class.")
    return region


def seen_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height at which the network sees an image of this size."""
    factor = min(1.0, (MOST_PIXELS_SEEN / (size[0] * size[1])) ** 0.5)
    return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))


def resized(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """A mask [h, w] at another width and height, by nearest neighbours."""
    (height, width), (columns, rows) = mask.shape, size
    chosen: NDArray[Any] = mask[np.arange(rows) * height // rows][:, np.arange(columns) * width // columns]
    return chosen


def shrunk(region: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A region at a smaller width and height; a pixel is marked if any that it covers is."""
    if (region.shape[1], region.shape[0]) == size:
        return region
    return np.asarray(Image.fromarray(region.astype(np.float32)).resize(size, Image.Resampling.BOX)) > 0


def _decoded(content: bytes) -> Image.Image:
    if not content:
        raise RefusedError(422, "The image is an empty file.")
    kind = kind_of(content)
    if kind is None:
        raise RefusedError(415, "This is not a JPEG, PNG or WebP image.")
    try:
        _refuse_too_large(_SIZES[kind](content))  # before Pillow, which allocates what a WebP claims
        picture = Image.open(io.BytesIO(content), formats=[kind])
        _refuse_too_large(picture.size)  # a second header may say something else
        with whole_images_only():
            picture.load()
    except RefusedError:
        raise
    except DAMAGE as error:
        raise RefusedError(422, f"This {kind} image is truncated or damaged.") from error
    return picture


def _refuse_too_large(size: tuple[int, int] | None) -> None:
    if size is None:
        raise RefusedError(422, "The image is damaged: its header gives no width and height.")
    if size[0] * size[1] > MOST_PIXELS:
        raise RefusedError(
            413, f"The image has {size[0]}x{size[1]} pixels, and at most {MOST_PIXELS:,} are read: shrink it."
        )
