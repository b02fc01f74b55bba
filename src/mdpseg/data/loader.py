"""Turns draw numbers into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mdpseg.batch import Batch
from mdpseg.config import AugmentConfig
from mdpseg.data.augment import augment
from mdpseg.data.draws import Draws, generator
from mdpseg.data.readers.pairs import Sample
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace, unlabelled_targets
from mdpseg.mixing import region_box


class Reader(Protocol):
    """What every dataset reader offers.

    Attributes:
        name: the dataset's name in the recipe.
        label_set: the dataset of the label space whose local ids its masks hold. Mostly ``name``; several readers may
            share one (label sets merged by hand); None: its images have no labels.
        classes: the names of those local ids.
        catch_all: the class among them that collects the rest, if there is one.
    """

    name: str
    label_set: str | None
    classes: list[str]
    catch_all: str | None

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class MixingDraws:
    """Which mixes are drawn: ``off``, ``region``, ``pixel`` or ``both``, each with ``probability`` an image."""

    kind: str = "off"
    probability: float = 0.5


@dataclass(frozen=True)
class _Item:
    image: Tensor  # uint8 [3, crop, crop]
    mask: Tensor  # uint8 [crop, crop]
    number: int
    dataset: int
    label_set: str | None
    name: str


class _DrawnImages(Dataset[_Item | UserError]):
    """Image number n, read and augmented. Errors travel as values: a worker would bury them in its traceback."""

    def __init__(self, readers: Sequence[Reader], draws: Draws, config: AugmentConfig) -> None:
        self.readers, self.draws, self.config = readers, draws, config

    def __getitem__(self, number: int) -> _Item | UserError:
        draw = self.draws[number]
        reader = self.readers[draw.dataset]
        try:
            sample = reader[draw.index]
        except UserError as error:
            return error
        source = generator(self.draws.seed, number, "augment")
        image, mask = augment(sample.image, sample.mask, self.config, source)
        return _Item(image, mask, number, draw.dataset, reader.label_set, f"{reader.name}/{sample.id}")


class _Collate:
    """Stacks items, encodes labels, and draws each image's mixing."""

    def __init__(self, label_space: LabelSpace, mixing: MixingDraws, seed: int) -> None:
        self.label_space, self.mixing, self.seed = label_space, mixing, seed

    def __call__(self, items: list[_Item | UserError]) -> Batch | UserError:
        good = [item for item in items if isinstance(item, _Item)]
        if len(good) < len(items):
            return next(item for item in items if isinstance(item, UserError))
        try:
            targets = [self._targets(item) for item in good]
        except UserError as error:
            return error
        datasets = [item.dataset for item in good]
        height, width = good[0].mask.shape
        mixes = [self._mixing(i, item.number, datasets, height, width) for i, item in enumerate(good)]
        boxes, region_partners, lam, pixel_partners = zip(*mixes, strict=True)
        return Batch(
            images=torch.stack([item.image for item in good]),
            targets=torch.stack(targets),
            datasets=torch.tensor(datasets),
            boxes=torch.tensor(boxes),
            region_partners=torch.tensor(region_partners),
            lam=torch.tensor(lam, dtype=torch.float32),
            pixel_partners=torch.tensor(pixel_partners),
            names=tuple(item.name for item in good),
        )

    def _targets(self, item: _Item) -> Tensor:
        if item.label_set is None:
            return unlabelled_targets(item.mask)
        return self.label_space.encode(item.mask, item.label_set, file=item.name)

    def _mixing(
        self, place: int, number: int, datasets: Sequence[int], height: int, width: int
    ) -> tuple[tuple[int, int, int, int], int, float, int]:
        """Box, its partner, lambda ~ Beta(1, 1) = U(0, 1), its partner; partners are of other datasets if there are."""
        others = [i for i, dataset in enumerate(datasets) if dataset != datasets[place]]
        others = others or [i for i in range(len(datasets)) if i != place] or [place]
        source = generator(self.seed, number, "mixing")
        on_region, on_pixel, lam_region, lam_pixel, r, p = torch.rand(6, generator=source).tolist()
        box, lam = (0, 0, 0, 0), 1.0
        if self.mixing.kind in ("region", "both") and on_region < self.mixing.probability:
            box = region_box(height, width, lam_region, source)
        if self.mixing.kind in ("pixel", "both") and on_pixel < self.mixing.probability:
            lam = lam_pixel
        return box, others[int(r * len(others))], lam, others[int(p * len(others))]


class _Numbers:
    """Batches of draw numbers for the steps from ``start`` to ``end``, this process's share of each."""

    def __init__(self, start: int, end: int, batch_size: int, rank: int, ranks: int) -> None:
        self.steps, self.batch_size, self.rank, self.ranks = range(start, end), batch_size, rank, ranks

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps:
            yield list(range(step * self.batch_size, (step + 1) * self.batch_size))[self.rank :: self.ranks]

    def __len__(self) -> int:
        return len(self.steps)


def batches(
    readers: Sequence[Reader],
    label_space: LabelSpace,
    draws: Draws,
    augmentation: AugmentConfig,
    *,
    start: int,
    end: int,
    batch_size: int,
    workers: int = 0,
    mixing: MixingDraws = MixingDraws(),
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[Batch]:
    """Yields the batches of steps ``start`` to ``end`` - 1; step s holds the draws s * batch_size and following.

    Args:
        readers: the datasets, in the order of ``draws.sizes``.
        label_space: encodes their masks; holds the label set of each reader that has one.
        draws: which image each number means.
        augmentation: crop, scale, flip, colours.
        start: first step.
        end: step after the last.
        batch_size: images a step, over all ranks.
        workers: processes that read; the batches do not depend on it.
        mixing: which mixes are drawn.
        rank: this process.
        ranks: how many processes share a step.

    Raises:
        UserError: an image or mask cannot be read or does not fit its dataset; names dataset, file and value.
    """
    loader = DataLoader(
        _DrawnImages(readers, draws, augmentation),
        batch_sampler=_Numbers(start, end, batch_size, rank, ranks),
        num_workers=workers,
        collate_fn=_Collate(label_space, mixing, draws.seed),
        pin_memory=torch.cuda.is_available(),
        # A generator of its own: the loader must not move the global random state, which dropout uses.
        generator=torch.Generator().manual_seed(draws.seed),
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch
