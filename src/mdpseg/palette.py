"""Colours of classes."""

from __future__ import annotations

import torch
from torch import Tensor


def palette(num_classes: int) -> Tensor:
    """A colour for each class id, uint8 [num_classes, 3]: PASCAL VOC's colour map, which spreads an id's bits."""
    ids = torch.arange(num_classes)
    colours = torch.zeros(num_classes, 3, dtype=torch.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (ids >> (3 * bit + channel) & 1) << (7 - bit)
    return colours.to(torch.uint8)


def colour_mask(mask: Tensor) -> Tensor:
    """A mask [H, W] of ids 0..255 as a picture, uint8 [3, H, W]; 255 (ignored) is VOC's cream."""
    return palette(256)[mask.long()].permute(2, 0, 1)
