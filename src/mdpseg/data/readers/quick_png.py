"""The PNGs that nearly all data is made of, decoded twice as fast as by Pillow (``benchmarks/png.py``)."""

from __future__ import annotations

from typing import cast

import numpy as np
from kornia_rs.io import decode_image_png_u8
from numpy.typing import NDArray

from mdpseg.data.readers.header import MOST_PIXELS, RGB, png_size


def quick_png(content: bytes, *kinds: int) -> NDArray[np.uint8] | None:
    """The stored values of a PNG of 8 bits and one of these color types.

    Args:
        content: the file.
        kinds: of ``header.GREY``, ``header.RGB`` and ``header.PALETTE``.

    Returns:
        uint8 [H, W], grey or indices of a palette, or [H, W, 3]; None for every other file, a damaged or too large one
        among them: Pillow, which is slower, takes it or says what is wrong.
    """
    size = png_size(content)
    if size is None or size[0] * size[1] > MOST_PIXELS or len(content) < 26:
        return None
    depth, kind = content[24], content[25]
    if depth != 8 or kind not in kinds:
        return None
    try:
        values = decode_image_png_u8(content, (size[1], size[0]), "rgb" if kind == RGB else "mono")
    except Exception:  # it has no class of its own for a file that it refuses
        return None
    return cast(NDArray[np.uint8], values if kind == RGB else values[..., 0])
