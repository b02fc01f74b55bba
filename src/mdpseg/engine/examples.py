"""A class from a few examples: where its pixels lie among the embeddings, and when it wins over trained classes."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.bank import region_means
from mdpseg.objectives.pixels import at_size


class Example(NamedTuple):
    """One image of a class.

    Attributes:
        embeddings: float32 [h * w, D] of unit length.
        inside: bool [h * w], which of them show the class.
        region: float32 [D] of unit length, their mean (step 1 of the two-step average).
    """

    embeddings: Tensor
    inside: Tensor
    region: Tensor


def make_example(embeddings: Tensor, region: Tensor, stride: int) -> Example:
    """Looks at one image.

    Args:
        embeddings: [D, h, w], one for every ``stride`` pixels.
        region: bool [H, W], not empty: the pixels that show the class.
        stride: of the embeddings.
    """
    size = embeddings.shape[1], embeddings.shape[2]
    below, right = (cells * stride - side for cells, side in zip(size, region.shape, strict=True))
    targets = F.pad(region.long() - 1, (0, right, 0, below), value=-1)[None]  # [1, h * stride, w * stride], 0 inside
    cells = at_size(targets, size)  # [1, h, w]
    if not bool((cells >= 0).any()):  # a region smaller than a cell: every cell that it touches
        cells = F.max_pool2d(targets.float(), stride).long()
    mean = region_means(embeddings[None], cells, 1)[0][0]
    return Example(embeddings.flatten(1).T, cells.flatten() == 0, mean)


def winning_offset(examples: list[Example], prototype: Tensor, others: Tensor, temperature: float) -> float:
    """What is taken off the logits of a new class, so that it wins inside the examples' regions and loses outside.

    A mean of embeddings is near to everything in its image, learned prototypes are not: without an offset, the new
    class would win nearly everywhere (docs/prototypes.md has the figures).

    Args:
        examples: of the class.
        prototype: float32 [D], the class's.
        others: float32 [N, D], prototypes of the trained classes beside it.
        temperature: tau.

    Returns:
        the offset with the fewest errors, inside and outside counted alike; where nothing is outside, the one with
        which a tenth of the inside is lost; 0 where there are no others.
    """
    if not len(others):
        return 0.0
    pixels = torch.cat([example.embeddings for example in examples])  # [P, D]
    inside = torch.cat([example.inside for example in examples])  # [P]
    margins = (pixels @ prototype - (pixels @ others.T).amax(1)) / temperature
    if bool(inside.all()):
        return float(margins.sort().values[len(margins) // 10])
    rising = margins.sort().values
    candidates = ((rising[1:] + rising[:-1]) / 2)[:: max(1, len(margins) // 200)]  # [N]
    wins = margins[:, None] > candidates  # [P, N]
    errors = (~wins[inside]).float().mean(0) + wins[~inside].float().mean(0)
    return float(candidates[errors.argmin()])
