"""Pixel-to-class sparse coding: a pixel is also drawn a little to the classes it resembles."""

from __future__ import annotations

import torch
from torch import Tensor

from mdpseg.losses.groups import mean_over_pixels, place_of, with_prototype
from mdpseg.losses.largest import largest
from mdpseg.losses.reduction import OUTSIDE
from mdpseg.losses.streamed import Step, Terms, log_normaliser


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
        denominator: bool [K, K], whether class j takes part for a pixel of class c (its own always does); default all.
        weights: float [N], each pixel's weight in the mean; default 1.

    Returns:
        A float32 scalar.
    """
    counted = with_prototype(targets, present) & (present.sum() > 1)
    return mean_over_pixels(
        embeddings,
        targets,
        prototypes,
        counted,
        lambda columns: _pull(targets, columns, k, len(prototypes)),
        present=present,
        denominator=denominator,
        weights=weights,
        temperature=temperature,
    )


def _pull(targets: Tensor, columns: Tensor, k: int, num_classes: int) -> Step:
    place = place_of(columns, num_classes)
    k = min(k, len(columns) - 1)  # all of them but the own class

    def step(logits: Tensor, room: Tensor, pixels: Tensor) -> Terms:
        if k < 1:  # nothing to be drawn to
            return Terms(logits.new_zeros(len(logits)), logits.zero_())
        own = place[targets[pixels]][:, None]  # [n, 1]
        probabilities, normaliser = log_normaliser(logits, room)  # [n, m], [n]
        similar, nearest = largest(logits.scatter_(1, own, OUTSIDE), k)  # [n, k]
        by_logits = probabilities.scatter_add_(1, nearest, torch.full_like(similar, -1 / k))
        return Terms(normaliser - similar.mean(1), by_logits)

    return step
