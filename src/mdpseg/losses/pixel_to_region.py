"""Pixel-to-region: supervised contrast of each pixel against single region embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.losses.groups import pixels_by_class, runs_of_equal_rows
from mdpseg.losses.reduction import OUTSIDE, pixel_weights, weighted_mean
from mdpseg.losses.streamed import Group, Step, Terms, log_normaliser, streamed_sum


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
    counted = (targets >= 0) & torch.isin(targets, region_classes)
    pixels, classes, sizes = pixels_by_class(targets, counted)
    filled = (region_classes >= 0).nonzero()[:, 0]
    order = filled[region_classes[filled].argsort(stable=True)]  # [M]: regions of a class stand side by side
    parts, groups = torch.split(pixels, sizes), []
    for first, end, columns in _runs_of_columns(classes, order, region_classes[order], denominator):
        column_classes = region_classes[columns]
        starts = torch.searchsorted(column_classes, classes[first:end]).tolist()
        ends = torch.searchsorted(column_classes, classes[first:end], right=True).tolist()
        for part, *positives in zip(parts[first:end], starts, ends, strict=True):
            groups.append(Group(part, columns, _contrast(slice(*positives))))
    w = pixel_weights(weights, targets)
    return streamed_sum(embeddings, regions, groups, w, temperature), w[pixels]


def _runs_of_columns(
    classes: Tensor, order: Tensor, held: Tensor, denominator: Tensor | None
) -> list[tuple[int, int, Tensor]]:
    """(first, end, columns): pixels of ``classes[first:end]`` have their positives and negatives in these regions.

    Args:
        classes: int64 [C].
        order: int64 [M], the regions in order of class.
        held: int64 [M], their classes.
        denominator: bool [K, K] or None.
    """
    if denominator is None:
        return [(0, len(classes), order)]
    inside = denominator[classes]  # [C, K]
    inside[torch.arange(len(classes), device=classes.device), classes] = True  # the positives
    return [(first, end, order[row[held]]) for first, end, row in runs_of_equal_rows(inside)]


def _contrast(positives: slice) -> Step:
    """The step for pixels of one class; its regions are the columns ``positives``."""

    def step(logits: Tensor, room: Tensor, pixels: Tensor) -> Terms:
        count = positives.stop - positives.start
        if count == logits.shape[1]:  # without a negative: -log(e / e)
            return Terms(logits.new_zeros(len(logits)), logits.zero_())
        own = logits[:, positives].clone()  # [n, P]
        logits[:, positives] = OUTSIDE
        shares, normaliser = log_normaliser(logits, room)  # [n, m], [n]: of the negatives
        gap = normaliser[:, None] - own  # [n, P]
        # -log(e^s / (e^s + Z)) = softplus(log Z - s), and the sigmoid of the same is its gradient by log Z
        slope = gap.sigmoid()
        by_logits = shares.mul_(slope.mean(1, keepdim=True))
        by_logits[:, positives] = slope / -count
        return Terms(F.softplus(gap).mean(1), by_logits)

    return step
