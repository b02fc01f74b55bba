"""SIGTERM and Ctrl-C: training ends its step and writes a checkpoint first; a second signal stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import torch

from mdpseg import ranks

# Seconds that a step gets to end. SLURM and others kill some time after they asked; 10 s in all is what we promise.
PATIENCE = 7.0


class StopSignals:
    """While it is entered, a first signal is only noted; outside the main thread there are none to note.

    Attributes:
        asked: the signal that came, or 0.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._at_once = self._patient = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
                if signal.getsignal(number) != signal.SIG_IGN:  # a shell's background jobs ignore Ctrl-C
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if error is None and self.asked:  # it came when there was no further step to end
            raise ending(self.asked)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGALRM:  # the step does not end; the last checkpoint must do
            raise ending(self.asked)
        if self.asked or self._at_once:
            raise ending(number)
        self.asked = number
        if not self._patient:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def agreed(self, device: torch.device) -> int:
        """The signal that any process of the run was sent, or 0."""
        agreed = self.asked  # one that comes from here on is for the next step
        if ranks.count() > 1:
            agreed = int(ranks.rows(torch.tensor([agreed], device=device)).max())
        return agreed

    @contextmanager
    def patient(self) -> Iterator[None]:
        """While a checkpoint is written, which may take its time: a first signal sets no bound to it."""
        self._patient = True
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            yield
        finally:
            self._patient = False
            if self.asked and self._before:
                signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Where nothing would be lost: a signal does not wait for the end of the step."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False


def ending(number: int) -> BaseException:
    """What to raise after a signal: it ends the process with code 128 + ``number``, and cleans up on the way."""
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


@contextmanager
def sigterm_cleans_up() -> Iterator[None]:
    """SIGTERM ends the process as an exception does, not on the spot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        raise ending(number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
