"""Pixel-to-region: supervised contrast of each pixel against single region embeddings."""

from __future__ import annotations

import torch
from torch import Tensor

from mdpseg.batch import on_device_of
from mdpseg.losses.groups import denominators_of, pixels_by_class, split_by_rows
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
    filled = (region_classes >= 0).nonzero()[:, 0]
    order = filled[region_classes[filled].argsort(stable=True)]  # [M]: regions of a class stand side by side
    held = region_classes[order]
    counted = targets >= 0
    if len(held):
        counted &= held[torch.searchsorted(held, targets).clamp_max(len(held) - 1)] == targets
    else:
        counted.fill_(False)
    groups = [
        Group(part, columns, contrast_with(targets, region_classes[columns]))
        for part, columns in _pixels_by_columns(targets, counted, order, held, denominator)
    ]
    w = pixel_weights(weights, targets)
    return weighted_mean(streamed_sum(embeddings, regions, groups, w, temperature), w.where(counted, 0))


def _pixels_by_columns(
    targets: Tensor, counted: Tensor, order: Tensor, held: Tensor, denominator: Tensor | None
) -> list[tuple[Tensor, Tensor]]:
    """Pixels int64 [n] and the regions int64 [m] that are their positives and negatives, both in order of class.

    Args:
        targets: int64 [N].
        counted: bool [N].
        order: int64 [M], the regions in order of class.
        held: int64 [M], their classes.
        denominator: bool [K, K] or None.
    """
    if denominator is None:
        pixels = counted.nonzero()[:, 0]
        return [(pixels[targets[pixels].argsort(stable=True)], order)] if len(pixels) else []
    pixels, classes, sizes = pixels_by_class(targets, counted, len(denominator))
    inside = denominators_of(denominator, classes)[:, held]  # [C, M]
    return [(part, order[on_device_of(order, columns)]) for part, columns in split_by_rows(pixels, sizes, inside)]


def contrast_with(targets: Tensor, column_classes: Tensor) -> Step:
    """The contrast of pixels in order of class with regions whose classes int64 [m] are in order, too.

    Each pixel must have a positive among them; ``targets`` are the classes of all pixels, int64 [N].
    """

    def step(logits: Tensor, room: Tensor, pixels: Tensor) -> Terms:
        classes = targets[pixels]  # [n]
        start, end = (torch.searchsorted(column_classes, classes, right=right) for right in (False, True))
        # The columns among which the positives are. Off the CPU the run would have to wait for the answer.
        near = slice(int(start[0]), int(end[-1])) if logits.device.type == "cpu" else slice(None)
        positive = classes[:, None] == column_classes[near]  # [n, p]
        own = torch.where(positive, logits[:, near], -OUTSIDE)  # far above: no loss, nor slope, below
        logits[:, near].masked_fill_(positive, OUTSIDE)
        shares, normaliser = log_normaliser(logits, room)  # [n, m], [n]: of the negatives
        gap = torch.sub(normaliser[:, None], own, out=own)  # [n, p]
        count = end - start  # [n]
        # -log(e^s / (e^s + Z)) = softplus(log Z - s), and the sigmoid of the same is its gradient by log Z
        terms = _softplus_sums(gap, logits[:, near]) / count
        slope = gap.sigmoid_().div_(count[:, None])
        by_logits = shares.mul_(slope.sum(1, keepdim=True))
        by_logits[:, near] -= slope
        return Terms(terms, by_logits)

    return step


def _softplus_sums(x: Tensor, room: Tensor) -> Tensor:
    """The sum of log(1 + e^x) in each row of [n, p], each to 6e-8 of 1 or of its value; ``room`` [n, p] is used up.

    Torch's own takes ten times as long on a CPU: its log1p is computed number by number.
    """
    least = torch.abs(x, out=room).sigmoid_().log_().sum(1)
    return torch.clamp_min(x, 0, out=room).sum(1) - least
