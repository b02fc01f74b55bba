"""Small pictures for pages: inside the page itself, as data URIs."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def data_uri(picture: Tensor) -> str:
    """A picture uint8 [3, H, W] as a JPEG inside a URI."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())).save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def fit(picture: Tensor, side: int) -> Tensor:
    """A picture uint8 [3, H, W] with its longer side at most ``side``; never made larger."""
    factor = side / max(picture.shape[-2:])
    if factor >= 1:
        return picture
    size = [max(1, round(length * factor)) for length in picture.shape[-2:]]
    small = F.interpolate(picture[None].float(), size, mode="bilinear", align_corners=False, antialias=True)
    return small[0].round().clamp(0, 255).to(torch.uint8)


def crop_of_class(image: Tensor, region: Tensor, side: int) -> Tensor:
    """A square picture around a region; what is not of it is dimmed.

    Args:
        image: uint8 [3, H, W].
        region: bool [H, W], at least one pixel.
        side: of the picture, in pixels.

    Returns:
        uint8 [3, side, side].
    """
    rows, columns = region.any(1).nonzero()[:, 0], region.any(0).nonzero()[:, 0]
    height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    length = min(max(16, round(1.15 * max(height, width))), *image.shape[-2:])  # a square inside the image
    top = _start(int(rows[0]), height, length, image.shape[-2])
    left = _start(int(columns[0]), width, length, image.shape[-1])
    window = (..., slice(top, top + length), slice(left, left + length))
    dimmed = (image[window].float() * 0.25 + 96).to(torch.uint8)
    shown = torch.where(region[window][None], image[window], dimmed)
    resized = F.interpolate(shown[None].float(), (side, side), mode="bilinear", align_corners=False, antialias=True)
    return resized[0].round().clamp(0, 255).to(torch.uint8)


def _start(first: int, extent: int, length: int, limit: int) -> int:
    """Where a window begins that has the extent in its middle and lies inside the image."""
    return min(max(0, first + extent // 2 - length // 2), limit - length)
