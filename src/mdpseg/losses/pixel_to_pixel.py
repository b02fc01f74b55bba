"""Pixel-to-pixel: supervised contrast inside one image, against the momentum embeddings of that image."""

from __future__ import annotations

import torch
from torch import Tensor

from mdpseg.losses.pixel_to_region import contrast_sum
from mdpseg.losses.reduction import weighted_mean


def pixel_to_pixel(
    embeddings: Tensor,
    targets: Tensor,
    keys: Tensor,
    temperature: float,
    *,
    denominator: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """The contrast of :func:`mdpseg.losses.pixel_to_region`, each pixel against all pixels of its own image.

    Args:
        embeddings: [B, D, H, W], any float dtype.
        targets: int64 [B, H, W] global ids, -1 counts for nothing.
        keys: [B, D, H, W], the momentum network's embeddings of the same images; a pixel's own key is one of its
            positives.
        temperature: tau.
        denominator: bool [K, K], whether pixels of class j are negatives of a pixel of class c; default all.
        weights: float [B, H, W], each pixel's weight in the mean over all images; default 1.

    Returns:
        A float32 scalar.
    """
    if len(embeddings) == 0:
        return weighted_mean(
            embeddings.float().sum(), embeddings.new_zeros(0, dtype=torch.float32)
        )  # 0, with a gradient path
    totals, counts = [], []
    for i in range(len(embeddings)):
        total, weight = contrast_sum(
            embeddings[i].flatten(1).T,
            targets[i].flatten(),
            keys[i].flatten(1).T,
            targets[i].flatten(),
            temperature,
            denominator=denominator,
            weights=None if weights is None else weights[i].flatten(),
        )
        totals.append(total)
        counts.append(weight)
    return weighted_mean(torch.stack(totals).sum(), torch.cat(counts))
