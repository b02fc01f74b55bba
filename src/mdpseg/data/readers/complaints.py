"""Faults of single files that show when a dataset is opened: raised one at a time, or gathered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mdpseg.errors import BadFileError

_gathered: ContextVar[list[BadFileError] | None] = ContextVar("gathered", default=None)


def complain(fault: BadFileError) -> None:
    """Raises the fault; inside :func:`gather` it is noted, and the caller goes on without the file."""
    faults = _gathered.get()
    if faults is None:
        raise fault
    faults.append(fault)


@contextmanager
def gather() -> Iterator[list[BadFileError]]:
    """While it is open, datasets open in spite of bad files; gives the list that all complaints go to."""
    faults: list[BadFileError] = []
    token = _gathered.set(faults)
    try:
        yield faults
    finally:
        _gathered.reset(token)
