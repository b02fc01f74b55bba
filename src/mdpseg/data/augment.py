"""Random crop, scale, flip and colours of one training image; masks stay uint8 to the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from mdpseg.config import AugmentConfig
from mdpseg.data.colours import adjust

IGNORED = 255
# Fills what lies outside the image: mid grey, near the zero of every encoder's normalisation.
PADDING = 124


def augment(
    image: Tensor, mask: Tensor, config: AugmentConfig, generator: torch.Generator, out: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Draws a training crop. The window is cut out before it is resized, so the cost follows the crop's size.

    Args:
        image: uint8 [3, H, W].
        mask: uint8 [H, W].
        config: ranges and probabilities.
        generator: where all random numbers come from.
        out: uint8 [3, crop, crop] to put the image into, such as its place in a batch; default: a new tensor.

    Returns:
        image uint8 [3, crop, crop] and mask uint8 [crop, crop]; outside the image: grey and ignored.
    """
    numbers = torch.rand(8, generator=generator).tolist()
    height, width = mask.shape
    window = _draw_window(height, width, config, *numbers[:3])
    mirrored = numbers[3] < config.flip
    factors = [
        1 + most * (2 * number - 1)
        for most, number in zip((config.brightness, config.contrast, config.saturation), numbers[4:7], strict=True)
    ]
    image, mask = _resize_image(window.cut(image), window, factors), _resize_mask(window.cut(mask), window, mirrored)
    if mirrored:
        image = image.flip(-1)
    return window.pad(image, PADDING, out), window.pad(mask, IGNORED)


@dataclass(frozen=True)
class _Window:
    """The part of an image that a crop shows.

    Attributes:
        rows: its rows in the image.
        columns: its columns in the image.
        size: height and width that it has in the crop.
        crop: side of the crop; the window lies in its middle.
    """

    rows: slice
    columns: slice
    size: tuple[int, int]
    crop: int

    @property
    def grows(self) -> bool:
        """Whether it has more pixels in the crop than in the image."""
        height, width = self.size
        return bool(height * width > (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start))

    def cut(self, image: Tensor) -> Tensor:
        """The window of an image [..., H, W]."""
        return image[..., self.rows, self.columns]

    def pad(self, cut: Tensor, value: int, out: Tensor | None = None) -> Tensor:
        """The crop [..., crop, crop] from the resized window [..., *size]; into ``out``, where that is given."""
        height, width = self.size
        if out is None:
            out = cut.new_empty((*cut.shape[:-2], self.crop, self.crop))
        if height < self.crop or width < self.crop:
            out.fill_(value)
        top, left = (self.crop - height) // 2, (self.crop - width) // 2
        out[..., top : top + height, left : left + width] = cut
        return out


def _draw_window(height: int, width: int, config: AugmentConfig, at_scale: float, at_y: float, at_x: float) -> _Window:
    low, high = (math.log(s) for s in config.scale)
    scale = math.exp(low + at_scale * (high - low))
    if config.short_side:
        scale *= config.short_side / min(height, width)
    side = max(1, round(config.crop / scale))  # of the crop in the image's own pixels
    cut_height, cut_width = min(side, height), min(side, width)
    top, left = int(at_y * (height - cut_height + 1)), int(at_x * (width - cut_width + 1))
    size = max(1, round(config.crop * cut_height / side)), max(1, round(config.crop * cut_width / side))
    return _Window(slice(top, top + cut_height), slice(left, left + cut_width), size, config.crop)


def _resize_image(cut: Tensor, window: _Window, factors: list[float]) -> Tensor:
    """Window [3, h, w] to [3, *size], its colours changed on the side of the resizing that has fewer pixels."""
    if window.grows:
        cut = adjust(cut, *factors)
    cut = transform.resize(cut, list(window.size), InterpolationMode.BILINEAR, antialias=True)
    return cut if window.grows else adjust(cut, *factors)


def _resize_mask(cut: Tensor, window: _Window, mirrored: bool) -> Tensor:
    """Window [h, w] to [*size] by the nearest pixel, mirrored on the way."""
    # numpy: torch takes twice as long; in whole numbers, so that no rounding depends on the machine
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(window.size, cut.shape, strict=True)
    )
    ids, columns = cut.numpy(), columns[::-1] if mirrored else columns
    # columns cost more than rows: they are chosen where there are fewer rows
    return torch.from_numpy(ids[rows][:, columns] if len(rows) < len(ids) else ids[:, columns][rows])
