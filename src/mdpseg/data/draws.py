"""Numbered draws: everything random about a training image follows from (seed, number) alone.

So the loader keeps no state, the order does not depend on the number of workers, and a resumed run starts at the next
number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch


def generator(seed: int, number: int, purpose: str) -> torch.Generator:
    """A generator of its own for each (seed, number, purpose); equal on every machine and in every process."""
    digest = hashlib.blake2b(f"{seed}/{number}/{purpose}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)


@dataclass(frozen=True)
class Draw:
    """Draw ``number``: image ``index`` of dataset ``dataset``."""

    number: int
    dataset: int
    index: int


class Draws:
    """An endless numbered sequence of draws from several datasets, with replacement.

    Args:
        sizes: number of images of each dataset.
        seed: fixes the sequence.
        sampling: a dataset's share of the draws: by ``size``, ``equal``, or ``temperature``: size ** alpha.
        alpha: exponent of ``temperature``.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        seed: int,
        sampling: Literal["size", "equal", "temperature"] = "temperature",
        alpha: float = 0.5,
    ) -> None:
        exponent = {"size": 1.0, "equal": 0.0, "temperature": alpha}[sampling]
        counts = torch.tensor(sizes, dtype=torch.float64)
        weights = counts**exponent
        if not bool(weights.isfinite().all()):
            weights = (counts / counts.max()) ** exponent
        self.sizes, self.seed = list(sizes), seed
        self.shares = weights / weights.sum()  # [datasets]

    def __getitem__(self, number: int) -> Draw:
        source = generator(self.seed, number, "image")
        dataset = int(torch.multinomial(self.shares, 1, generator=source))
        index = int(torch.randint(self.sizes[dataset], (1,), generator=source))
        return Draw(number, dataset, index)

    def replacement(self, draw: Draw, attempt: int) -> Draw:
        """Another image of the same dataset for the same number, where the one of ``draw`` cannot be read."""
        source = generator(self.seed, draw.number, f"replacement {attempt}")
        return replace(draw, index=int(torch.randint(self.sizes[draw.dataset], (1,), generator=source)))
