"""Vectors of unit length along the channels, with a gradient in three passes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_SHORTEST = 1e-12  # as F.normalize has it


def unit_length(vectors: Tensor) -> Tensor:
    """``F.normalize(vectors, dim=1)``, whose own gradient takes eight passes over the tensor.

    Args:
        vectors: float [B, C, ...].

    Returns:
        The same shape; a vector of zeros stays one. Its gradient has no gradient.
    """
    if torch.is_grad_enabled() and vectors.requires_grad:
        found: Tensor = _UnitLength.apply(vectors)
        return found
    return F.normalize(vectors, dim=1, eps=_SHORTEST)  # which every exporter knows


class _UnitLength(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        scale = torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min_(_SHORTEST).reciprocal_()
        units: Tensor = vectors * scale
        ctx.save_for_backward(units, scale)
        return units

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """(g - u (u . g)) / length: only what turns the vector remains."""
        units, scale = ctx.saved_tensors
        along = (gradient * units).sum(1, keepdim=True)
        return torch.addcmul(gradient, units, along, value=-1).mul_(scale)
