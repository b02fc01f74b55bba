"""What the losses share: how many pixels are computed at once, and their weighted mean."""

from __future__ import annotations

import torch
from torch import Tensor

from mdpseg import ranks

# Entries of the largest pixels x classes matrix held at once (float32: 1 MiB). On a CPU with AVX-512 1 and 2 MiB cost
# least of 0.5 to 4, with AVX2 0.7 MiB does, measured at 342 columns; that a GPU wants fewer, larger pieces is a guess.
CHUNK_ENTRIES = 1 << 18
GPU_CHUNKS = 64

# Stands for "not in the denominator". Finite, since a row of -inf has a NaN gradient.
OUTSIDE = -1e30


def rows_at_once(columns: int, device: torch.device) -> int:
    """How many rows of that many columns are computed at once, at least 1."""
    entries = CHUNK_ENTRIES * (1 if device.type == "cpu" else GPU_CHUNKS)
    return max(1, entries // max(1, columns))


def weighted_mean(total: Tensor, weights: Tensor) -> Tensor:
    """``total`` / the sum of ``weights``, and 0 (with ``total``'s gradient path) where that sum is 0.

    Where several processes share a batch, the sum is over all of it, and the result is this process's part times their
    number: the mean of the processes' results, and of their gradients, is that of the whole batch.
    """
    whole = ranks.summed(weights.sum())
    return ranks.count() * total / whole.where(whole > 0, 1)  # not a tiny number: a gradient of 0 / tiny is no 0


def pixel_weights(weights: Tensor | None, targets: Tensor) -> Tensor:
    """The given weights, or 1 for every pixel; float32 [N]."""
    return torch.ones_like(targets, dtype=torch.float32) if weights is None else weights.float()
