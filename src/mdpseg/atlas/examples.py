"""Typical regions of each class, as small pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.data.readers.pairs import Sample
from mdpseg.pages.picture import crop_of_class, data_uri

KEPT = 3
SIDE = 96
_LARGE_ENOUGH = 16  # pixels of the embedding map; smaller regions are shown only for want of larger ones


@dataclass(frozen=True)
class Example:
    """One region.

    Attributes:
        typical: cosine of the region's mean embedding with its class's prototype; small regions lie 1 lower.
        image: the image's name, ``dataset/id``.
        uri: the picture.
    """

    typical: float
    image: str
    uri: str


class Examples:
    """The most typical regions met so far.

    Attributes:
        best: for each class up to three examples, the most typical one first.
    """

    def __init__(self, num_classes: int) -> None:
        self.best: list[list[Example]] = [[] for _ in range(num_classes)]

    def add(
        self, sample: Sample, targets: Tensor, embeddings: Tensor, small: Tensor, prototypes: Tensor, dataset: str
    ) -> None:
        """Looks at the regions of one image.

        Args:
            sample: the image.
            targets: int64 [H, W] its global ids.
            embeddings: [D, h, w].
            small: int64 [h, w], the targets at that size.
            prototypes: [K, D].
            dataset: the name of the image's dataset.
        """
        for target in torch.unique(small[small >= 0]).tolist():
            pixels = embeddings[:, small == target]  # [D, n]
            typical = float(F.normalize(pixels.mean(1), dim=0) @ prototypes[target])
            if pixels.shape[1] < _LARGE_ENOUGH:
                typical -= 1
            best = self.best[target]
            if len(best) == KEPT and typical <= best[-1].typical:
                continue
            uri = data_uri(crop_of_class(sample.image, targets == target, SIDE))
            best.append(Example(typical, f"{dataset}/{sample.id}", uri))
            best.sort(key=lambda example: -example.typical)
            del best[KEPT:]
