"""Union cross-entropy of a linear classifier: of a pixel's logits only those of its own dataset's classes are made."""

from __future__ import annotations

import torch
from torch import Tensor

from mdpseg.label_space import LabelSpace
from mdpseg.losses.groups import pixels_by_dataset, with_class
from mdpseg.losses.reduction import pixel_weights, weighted_mean
from mdpseg.losses.streamed import Group, Step, Terms, cross_entropy_rows, streamed_sum


def union_classification(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    label_space: LabelSpace,
    *,
    weights: Tensor | None = None,
) -> Tensor:
    """``union_cross_entropy(features @ weight.T + bias, targets, label_space)``, without the matrix of logits.

    Args:
        features: [N, C], any float dtype (computed in float32).
        weight: [K, C], the classifier's rows.
        bias: [K].
        targets: int64 [N] global ids, -1 counts for nothing.
        label_space: the K classes.
        weights: float [N], each pixel's weight in the mean; default 1.

    Returns:
        A float32 scalar.
    """
    w = pixel_weights(weights, targets)
    inputs = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
    rows = torch.cat([weight, bias[:, None]], dim=1)
    groups = [
        Group(pixels, torch.arange(own.start, own.stop, device=targets.device), _cross_entropy(targets, own.start))
        for pixels, own in pixels_by_dataset(targets, label_space)
    ]
    counted = w.where(with_class(targets, label_space), 0)
    return weighted_mean(streamed_sum(inputs, rows, groups, w, temperature=1.0), counted)


def _cross_entropy(targets: Tensor, offset: int) -> Step:
    def step(logits: Tensor, room: Tensor, pixels: Tensor) -> Terms:
        return Terms(*cross_entropy_rows(logits, room, (targets[pixels] - offset)[:, None]))

    return step
