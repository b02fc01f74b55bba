"""COCO's outlines as pixels: polygons and run lengths.

Polygons go through pycocotools, so that their edges lie where COCO's own tools put them. Run lengths are expanded here:
pycocotools (2.0.11) reads past the end of a damaged string, and leaves the rest of a short one as the memory was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# pycocotools walks along an outline in steps of a fifth of a pixel and keeps each: 40 bytes a pixel of length.
LONGEST_OUTLINE = 2**22
_CONTINUED, _SIGN = 0x20, 0x10


class BadOutlineError(ValueError):
    """A segmentation that COCO's format does not allow; the message says what is wrong with it."""


def pixels_of(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels of one annotation.

    Args:
        segmentation: a list of polygons, each a list x0, y0, x1, y1, ... of at least three points in pixels; or
            ``{"size": [height, width], "counts": ...}`` with run lengths, column by column, the first of zeros, as a
            list (uncompressed) or as a text (compressed).
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        bool [height, width].

    Raises:
        BadOutlineError: it is neither, is of another size, leaves the image far behind, or its runs do not fill it.
    """
    if isinstance(segmentation, Mapping):
        return _from_runs(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise BadOutlineError("has no polygon and no run lengths")
    length = sum(_length(polygon, height, width) for polygon in segmentation)
    if length > LONGEST_OUTLINE:
        raise BadOutlineError(f"has an outline of {length:.0f} pixels, and at most {LONGEST_OUTLINE} are drawn")
    from pycocotools import mask as coco

    return np.asarray(coco.decode(coco.merge(coco.frPyObjects(segmentation, height, width))), dtype=bool)


def _length(polygon: Any, height: int, width: int) -> float:
    """Steps along a polygon that may be drawn, in pixels."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        count = f" of {len(polygon)} numbers" if isinstance(polygon, list) else ""
        raise BadOutlineError(f"has a polygon{count}; at least three points x, y are needed")
    far = 2 * max(height, width)
    for value in polygon:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadOutlineError(f"has a polygon with {value!r:.40}, which is no coordinate")
        if not -far <= value <= 2 * far:
            raise BadOutlineError(
                f"has a polygon with the coordinate {value:g}, far outside of {width}x{height} pixels"
            )
    points = np.array(polygon, dtype=np.float64).reshape(-1, 2)  # [N, 2]
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())


def _from_runs(segmentation: Mapping[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    if segmentation.get("size") != [height, width]:
        raise BadOutlineError(
            f"has run lengths of size {segmentation.get('size')!r:.40}; expected [{height}, {width}] (height, width)"
        )
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        runs = _uncompressed(counts)
    elif isinstance(counts, list) and all(type(run) is int and 0 <= run <= height * width for run in counts):
        runs = np.array(counts, dtype=np.int64)
    else:
        raise BadOutlineError("has run lengths that are neither a text nor a list of whole numbers from 0")
    # in floats first: a sum of hostile integers may run over
    total = float(runs.astype(np.float64).sum())
    if (runs < 0).any() or total != height * width:
        raise BadOutlineError(f"has run lengths of {total:.0f} pixels; {height * width} are expected")
    values = np.arange(len(runs)) % 2 == 1  # [R]
    return np.repeat(values, runs).reshape(width, height).T  # column by column


def _uncompressed(text: str) -> NDArray[np.int64]:
    """COCO's string: 5 bits a character, low ones first, with a sign; from the fourth on less the run two before."""
    codes = np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & _CONTINUED) == 0)
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not len(ends) or ends[-1] != len(codes) - 1:
        raise BadOutlineError("has run lengths in a damaged text")
    starts = np.concatenate([[0], ends[:-1] + 1])
    digits = ends - starts + 1
    if digits.max() > 7:  # 35 bits, more than any image has pixels
        raise BadOutlineError("has run lengths in a damaged text")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, digits))
    runs = np.add.reduceat((codes & 0x1F) << shifts, starts)
    runs -= np.where(codes[ends] & _SIGN, 1, 0) << (5 * digits)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
