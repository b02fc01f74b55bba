"""Pixel-to-region: supervised contrast of each pixel against single region embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.losses.reduction import OUTSIDE, pixel_weights, sum_in_chunks, weighted_mean


def pixel_to_region(
    embeddings: Tensor,
    targets: Tensor,
    regions: Tensor,
    region_classes: Tensor,
    temperature: float,
    *,
    denominator: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean over pixels of the mean over positives p of -log( e^{v.p/tau} / (e^{v.p/tau} + sum_n e^{v.n/tau}) ).

    Positives are the regions of the pixel's class, negatives n those of other classes.

    Args:
        embeddings: v, [N, D], any float dtype (computed in float32).
        targets: int64 [N] global ids; -1 counts for nothing, nor does a pixel without a positive.
        regions: [M, D].
        region_classes: int64 [M]; -1 marks an empty entry, which takes no part.
        temperature: tau.
        denominator: bool [K, K], whether regions of class j are negatives of a pixel of class c; default all.
        weights: float [N], each pixel's weight in the mean; default 1.

    Returns:
        A float32 scalar.
    """
    total, weight = contrast_sum(
        embeddings, targets, regions, region_classes, temperature, denominator=denominator, weights=weights
    )
    return weighted_mean(total, weight)


def contrast_sum(
    embeddings: Tensor,
    targets: Tensor,
    regions: Tensor,
    region_classes: Tensor,
    temperature: float,
    *,
    denominator: Tensor | None = None,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The weighted sum of :func:`pixel_to_region`'s terms (a scalar), and the weights [P] of the pixels that count."""
    filled = region_classes >= 0
    regions, region_classes = regions[filled].float(), region_classes[filled]
    counted = (targets >= 0) & (targets[:, None] == torch.unique(region_classes)[None]).any(1)

    def loss_sum(v: Tensor, y: Tensor, w: Tensor) -> Tensor:
        similarity = v.float() @ regions.T / temperature  # [n, M]
        positive = y[:, None] == region_classes[None]  # [n, M]
        negative = ~positive if denominator is None else ~positive & denominator[y][:, region_classes]
        log_negatives = similarity.masked_fill(~negative, OUTSIDE).logsumexp(1, keepdim=True)  # [n, 1]
        # -log(e^s / (e^s + Z)) = softplus(log Z - s)
        terms = F.softplus(log_negatives - similarity) * positive
        return (w * terms.sum(1) / positive.sum(1)).sum()

    w = pixel_weights(weights, targets)[counted]
    return sum_in_chunks(loss_sum, len(regions), embeddings[counted], targets[counted], w), w
