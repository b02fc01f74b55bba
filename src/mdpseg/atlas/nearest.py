"""For each class the nearest ones of every other dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mdpseg.label_space import LabelSpace

SHOWN = 3


@dataclass(frozen=True)
class Neighbour:
    """``other`` as seen from ``this``, both global ids.

    Attributes:
        this, other: classes of different datasets.
        similarity: cosine of their vectors.
        rank: 1 if no class of other's dataset is nearer to this one.
        rank_back: 1 if no class of this one's dataset is nearer to the other. Both 1: they are mutual.
    """

    this: int
    other: int
    similarity: float
    rank: int
    rank_back: int

    def row(self, names: Sequence[str], shares: Tensor) -> dict[str, Any]:
        """As a row of nearest.csv; with the shares of pixels that go over, in both directions."""
        return {
            "class": names[self.this],
            "other": names[self.other],
            "similarity": round(self.similarity, 4),
            "rank": self.rank,
            "rank_back": self.rank_back,
            "forward": round(float(shares[self.this, self.other]), 4),
            "back": round(float(shares[self.other, self.this]), 4),
        }


def nearest_classes(vectors: Tensor, present: Tensor, space: LabelSpace, shown: int = SHOWN) -> list[Neighbour]:
    """The ``shown`` nearest classes in each other dataset, for each class with a prototype.

    Args:
        vectors: [K, D] unit vectors.
        present: bool [K].
        space: the K classes.
        shown: how many a dataset.
    """
    similarity = vectors @ vectors.T  # [K, K]
    owner = space.dataset_of_class()
    ranks = torch.zeros_like(similarity, dtype=torch.int64)  # [a, b]: place of b among its dataset's, seen from a
    groups = [((owner == d) & present).nonzero()[:, 0] for d in range(len(space.datasets))]
    for group in groups:
        order = similarity[:, group].argsort(dim=1, descending=True, stable=True)
        ranks[:, group] = order.argsort(dim=1) + 1
    found = []
    for a in present.nonzero()[:, 0].tolist():
        for d, group in enumerate(groups):
            if d == int(owner[a]) or not len(group):
                continue
            best = group[similarity[a, group].argsort(descending=True, stable=True)[:shown]]
            found += [
                Neighbour(a, b, float(similarity[a, b]), int(ranks[a, b]), int(ranks[b, a])) for b in best.tolist()
            ]
    return found
