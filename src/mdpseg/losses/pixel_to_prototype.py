"""Pixel-to-prototype: cross-entropy of each pixel over the class prototypes."""

from __future__ import annotations

import torch
from torch import Tensor

from mdpseg.losses.groups import mean_over_pixels, place_of, with_prototype
from mdpseg.losses.largest import largest
from mdpseg.losses.reduction import OUTSIDE
from mdpseg.losses.streamed import Step, Terms, cross_entropy_rows


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
    counted = with_prototype(targets, present)
    return mean_over_pixels(
        embeddings,
        targets,
        prototypes,
        counted,
        lambda columns: _cross_entropy(targets, columns, leave_out, len(prototypes)),
        present=present,
        denominator=denominator,
        weights=weights,
        temperature=temperature,
    )


def _cross_entropy(targets: Tensor, columns: Tensor, leave_out: int, num_classes: int) -> Step:
    place = place_of(columns, num_classes)

    def step(logits: Tensor, room: Tensor, pixels: Tensor) -> Terms:
        own = place[targets[pixels]][:, None]  # [n, 1]
        if leave_out:
            score = logits.gather(1, own)  # [n, 1]
            _, nearest = largest(logits.scatter_(1, own, OUTSIDE), min(leave_out, len(columns)))
            logits.scatter_(1, nearest, OUTSIDE).scatter_(1, own, score)
        return Terms(*cross_entropy_rows(logits, room, own))

    return step


def drop_lookalikes(
    denominator: Tensor, prototypes: Tensor, dataset_of_class: Tensor, count: int, *, present: Tensor | None = None
) -> Tensor:
    """Takes each class's most similar classes of *other* datasets out of its denominator.

    The same thing under another name must not be pushed away.

    Args:
        denominator: bool [K, K], see :func:`pixel_to_prototype`.
        prototypes: [K, D] of unit length.
        dataset_of_class: int64 [K].
        count: how many classes of other datasets are left out for each class.
        present: bool [K]; classes that are not have no prototype to be alike. Default: all are.

    Returns:
        A new bool [K, K].
    """
    others = (dataset_of_class[:, None] != dataset_of_class[None]) & denominator
    if present is not None:
        others &= present
    rows = prototypes.detach().float()
    with torch.autocast(rows.device.type, enabled=False):  # bfloat16 would make classes equally near
        similarity = (rows @ rows.T).masked_fill(~others, OUTSIDE)
    nearest = similarity.topk(min(count, len(prototypes)), dim=1).indices  # [K, count]
    alike = torch.zeros_like(denominator).scatter(1, nearest, True) & others
    return denominator & ~alike
