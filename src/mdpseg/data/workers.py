"""The processes that read for a run: how they begin."""

from __future__ import annotations

import signal

from mdpseg.freed_memory import keep_freed_memory

# Seconds that the run has to end its step, and us with it; then we end ourselves.
_GRACE = 20


def begin_worker(_worker: int) -> None:
    """What each of them does first.

    Ctrl-C and SLURM reach every process of a run; one that reads must live until the run's step is whole. And an image
    is decoded into memory that the one before it had.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))
    keep_freed_memory()
