"""A class from a few examples: where its pixels lie among the embeddings, and when it wins over trained classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.bank import region_means
from mdpseg.errors import UserError
from mdpseg.objectives.pixels import at_size

# Numbers of embeddings that are kept from one look at the examples to the next, 512 MiB; the others are made again.
MOST_KEPT = 2**27
_CHUNK = 2**14  # cells that are compared with all classes at once


class Example(NamedTuple):
    """One image of a class.

    Attributes:
        inside: bool [h * w], which of its embeddings show the class.
        region: float32 [D] of unit length, their mean (step 1 of the two-step average).
    """

    inside: Tensor
    region: Tensor


def learn_class(
    looks: Iterable[tuple[Tensor, Example]], again: Callable[[int], Tensor], others: Tensor, temperature: float
) -> tuple[Tensor, float]:
    """Looks at all examples for the class's prototype, and once more for the offset that it needs.

    Args:
        looks: the embeddings float32 [D, h, w] and the example of each image.
        again: makes the embeddings of an image, by its number, once more.
        others: float32 [N, D], prototypes of the trained classes beside the new one.
        temperature: tau.

    Returns:
        the region embeddings [images, D]; the offset, 0 where there are no others.
    """
    seen: list[Example] = []
    kept: dict[int, Tensor] = {}
    room = MOST_KEPT
    for number, (embeddings, example) in enumerate(looks):
        seen.append(example)
        if embeddings.numel() <= room:
            kept[number] = embeddings
            room -= embeddings.numel()
    regions = torch.stack([example.region for example in seen])
    if not len(others):
        return regions, 0.0
    prototype = F.normalize(regions.sum(0), dim=0)
    margins = [
        margins_over(kept[number] if number in kept else again(number), prototype, others, temperature)
        for number in range(len(seen))
    ]
    return regions, winning_offset(torch.cat(margins), torch.cat([example.inside for example in seen]))


def check_region(region: Any, pixels: Tensor, number: int) -> Tensor:
    """A user's region as bool [H, W].

    Raises:
        UserError: it is empty, or of another kind or size than its image, ``pixels`` [3, H, W].
    """
    chosen = torch.as_tensor(np.asarray(region))
    if chosen.dtype != torch.bool or chosen.shape != pixels.shape[1:]:
        raise UserError(
            f"Example {number}: the region has dtype {chosen.dtype} and shape {list(chosen.shape)}; expected bool "
            f"{list(pixels.shape[1:])}, as the image."
        )
    if not bool(chosen.any()):
        raise UserError(f"Example {number}: the region is empty; mark the pixels that show the class.")
    return chosen


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
    return Example(cells.flatten() == 0, mean)


def margins_over(embeddings: Tensor, prototype: Tensor, others: Tensor, temperature: float) -> Tensor:
    """How far a new class's logit is over the best of the others, at each embedding.

    Args:
        embeddings: float32 [D, h, w] of unit length.
        prototype: float32 [D], the class's.
        others: float32 [N, D], prototypes of the trained classes beside it; at least one.
        temperature: tau.

    Returns:
        float32 [h * w].
    """
    chunks = torch.split(embeddings.flatten(1).T, _CHUNK)  # [P, D] each
    return torch.cat([chunk @ prototype - (chunk @ others.T).amax(1) for chunk in chunks]) / temperature


def winning_offset(margins: Tensor, inside: Tensor) -> float:
    """What is taken off the logits of a new class, so that it wins inside the examples' regions and loses outside.

    A mean of embeddings is near to everything in its image, learned prototypes are not: without an offset, the new
    class would win nearly everywhere (docs/prototypes.md has the figures).

    Args:
        margins: float32 [P], as :func:`margins_over` gives them, of all examples.
        inside: bool [P], which of them show the class; at least one.

    Returns:
        the offset with the fewest errors, inside and outside counted alike; where nothing is outside, the one with
        which a tenth of the inside is lost.
    """
    rising = margins.sort().values
    if bool(inside.all()):
        return float(rising[len(rising) // 10]) - 1e-3  # that pixel itself is won, also where all are alike
    candidates = ((rising[1:] + rising[:-1]) / 2)[:: max(1, len(rising) // 200)].contiguous()  # [N]
    shown, rest = margins[inside].sort().values, margins[~inside].sort().values
    # counted in sorted margins: a table of each margin beside each candidate would not fit into memory
    lost = torch.searchsorted(shown, candidates, right=True)  # [N]
    won = len(rest) - torch.searchsorted(rest, candidates, right=True)
    errors = lost / len(shown) + won / len(rest)
    return float(candidates[errors.argmin()])
