import ctypes
import platform
import resource
import subprocess
import sys

import pytest

from mdpseg.freed_memory import keep_freed_memory

# 64 MB, freed and taken again: malloc would give such blocks back at once, and all their pages be new the next time
FAULTS = """
import resource, sys
import torch
from mdpseg.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
for turn in range(20):
    torch.ones(1 << 24)
    if turn == 14:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told so")
def test_memory_that_was_freed_needs_no_new_pages():
    def faults(how):
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    blocks_of_pages = 5 * (1 << 26) // resource.getpagesize()
    assert faults("keep") < 0.01 * blocks_of_pages
    assert faults("not") > 0.1 * blocks_of_pages  # pages may be larger than they say


def test_other_libraries_are_left_alone(monkeypatch):
    keep_freed_memory.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    try:
        assert not keep_freed_memory()
    finally:
        keep_freed_memory.cache_clear()
