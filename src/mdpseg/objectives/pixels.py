"""What the objectives share: labels at the decoder's stride, and the two labels of a blended pixel."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.batch import Batch, on_device_of


def at_size(targets: Tensor, size: tuple[int, int]) -> Tensor:
    """Targets [B, H, W] at another resolution [B, h, w], each the label at the centre of its cell."""
    if targets.shape[-2:] == size:
        return targets
    small = F.interpolate(targets[:, None].float(), size, mode="nearest-exact")  # exact: ids are below 2^24
    return small[:, 0].to(targets.dtype)


def with_targets_at(batch: Batch, size: tuple[int, int]) -> Batch:
    """The same batch with its targets at another resolution; those of partners wait for :func:`labelled_maps`."""
    return replace(batch, targets=at_size(batch.targets, size))


def labelled_maps(batch: Batch, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs each map with its labels and their weight; a blended image counts twice, once with each label.

    The loss of a blended pixel is lam L(y_a) + (1 - lam) L(y_b): a weighted mean over both pairs.

    Args:
        batch: already mixed.
        maps: [B, C, h, w], what the network made of its images.

    Returns:
        maps [B', C, h, w], targets int64 [B', h, w], weights float32 [B', h, w]; B' = B + blended images.
    """
    size = (maps.shape[2], maps.shape[3])
    targets = at_size(batch.targets, size)  # [B, h, w]
    lam = on_device_of(maps, batch.lam)
    weights = lam.float()[:, None, None].expand(targets.shape)  # in mixed precision it comes in bfloat16
    blended = batch.blended()
    if batch.partner_targets is None or not len(blended):
        return maps, targets, weights
    partners = at_size(batch.partner_targets[blended], size)
    return (
        twice_if_blended(batch, maps),
        torch.cat([targets, partners]),
        torch.cat([weights, 1 - weights[blended]]),
    )


def twice_if_blended(batch: Batch, maps: Tensor) -> Tensor:
    """Maps [B, ...] and, after them, once more those of blended images: [B', ...]."""
    blended = batch.blended()
    return torch.cat([maps, maps[blended]]) if len(blended) else maps  # most batches are spared the copy
