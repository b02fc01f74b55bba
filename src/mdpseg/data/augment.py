"""Random crop, scale, flip and colours of one training image; masks stay uint8 to the end."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from mdpseg.config import AugmentConfig

IGNORED = 255
# Fills what lies outside the image: mid grey, near the zero of every encoder's normalisation.
PADDING = 124


def augment(image: Tensor, mask: Tensor, config: AugmentConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws a training crop. The window is cut out before it is resized, so the cost follows the crop's size.

    Args:
        image: uint8 [3, H, W].
        mask: uint8 [H, W].
        config: ranges and probabilities.
        generator: where all random numbers come from.

    Returns:
        image uint8 [3, crop, crop] and mask uint8 [crop, crop]; outside the image: grey and ignored.
    """
    numbers = torch.rand(8, generator=generator).tolist()
    image, mask = _crop(image, mask, config, *numbers[:3])
    if numbers[3] < config.flip:
        image, mask = image.flip(-1), mask.flip(-1)
    return _colours(image, config, *numbers[4:7]), mask.contiguous()


def _crop(
    image: Tensor, mask: Tensor, config: AugmentConfig, at_scale: float, at_y: float, at_x: float
) -> tuple[Tensor, Tensor]:
    height, width = mask.shape
    low, high = (math.log(s) for s in config.scale)
    scale = math.exp(low + at_scale * (high - low))
    if config.short_side:
        scale *= config.short_side / min(height, width)
    window = max(1, round(config.crop / scale))  # side of the crop in the image's own pixels
    cut_height, cut_width = min(window, height), min(window, width)
    top, left = int(at_y * (height - cut_height + 1)), int(at_x * (width - cut_width + 1))
    image = image[:, top : top + cut_height, left : left + cut_width]
    mask = mask[top : top + cut_height, left : left + cut_width]
    size = [max(1, round(config.crop * side / window)) for side in (cut_height, cut_width)]
    image = transform.resize(image, size, InterpolationMode.BILINEAR, antialias=True)
    mask = transform.resize(mask[None], size, InterpolationMode.NEAREST_EXACT)[0]
    if size == [config.crop, config.crop]:
        return image, mask
    padded = torch.full((3, config.crop, config.crop), PADDING, dtype=torch.uint8)
    padded_mask = torch.full((config.crop, config.crop), IGNORED, dtype=torch.uint8)
    top, left = ((config.crop - side) // 2 for side in size)
    padded[:, top : top + size[0], left : left + size[1]] = image
    padded_mask[top : top + size[0], left : left + size[1]] = mask
    return padded, padded_mask


def _colours(image: Tensor, config: AugmentConfig, b: float, c: float, s: float) -> Tensor:
    """Brightness, contrast and saturation, each drawn uniformly around 1."""
    if config.brightness:
        image = transform.adjust_brightness(image, 1 + config.brightness * (2 * b - 1))
    if config.contrast:
        image = transform.adjust_contrast(image, 1 + config.contrast * (2 * c - 1))
    if config.saturation:
        image = transform.adjust_saturation(image, 1 + config.saturation * (2 * s - 1))
    return image
