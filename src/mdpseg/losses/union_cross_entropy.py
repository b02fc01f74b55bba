"""Supervised cross-entropy over a concatenated label space: the baseline that the method is measured against."""

from __future__ import annotations

from torch import Tensor

from mdpseg.label_space import LabelSpace
from mdpseg.losses.reduction import OUTSIDE, pixel_weights, sum_in_chunks, weighted_mean


def union_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    label_space: LabelSpace,
    *,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy, each pixel's softmax over its own dataset's classes.

    Our reading of the authors' customised cross-entropy: a pixel of one dataset says nothing of another's classes.

    Args:
        logits: [N, K], any float dtype (computed in float32).
        targets: int64 [N] global ids, -1 counts for nothing.
        label_space: the K classes.
        weights: float [N], each pixel's weight in the mean; default 1.

    Returns:
        A float32 scalar.
    """
    counted = targets >= 0
    dataset = label_space.dataset_of_class().to(logits.device)  # [K]

    def loss_sum(rows: Tensor, y: Tensor, w: Tensor) -> Tensor:
        own = dataset[y][:, None] == dataset[None]  # [n, K]
        normaliser = rows.float().masked_fill(~own, OUTSIDE).logsumexp(1)
        return (w * (normaliser - rows.float().gather(1, y[:, None])[:, 0])).sum()

    w = pixel_weights(weights, targets)[counted]
    return weighted_mean(sum_in_chunks(loss_sum, logits.shape[1], logits[counted], targets[counted], w), w)
