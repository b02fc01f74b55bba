"""What one process builds of a step: its own images, how they are mixed, and the partners that this takes.

All of it follows from the seed and the draw numbers, so every process knows the whole step without asking another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from mdpseg.data.draws import generator
from mdpseg.mixing import region_box

Box = tuple[int, int, int, int]
_NO_BOX: Box = (0, 0, 0, 0)


@dataclass(frozen=True)
class MixingDraws:
    """Which mixes are drawn: ``off``, ``region``, ``pixel`` or ``both``, each with ``probability`` an image."""

    kind: str = "off"
    probability: float = 0.5


@dataclass(frozen=True)
class Mix:
    """How one image is mixed.

    Attributes:
        box: (top, left, height, width) pasted from ``region_partner``; an empty one pastes nothing.
        region_partner: an image of the step.
        lam: share that the image keeps beside ``pixel_partner``; 1 blends nothing.
        pixel_partner: an image of the step.
    """

    box: Box
    region_partner: int
    lam: float
    pixel_partner: int


@dataclass(frozen=True)
class Share:
    """One process's part of a step.

    Attributes:
        places: its own images' places in the step and, behind them, those of the partners that it needs besides.
        own: how many are its own.
        mixes: one for each of ``places``; their partners are indices into ``places``.
    """

    places: list[int]
    own: int
    mixes: list[Mix]


def share_of_step(
    numbers: Sequence[int], datasets: Sequence[int], mixing: MixingDraws, seed: int, side: int, rank: int, ranks: int
) -> Share:
    """Splits a step among ``ranks`` processes, in order; partners are drawn from the whole step, wherever they lie.

    Args:
        numbers: draw numbers of the step.
        datasets: the dataset of each.
        mixing: which mixes are drawn.
        seed: of the draws.
        side: height and width of the crops.
        rank: this process.
        ranks: how many there are.
    """

    def drawn(place: int) -> Mix:
        return _draw_mix(place, numbers[place], datasets, mixing, seed, side)

    own = range(rank * len(numbers) // ranks, (rank + 1) * len(numbers) // ranks)
    mixes = {place: drawn(place) for place in own}
    for mix in list(mixes.values()):  # an image is blended with its partner as the boxes left that
        if mix.lam < 1 and mix.pixel_partner not in mixes:
            mixes[mix.pixel_partner] = replace(drawn(mix.pixel_partner), lam=1.0)
    for mix in list(mixes.values()):
        if mix.box != _NO_BOX and mix.region_partner not in mixes:
            mixes[mix.region_partner] = Mix(_NO_BOX, mix.region_partner, 1.0, mix.region_partner)
    index = {place: i for i, place in enumerate(mixes)}
    return Share(
        list(mixes),
        len(own),
        [  # a partner that is not built is not used: the image stands in for it
            replace(mix, region_partner=index.get(mix.region_partner, i), pixel_partner=index.get(mix.pixel_partner, i))
            for i, mix in enumerate(mixes.values())
        ],
    )


def _draw_mix(place: int, number: int, datasets: Sequence[int], mixing: MixingDraws, seed: int, side: int) -> Mix:
    """Lambda ~ Beta(1, 1) = U(0, 1) for each kind; partners are of other datasets if there are any."""
    others = [i for i, dataset in enumerate(datasets) if dataset != datasets[place]]
    others = others or [i for i in range(len(datasets)) if i != place] or [place]
    source = generator(seed, number, "mixing")
    on_region, on_pixel, lam_region, lam_pixel, r, p = torch.rand(6, generator=source).tolist()
    box, lam = _NO_BOX, 1.0
    if mixing.kind in ("region", "both") and on_region < mixing.probability:
        box = region_box(side, side, lam_region, source)
    if mixing.kind in ("pixel", "both") and on_pixel < mixing.probability:
        lam = lam_pixel
    return Mix(box, others[int(r * len(others))], lam, others[int(p * len(others))])
