"""Pixel-to-class sparse coding: a pixel is also drawn a little to the classes it resembles."""

from __future__ import annotations

from torch import Tensor

from mdpseg.losses.reduction import OUTSIDE, pixel_weights, sum_in_chunks, weighted_mean


def sparse_coding(
    embeddings: Tensor,
    targets: Tensor,
    prototypes: Tensor,
    present: Tensor,
    temperature: float,
    k: int,
    *,
    denominator: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """The pull term: minus the mean log-probability of each pixel's k most similar prototypes of other classes.

    The probabilities are the softmax over all present prototypes (formula ours: the paper gives none).

    Args:
        embeddings: [N, D], any float dtype (computed in float32).
        targets: int64 [N] global ids; -1 counts for nothing, nor does a pixel whose class is not present, or where no
            other class is.
        prototypes: [K, D]; they may carry a gradient.
        present: bool [K]; classes that are not take no part.
        temperature: tau.
        k: how many prototypes a pixel is drawn to; fewer where fewer are present.
        denominator: bool [K, K], whether class j takes part for a pixel of class c; default all.
        weights: float [N], each pixel's weight in the mean; default 1.

    Returns:
        A float32 scalar.
    """
    prototypes = prototypes.float()
    counted = (targets >= 0) & present[targets.clamp_min(0)] & (present.sum() > 1)
    k = min(k, len(prototypes))

    def loss_sum(v: Tensor, y: Tensor, w: Tensor) -> Tensor:
        inside = present[None] if denominator is None else present[None] & denominator[y]  # [n, K]
        logits = (v.float() @ prototypes.T / temperature).masked_fill(~inside, OUTSIDE)  # [n, K]
        log_probabilities = logits.log_softmax(1)
        nearest = logits.detach().scatter(1, y[:, None], OUTSIDE).topk(k, dim=1)  # values, indices [n, k]
        taken = nearest.values > OUTSIDE / 2
        pulled = log_probabilities.gather(1, nearest.indices).masked_fill(~taken, 0.0)
        return -(w * pulled.sum(1) / taken.sum(1).clamp_min(1)).sum()

    w = pixel_weights(weights, targets)[counted]
    return weighted_mean(sum_in_chunks(loss_sum, len(prototypes), embeddings[counted], targets[counted], w), w)
