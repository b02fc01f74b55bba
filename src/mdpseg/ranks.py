"""What the processes of one run tell each other. Alone, a process is told nothing and nothing is changed.

Every process must call these in the same order: each waits for the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from mdpseg.errors import UserError

Value = TypeVar("Value")

_LAST_WORDS = "mdpseg/last-words"
_CLOSED = "mdpseg/closed"
# What gloo and NCCL say when a process is gone or does not answer.
_CUT_OFF = re.compile(r"gloo|nccl|connection|broken pipe|timed? ?out", re.IGNORECASE)


def count() -> int:
    """How many processes the run has."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; process 0 writes the run's files."""
    return dist.get_rank() if count() > 1 else 0


def summed(tensor: Tensor) -> Tensor:
    """The sum of the processes' tensors, without gradient."""
    if count() == 1:
        return tensor
    total = tensor.detach().clone()
    dist.all_reduce(total)
    return total


def mean(tensor: Tensor) -> float:
    """The mean of the processes' scalars."""
    return float(summed(tensor.detach()) / count())


def rows(tensor: Tensor) -> Tensor:
    """The rows of all processes' tensors [N_r, ...], in the order of the processes, without gradient."""
    if count() == 1:
        return tensor
    tensor = tensor.detach()
    lengths = torch.zeros(count(), dtype=torch.int64, device=tensor.device)
    lengths[rank()] = len(tensor)
    dist.all_reduce(lengths)
    if not lengths.any():
        return tensor
    padded = tensor.new_zeros(int(lengths.max()), *tensor.shape[1:])
    padded[: len(tensor)] = tensor
    parts = [torch.empty_like(padded) for _ in range(count())]
    dist.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths.tolist(), strict=True)])


def objects(value: Value) -> list[Value]:
    """The processes' values, in their order."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value)
    return values


def from_rank(value: Value, source: int = 0) -> Value:
    """The value that process ``source`` has."""
    if count() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held, source)
    return held[0]


def closed() -> None:
    """Process 0 says that it has nothing left to write, for those that wait in :func:`leave`."""
    if count() > 1:
        with suppress(RuntimeError):  # whoever kept the word may be gone
            _store().set(_CLOSED, "")


def leave(code: int, patience: timedelta = timedelta(seconds=60)) -> SystemExit:
    """What another process than 0 raises where all end with ``code``: it waits until process 0 has closed the run.

    Whoever started the processes kills the others a moment after one has ended with such a code.
    """
    with suppress(RuntimeError):
        _store().wait([_CLOSED], patience)
    return SystemExit(code)


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()


@contextmanager
def together() -> Iterator[None]:
    """Leaves the others word of what ends this process; and where another process ended, ends with its words.

    Raises:
        UserError: another process of the run ended, or did not answer in time.
    """
    try:
        yield
    except BaseException as error:
        if count() == 1:
            raise
        store = _store()
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and _CUT_OFF.search(str(error))):
            raise UserError(f"Process {rank()} of {count()} ended: {_last_words(store, error)}") from error
        with suppress(RuntimeError):  # the process that kept it may be gone first
            store.set(_LAST_WORDS, f"process {rank()} said: {str(error) or type(error).__name__}")
        raise


def _last_words(store: Any, error: BaseException) -> str:
    with suppress(RuntimeError):
        if store.check([_LAST_WORDS]):
            return str(store.get(_LAST_WORDS).decode())
    return f"another process is gone or does not answer ({str(error).splitlines()[0]:.200}); see its own message."
