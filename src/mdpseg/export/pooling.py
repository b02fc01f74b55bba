"""Adaptive average pooling in operators that every exporter has: torch's own is exported for one input size alone."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock
from torch import Tensor, nn


class AdaptiveAverage(nn.Module):
    """What ``nn.AdaptiveAvgPool2d(bins)`` computes, as two matrix products.

    Shape: [B, C, H, W] -> [B, C, bins, bins].
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, maps: Tensor) -> Tensor:
        """Averages rows, then columns."""
        rows, columns = (self._shares(maps, side) for side in maps.shape[-2:])  # [bins, H], [bins, W]
        return torch.matmul(torch.matmul(rows, maps), columns.transpose(0, 1))

    def _shares(self, maps: Tensor, side: int) -> Tensor:
        """How much each cell counts in each bin: from floor(b * side / bins) up to ceil((b + 1) * side / bins)."""
        bins = torch.arange(self.bins, device=maps.device)[:, None]
        cells = torch.arange(side, device=maps.device)[None]
        inside = (cells >= bins * side // self.bins) & (cells < ((bins + 1) * side + self.bins - 1) // self.bins)
        shares = inside.to(maps.dtype)
        return shares / shares.sum(1, keepdim=True)


class PyramidLevel(nn.Module):
    """A level of PSPNet's pyramid. smp's own asks whether it is being exported, and then pools for one size alone.

    Shape: [B, C, H, W] -> [B, D, H, W].
    """

    def __init__(self, level: PSPBlock) -> None:
        super().__init__()
        self.pool = level.pool

    def forward(self, maps: Tensor) -> Tensor:
        """Averages, convolves, enlarges."""
        return F.interpolate(self.pool(maps), maps.shape[-2:], mode="bilinear", align_corners=True)


def with_plain_pooling(network: nn.Module) -> nn.Module:
    """A copy whose adaptive poolings are :class:`AdaptiveAverage`, and PSPNet's levels :class:`PyramidLevel`."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                bins: Any = child.output_size
                height, width = (bins, bins) if isinstance(bins, int) else bins
                if height is not None and height == width:
                    setattr(module, name, AdaptiveAverage(height))
            elif isinstance(child, PSPBlock):
                setattr(module, name, PyramidLevel(child))
    return network
