"""Rare classes' pixels count more: weights by how many pixels of a class the run has seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mdpseg import ranks

_MOST = 10.0  # a class seen for the first time would outweigh all others


class ClassBalance(nn.Module):
    """Weights of pixels, (mean count of the classes seen / count of the pixel's class) ** exponent, at most 10.

    Args:
        num_classes: K.
        exponent: 0: every pixel counts the same; 1: every class does.
    """

    pixels: Tensor

    def __init__(self, num_classes: int, exponent: float) -> None:
        super().__init__()
        self.exponent = exponent
        if exponent:
            self.register_buffer("pixels", torch.zeros(num_classes, dtype=torch.int64))

    @torch.no_grad()
    def count(self, targets: Tensor) -> None:
        """Takes note of a batch, int64 targets of any shape, -1 ignored; once a step."""
        if self.exponent:
            new = torch.zeros_like(self.pixels)
            labels = targets.flatten()
            new.index_add_(0, labels.clamp_min(0), (labels >= 0).long())
            self.pixels += ranks.summed(new)

    def forward(self, targets: Tensor, weights: Tensor) -> Tensor:
        """``weights``, float32 of the targets' shape, times the weight of each pixel's class."""
        if not self.exponent:
            return weights
        seen = self.pixels > 0
        mean = self.pixels.sum() / seen.sum().clamp_min(1)
        by_class = (mean / self.pixels.clamp_min(1)).pow(self.exponent).clamp_max(_MOST)  # [K]
        return weights * by_class[targets.clamp_min(0)]
