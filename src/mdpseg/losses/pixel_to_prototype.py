"""Pixel-to-prototype: cross-entropy of each pixel over the class prototypes."""

from __future__ import annotations

import torch
from torch import Tensor

from mdpseg.losses.reduction import OUTSIDE, pixel_weights, sum_in_chunks, weighted_mean


def pixel_to_prototype(
    embeddings: Tensor,
    targets: Tensor,
    prototypes: Tensor,
    present: Tensor,
    temperature: float,
    *,
    denominator: Tensor | None = None,
    leave_out: int = 0,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean over the pixels of -log( e^{v.p_y / tau} / sum over j e^{v.p_j / tau} ).

    Args:
        embeddings: v, [N, D], any float dtype (computed in float32).
        targets: y, int64 [N] global ids; -1 counts for nothing, nor does a pixel whose class is not present.
        prototypes: p, [K, D]; they may carry a gradient.
        present: bool [K]; classes that are not take no part.
        temperature: tau.
        denominator: bool [K, K], whether class j stands in the denominator of a pixel of class c; default all.
        leave_out: that many most similar prototypes of other classes are left out of each pixel's denominator
            (sparse coding's ``no_push``).
        weights: float [N], each pixel's weight in the mean; default 1.

    Returns:
        A float32 scalar.
    """
    counted = (targets >= 0) & present[targets.clamp_min(0)]
    prototypes = prototypes.float()

    def loss_sum(v: Tensor, y: Tensor, w: Tensor) -> Tensor:
        logits = v.float() @ prototypes.T / temperature  # [n, K]
        own = logits.gather(1, y[:, None])  # [n, 1]
        inside = present[None] if denominator is None else present[None] & denominator[y]  # [n, K]
        logits = logits.masked_fill(~inside, OUTSIDE).scatter(1, y[:, None], own)
        if leave_out:
            others = logits.detach().scatter(1, y[:, None], OUTSIDE)
            nearest = others.topk(min(leave_out, logits.shape[1]), dim=1).indices
            logits = logits.scatter(1, nearest, OUTSIDE).scatter(1, y[:, None], own)
        return (w * (logits.logsumexp(1) - own[:, 0])).sum()

    w = pixel_weights(weights, targets)[counted]
    return weighted_mean(sum_in_chunks(loss_sum, len(prototypes), embeddings[counted], targets[counted], w), w)


def drop_lookalikes(denominator: Tensor, prototypes: Tensor, dataset_of_class: Tensor, count: int) -> Tensor:
    """Takes each class's most similar classes of *other* datasets out of its denominator.

    The same thing under another name must not be pushed away.

    Args:
        denominator: bool [K, K], see :func:`pixel_to_prototype`.
        prototypes: [K, D] of unit length.
        dataset_of_class: int64 [K].
        count: how many classes of other datasets are left out for each class.

    Returns:
        A new bool [K, K].
    """
    foreign = dataset_of_class[:, None] != dataset_of_class[None]
    similarity = (prototypes.detach().float() @ prototypes.detach().float().T).masked_fill(
        ~(foreign & denominator), OUTSIDE
    )
    nearest = similarity.topk(min(count, len(prototypes)), dim=1).indices  # [K, count]
    alike = torch.zeros_like(denominator).scatter(1, nearest, True) & foreign
    return denominator & ~alike
