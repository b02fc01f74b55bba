import ctypes
import resource

import pytest
import torch

from mdpseg.engine import kept_memory
from mdpseg.engine.kept_memory import KeptMemory

CPU = torch.device("cpu")
MEGABYTES = 96  # more than glibc keeps by itself
PAGES = MEGABYTES * 2**20 // resource.getpagesize()

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="the C library is not glibc"
)


def new_pages() -> int:
    """Pages that the system hands out while a large tensor is made and freed, the least of some times.

    The first times it may lie elsewhere: glibc looks for more room than it needs in the end.
    """
    counts = []
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(MEGABYTES << 20, dtype=torch.uint8)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(counts)


def test_freed_memory_is_used_again_while_it_lasts():
    assert new_pages() > PAGES / 2
    with KeptMemory(CPU):
        assert new_pages() < PAGES / 10
    assert new_pages() > PAGES / 2


def test_it_is_given_back_for_what_is_called_between_steps():
    with KeptMemory(CPU) as memory:
        new_pages()
        with memory.given_back():
            assert new_pages() > PAGES / 2
        assert new_pages() < PAGES / 10


def test_it_is_kept_again_after_an_error_between_steps():
    with KeptMemory(CPU) as memory:
        with pytest.raises(KeyError), memory.given_back():
            raise KeyError
        assert new_pages() < PAGES / 10


def test_nothing_changes_for_another_device():
    with KeptMemory(torch.device("meta")) as memory, memory.given_back():
        assert new_pages() > PAGES / 2


def test_nothing_changes_with_another_c_library(monkeypatch):
    monkeypatch.setattr(kept_memory, "_glibc", lambda name: None)
    with KeptMemory(CPU) as memory, memory.given_back():
        assert new_pages() > PAGES / 2
