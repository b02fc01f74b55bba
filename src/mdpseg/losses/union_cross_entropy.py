"""Supervised cross-entropy over a concatenated label space: the baseline that the method is measured against."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from mdpseg.label_space import LabelSpace
from mdpseg.losses.groups import pixels_by_dataset, with_class
from mdpseg.losses.one_pass import Gradients, one_pass
from mdpseg.losses.reduction import pixel_weights, rows_at_once, weighted_mean
from mdpseg.losses.streamed import cross_entropy_rows


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
        targets: int64 [N] global ids, -1 counts for nothing, nor does any other that is no class's.
        label_space: the K classes.
        weights: float [N], each pixel's weight in the mean; default 1.

    Returns:
        A float32 scalar.
    """
    w = pixel_weights(weights, targets)
    compute = partial(_sum_and_gradient, targets=targets, weights=w, label_space=label_space)
    return weighted_mean(one_pass(compute, logits), w.where(with_class(targets, label_space), 0))


def _sum_and_gradient(
    inputs: tuple[Tensor, ...], needs: tuple[bool, ...], targets: Tensor, weights: Tensor, label_space: LabelSpace
) -> tuple[Tensor, Gradients]:
    """The weighted sum over pixels and its gradient; of each pixel only its own dataset's logits are read."""
    (logits,) = inputs
    total = weights.new_zeros(())
    gradient = torch.zeros_like(logits) if needs[0] else None
    with torch.autocast(logits.device.type, enabled=False):
        for of_dataset, own in pixels_by_dataset(targets, label_space):
            columns = slice(own.start, own.stop)
            for pixels in torch.split(of_dataset, rows_at_once(len(own), logits.device)):
                rows = logits[:, columns].index_select(0, pixels).float()  # [n, own classes]
                label = (targets[pixels] - own.start)[:, None]
                terms, by_logits = cross_entropy_rows(rows, torch.empty_like(rows), label)
                total += weights[pixels].dot(terms)
                if gradient is not None:
                    by_logits.mul_(weights[pixels][:, None])
                    gradient[:, columns].index_copy_(0, pixels, by_logits.to(gradient.dtype))
    return total, (gradient,)
