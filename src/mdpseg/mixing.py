"""Cross-image mixing: boxes pasted between images, and images blended, across datasets.

Both take ``partners`` [B], for each image the index of the image it is mixed with (its own index: not mixed).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from mdpseg.batch import Batch, on_device_of


def region_box(
    height: int, width: int, lam: float, generator: torch.Generator | None = None
) -> tuple[int, int, int, int]:
    """Draws the box of a region-level mix.

    x ~ U(0, W), y ~ U(0, H) is the box's top left corner, w = W sqrt(1 - lam), h = H sqrt(1 - lam), clipped at the
    border (MDP, arXiv 2106.04121, section on cross-image mixing).

    Args:
        height: H, the image's height in pixels.
        width: W, the image's width in pixels.
        lam: share that the image keeps before clipping, in [0, 1].
        generator: where the two uniform numbers come from.

    Returns:
        (top, left, height, width) in pixels, inside the image; height or width is 0 where the box vanishes.

    Raises:
        ValueError: lam outside [0, 1].
    """
    if not 0.0 <= lam <= 1.0:
        raise ValueError(f"lam is {lam}; expected a number from 0 to 1.")
    u, v = torch.rand(2, generator=generator).tolist()
    top, left = min(int(v * height), height - 1), min(int(u * width), width - 1)
    side = math.sqrt(1.0 - lam)
    return top, left, min(round(height * side), height - top), min(round(width * side), width - left)


def region_mix(images: Tensor, targets: Tensor, boxes: Tensor, partners: Tensor) -> tuple[Tensor, Tensor]:
    """Pastes a box of each image's partner into the image, with its labels, at the same place.

    Args:
        images: [B, C, H, W], any dtype.
        targets: [B, H, W], any dtype.
        boxes: int64 [B, 4] of (top, left, height, width); an empty box leaves the image as it is.
        partners: int64 [B], index of the image that the box is cut from.

    Returns:
        Mixed images and targets, new tensors of the same shapes and dtypes.
    """
    boxes = torch.as_tensor(boxes, device=images.device)
    partners = torch.as_tensor(partners, device=images.device)
    height, width = images.shape[-2:]
    top, left, box_height, box_width = boxes.unbind(1)
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    in_rows = (rows >= top[:, None]) & (rows < (top + box_height)[:, None])  # [B, H]
    in_columns = (columns >= left[:, None]) & (columns < (left + box_width)[:, None])  # [B, W]
    inside = in_rows[:, :, None] & in_columns[:, None, :]  # [B, H, W]
    mixed_images = torch.where(inside[:, None], images[partners], images)
    return mixed_images, torch.where(inside, targets[partners], targets)


def pixel_mix(images: Tensor, lam: Tensor, partners: Tensor) -> Tensor:
    """Blends each image with its partner: x = lam x_a + (1 - lam) x_b.

    The labels are not blended here: the loss is lam L(y_a) + (1 - lam) L(y_b).

    Args:
        images: [B, C, H, W]; integer images are blended in float32 and rounded back.
        lam: [B] (or a scalar), the share that each image keeps; 1 leaves it as it is.
        partners: int64 [B], index of the image that it is blended with.

    Returns:
        Blended images, same shape and dtype.
    """
    partners = torch.as_tensor(partners, device=images.device)
    kind = torch.promote_types(images.dtype, torch.float32)
    share = on_device_of(images, torch.as_tensor(lam, dtype=kind)).expand(len(images))[:, None, None, None]
    blended = torch.lerp(images[partners].to(kind), images.to(kind), share)
    return blended.to(images.dtype) if images.is_floating_point() else blended.round().to(images.dtype)


def mix_batch(batch: Batch) -> Batch:
    """Applies the mixes that a batch carries: first the pasted boxes, then the blending of what came of them.

    What was there only to be mixed in is left out of the result.
    """
    images, targets = region_mix(batch.images, batch.targets, batch.boxes, batch.region_partners)
    blended = pixel_mix(images, batch.lam, batch.pixel_partners)
    mixed = replace(batch, images=blended, targets=targets, partner_targets=targets[batch.pixel_partners])
    return mixed if batch.own in (None, len(batch)) else mixed.first(batch.own)
