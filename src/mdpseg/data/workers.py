"""Signals in the processes that read for a run."""

from __future__ import annotations

import signal

# Seconds that the run has to end its step, write a checkpoint of any size, and end us; then we end ourselves.
_GRACE = 600


def leave_signals_to_the_run(_worker: int) -> None:
    """Ctrl-C and SLURM reach every process of a run; one that reads must live until the run's step is whole."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))
