"""Processes that read: what they make comes in order, and a user's error comes without their traceback."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from mdpseg.errors import UserError

Made = TypeVar("Made")

# Seconds that the run has to end its step, write a checkpoint of any size, and end us; then we end ourselves.
_GRACE = 600


def leave_signals_to_the_run(_worker: int) -> None:
    """Ctrl-C and SLURM reach every process of a run; one that reads must live until the run's step is whole."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))


def in_order(
    make: Callable[[int], Made],
    indices: Sequence[int],
    workers: int,
    worker_init_fn: Callable[[int], None] | None = None,
) -> Iterator[Made]:
    """``make(index)`` for each index, made in ``workers`` processes (0: in this one), a few ahead.

    Raises:
        UserError: as ``make`` raises it.
    """
    loader: DataLoader[Any] = DataLoader(
        _Making(make),
        sampler=indices,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=worker_init_fn,
        generator=torch.Generator(),
    )
    for made in loader:
        if isinstance(made, UserError):
            raise made
        yield made


class _Making(Dataset[Any], Generic[Made]):
    def __init__(self, make: Callable[[int], Made]) -> None:
        self.make = make

    def __getitem__(self, index: int) -> Made | UserError:
        try:
            return self.make(index)
        except UserError as error:  # raised in a worker it would come with the worker's traceback in its text
            return error


def _as_it_is(made: Any) -> Any:
    return made
