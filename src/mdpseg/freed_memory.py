"""Freed memory stays with the process: the next image's feature maps need no new pages from the system."""

from __future__ import annotations

import ctypes
import functools
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # as glibc's malloc.h has them


@functools.cache
def keep_freed_memory() -> bool:
    """Tells glibc's malloc to hand no freed memory back, for as long as this process lives.

    Otherwise each feature map of some megabytes comes from the system as pages that are cleared on first use, and goes
    back when it is freed: a tenth of the time of a large network on the CPU (benchmarks/evaluation.py). What is kept is
    what was needed at once. Linux with glibc only; elsewhere nothing happens.

    Returns:
        Whether malloc took it.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, -1))
