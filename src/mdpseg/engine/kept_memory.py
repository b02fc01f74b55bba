"""Memory that a training step frees stays with the process for the next step, on a CPU under Linux.

A step frees some hundred megabytes of maps and asks for the same again. glibc gives what it has at its end back to the
system, which hands it out anew page by page, each filled with zeros: up to a quarter of a step's time. Torch keeps a
GPU's memory by itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType

import torch

# mallopt's parameters, from malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1  # bytes; an int is all that mallopt takes
# Where glibc's own thresholds end up once it has freed tensors of this size.
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20}


class KeptMemory:
    """Keeps freed memory while it is entered, if ``device`` is the CPU and the C library is glibc.

    Args:
        device: where the run computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._mallopt = _glibc("mallopt") if device.type == "cpu" else None

    def __enter__(self) -> KeptMemory:
        self._set({_TRIM_THRESHOLD: _NEVER, _MMAP_THRESHOLD: _NEVER})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._set(_USUAL)
        if self._mallopt is not None and (trim := _glibc("malloc_trim")) is not None:
            trim(0)

    @contextmanager
    def given_back(self) -> Generator[None, None, None]:
        """For what works on images of many sizes: among the holes that these leave, kept memory would grow."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    def _set(self, thresholds: dict[int, int]) -> None:
        if self._mallopt is not None:
            for parameter, value in thresholds.items():
                self._mallopt(parameter, value)


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library, or None where it is another library."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # only glibc has it
        function: Callable[..., int] = getattr(library, name)
    except (OSError, AttributeError, TypeError):  # TypeError: Windows has no library without a name
        return None
    return function
