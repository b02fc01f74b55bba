"""Cross-entropy of logits that are enlarged to the size of their labels, a few images at a time."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.losses.one_pass import Gradients, one_pass
from mdpseg.losses.reduction import rows_at_once
from mdpseg.losses.streamed import cross_entropy_rows


def enlarged_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum over labelled pixels of the cross-entropy of bilinearly enlarged logits.

    Enlarged logits and their gradient, by far the largest tensors of a fine-tuning's step, stand for a few images only,
    and are gone through as rows of classes that fit a cache: a third of the time on a CPU (150 classes), and memory
    that does not grow with the batch.

    Args:
        logits: [B, K, h, w], any float dtype (computed in float32).
        targets: int64 [B, H, W], -1 counts for nothing.

    Returns:
        A float32 scalar.
    """
    return one_pass(partial(_sum_and_gradient, targets=targets), logits)


def _sum_and_gradient(inputs: tuple[Tensor, ...], needs: tuple[bool, ...], targets: Tensor) -> tuple[Tensor, Gradients]:
    (logits,) = inputs
    classes, size = logits.shape[1], targets.shape[-2:]
    total = torch.zeros((), device=logits.device)
    gradient = torch.empty_like(logits) if needs[0] else None
    images = rows_at_once(classes * size.numel(), logits.device)
    pixels = rows_at_once(classes, logits.device)
    with torch.autocast(logits.device.type, enabled=False):
        for first in range(0, len(logits), images):
            part = slice(first, first + images)
            few = logits[part].detach().to(torch.float32, memory_format=torch.channels_last).requires_grad_(needs[0])
            with torch.set_grad_enabled(needs[0]):
                enlarged = F.interpolate(few, size, mode="bilinear", align_corners=False)  # [b, K, H, W]
            rows = enlarged.detach().permute(0, 2, 3, 1).reshape(-1, classes)  # [b * H * W, K]
            by_rows, labels = torch.empty_like(rows), targets[part].flatten()
            parts = (torch.split(tensor, pixels) for tensor in (rows, by_rows, labels))
            for chunk, room, label in zip(*parts, strict=True):
                counted, own = (label >= 0).float(), label.clamp_min(0)[:, None]
                terms, by_logits = cross_entropy_rows(chunk, room, own)
                total = total + counted.dot(terms)
                by_logits.mul_(counted[:, None])
            if gradient is not None:
                by_enlarged = by_rows.view(-1, *size, classes).permute(0, 3, 1, 2)
                gradient[part] = torch.autograd.grad(enlarged, few, by_enlarged)[0].to(gradient.dtype)
    return total, (gradient,)
