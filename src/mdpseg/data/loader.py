"""Turns draw numbers into batches."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from mdpseg.batch import Batch
from mdpseg.config import AugmentConfig
from mdpseg.data.augment import augment
from mdpseg.data.bad_files import BadFiles, read_or_replace
from mdpseg.data.draws import Draw, Draws, generator
from mdpseg.data.readers.pairs import Sample
from mdpseg.data.share import MixingDraws, share_of_step
from mdpseg.data.workers import leave_signals_to_the_run
from mdpseg.errors import BadFileError, UserError
from mdpseg.label_space import LabelSpace, unlabelled_targets


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


# A batch, and the bad files that other images took the place of.
_Step = tuple[Batch, list[BadFileError]]


class _Steps(Dataset[_Step | UserError]):
    """Step s as a batch: images read and augmented, labels encoded, mixing drawn.

    Errors travel as values: a worker would bury them in its traceback.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        label_space: LabelSpace,
        draws: Draws,
        augmentation: AugmentConfig,
        mixing: MixingDraws,
        batch_size: int,
        rank: int,
        ranks: int,
        skip: bool,
    ) -> None:
        self.readers, self.label_space, self.draws, self.augmentation = readers, label_space, draws, augmentation
        self.mixing, self.batch_size, self.rank, self.ranks = mixing, batch_size, rank, ranks
        self.skip = skip

    def __getitem__(self, step: int) -> _Step | UserError:
        try:
            return self._batch(step)
        except UserError as error:
            return error

    def _batch(self, step: int) -> _Step:
        draws = [self.draws[n] for n in range(step * self.batch_size, (step + 1) * self.batch_size)]
        share = share_of_step(
            [draw.number for draw in draws],
            [draw.dataset for draw in draws],
            self.mixing,
            self.draws.seed,
            self.augmentation.crop,
            self.rank,
            self.ranks,
        )
        skipped: list[BadFileError] = []
        count, side = len(share.places), self.augmentation.crop
        images, targets = _empty((count, 3, side, side), torch.uint8), _empty((count, side, side), torch.int64)
        names = tuple(self._item(draws[place], images[i], targets[i], skipped) for i, place in enumerate(share.places))
        batch = Batch(
            images=images,
            targets=targets,
            datasets=torch.tensor([draws[place].dataset for place in share.places]),
            boxes=torch.tensor([mix.box for mix in share.mixes]),
            region_partners=torch.tensor([mix.region_partner for mix in share.mixes]),
            lam=torch.tensor([mix.lam for mix in share.mixes], dtype=torch.float32),
            pixel_partners=torch.tensor([mix.pixel_partner for mix in share.mixes]),
            names=names,
            own=share.own,
        )
        return batch, skipped

    def _item(self, draw: Draw, crop: Tensor, targets: Tensor, skipped: list[BadFileError]) -> str:
        """Fills crop uint8 [3, crop, crop] and targets int64 [crop, crop]; adds to ``skipped``; gives the name."""
        reader = self.readers[draw.dataset]
        if self.skip:
            sample, faults = read_or_replace(reader, draw, self.draws)
            skipped += faults
        else:
            sample = reader[draw.index]
        name = f"{reader.name}/{sample.id}"
        source = generator(self.draws.seed, draw.number, "augment")
        _, mask = augment(sample.image, sample.mask, self.augmentation, source, out=crop)
        if reader.label_set is None:
            targets.copy_(unlabelled_targets(mask))
        else:
            self.label_space.encode(mask, reader.label_set, file=name, out=targets)
        return name


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor to be filled; a worker's lies in shared memory, or it would be copied on its way to the run."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    size = math.prod(shape) * dtype.itemsize
    storage: torch.UntypedStorage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage).view(shape)


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
    mixing: MixingDraws | None = None,
    rank: int = 0,
    ranks: int = 1,
    bad_files: BadFiles | None = None,
) -> Generator[Batch, None, None]:
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
        mixing: which mixes are drawn; default: none.
        rank: this process; its batches hold its share of each step, and behind it the partners from other shares.
        ranks: how many processes share a step.
        bad_files: takes note of files that cannot be read, which are skipped; default: the first one stops.

    Raises:
        UserError: an image or mask cannot be read or does not fit its dataset; names dataset, file and value.
    """
    skip = bad_files is not None
    loader = DataLoader(
        _Steps(readers, label_space, draws, augmentation, mixing or MixingDraws(), batch_size, rank, ranks, skip),
        sampler=range(start, end),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=leave_signals_to_the_run,
        pin_memory=torch.cuda.is_available(),
        # A generator of its own: the loader must not move the global random state, which dropout uses.
        generator=torch.Generator().manual_seed(draws.seed),
    )
    for loaded in loader:
        if isinstance(loaded, UserError):
            raise loaded
        batch, skipped = loaded
        for fault in skipped:
            assert bad_files is not None  # or nothing is skipped
            bad_files.skip(fault)
        yield batch
