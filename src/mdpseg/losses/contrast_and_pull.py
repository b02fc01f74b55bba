"""Pixel-to-prototype with sparse coding's pull beside it: both from the same logits, which are computed once."""

from __future__ import annotations

import torch
from torch import Tensor

from mdpseg.batch import on_device_of
from mdpseg.losses.groups import denominators_of, pixels_by_class, place_of, split_by_rows, with_prototype
from mdpseg.losses.largest import largest
from mdpseg.losses.reduction import OUTSIDE, pixel_weights, weighted_mean
from mdpseg.losses.streamed import Group, Step, Terms, cross_entropy_rows, log_normaliser, streamed_sum


def contrast_and_pull(
    embeddings: Tensor,
    targets: Tensor,
    prototypes: Tensor,
    present: Tensor,
    temperature: float,
    k: int,
    weight: float,
    *,
    denominator: Tensor,
    pull_denominator: Tensor,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """``pixel_to_prototype + weight * sparse_coding``, as these two define them, for the price of one.

    Args:
        embeddings: [N, D], any float dtype (computed in float32).
        targets: int64 [N] global ids; -1 counts for nothing, nor does a pixel whose class is not present.
        prototypes: [K, D]; they may carry a gradient, which is the contrast's alone: sparse coding draws pixels to
            prototypes, not these to pixels of other classes.
        present: bool [K]; classes that are not take no part.
        temperature: tau.
        k: how many prototypes a pixel is drawn to.
        weight: of the pull.
        denominator: bool [K, K], whether class j stands in the contrast's denominator for a pixel of class c.
        pull_denominator: bool [K, K], the same for the pull; must hold all that ``denominator`` holds.
        weights: float [N], each pixel's weight in the mean; default 1.

    Returns:
        The sum, a float32 scalar with a gradient path; and its two parts, contrast and pull, without.
    """
    counted = with_prototype(targets, present)
    w = pixel_weights(weights, targets)
    pulls = torch.zeros_like(w)  # [N], written by the steps
    pixels, classes, sizes = pixels_by_class(targets, counted, len(present))
    kinds = pull_denominator, denominator
    both = torch.cat([denominators_of(kind, classes, present) for kind in kinds], dim=1)  # [C, 2K]
    groups = []
    for part, columns in split_by_rows(pixels, sizes, both):
        of_pull = columns < len(present)
        wide = on_device_of(targets, columns[of_pull])
        narrow = on_device_of(targets, columns[~of_pull] - len(present))
        groups.append(Group(part, wide, _both(targets, wide, narrow, k, weight, prototypes, pulls), narrow))
    w_counted = w.where(counted, 0)
    loss = weighted_mean(streamed_sum(embeddings, prototypes, groups, w, temperature), w_counted)
    pull = weighted_mean(w.dot(pulls), w_counted)
    return loss, loss.detach() - weight * pull, pull


def _both(
    targets: Tensor, wide: Tensor, narrow: Tensor, k: int, weight: float, prototypes: Tensor, pulls: Tensor
) -> Step:
    """The step of pixels whose pull runs over the classes ``wide``, and whose contrast over ``narrow``, a part."""
    place, inner_place = place_of(wide, len(prototypes)), place_of(narrow, len(prototypes))
    part = place[narrow] if len(narrow) < len(wide) else None
    k = min(k, len(wide) - 1)  # all of them but the own class

    def step(logits: Tensor, room: Tensor, pixels: Tensor) -> Terms:
        own = place[targets[pixels]][:, None]  # [n, 1]
        if k < 1:  # nothing to be drawn to
            return Terms(*cross_entropy_rows(logits, room, own))
        score = logits.gather(1, own)  # [n, 1]
        inner = None if part is None else logits.index_select(1, part)  # [n, narrow]; six times as fast as [:, part]
        probabilities, normaliser = log_normaliser(logits, room)  # [n, wide], [n]
        similar, nearest = largest(logits.scatter_(1, own, OUTSIDE), k)  # [n, k]
        pull = normaliser - similar.mean(1)
        pulls.index_copy_(0, pixels, pull)
        if inner is None or part is None:
            own_gradient = torch.full_like(score, -1.0)
            contrast = normaliser - score[:, 0]
            by_moved = probabilities.clone().scatter_add_(1, own, own_gradient) if prototypes.requires_grad else None
            by_logits = probabilities.mul_(1 + weight).scatter_add_(1, own, own_gradient)
        else:
            contrast, by_moved = cross_entropy_rows(
                inner, torch.empty_like(inner), inner_place[targets[pixels]][:, None]
            )
            by_logits = probabilities.mul_(weight).index_add_(1, part, by_moved)
        by_logits.scatter_add_(1, nearest, torch.full_like(similar, -weight / k))
        return Terms(contrast + weight * pull, by_logits, by_moved)

    return step
