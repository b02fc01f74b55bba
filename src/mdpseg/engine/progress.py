"""Progress of a run: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mdpseg.engine.run_folder import RunFolder


class StepProgress:
    """Shows the steps of a run.

    Args:
        run: whose console and log are written to.
        start: the first step.
        end: the step after the last.
        images: images a step, for the rate.
    """

    def __init__(self, run: RunFolder, start: int, end: int, images: int) -> None:
        self.run, self.start, self.end, self.images = run, start, end, images
        self.began = time.perf_counter()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=run.console,
            disable=not run.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task("", total=end, completed=start)

    def __enter__(self) -> StepProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def step(self, done: int) -> None:
        """Moves the bar to ``done`` steps."""
        self.bar.update(self.task, completed=done)

    def report(self, done: int, values: dict[str, float]) -> float:
        """Tells the values of a step: on the bar, or as a line.

        Returns:
            Images a second since the start.
        """
        seconds = time.perf_counter() - self.began
        rate = (done - self.start) * self.images / seconds
        text = " ".join(f"{name} {value:.4g}" for name, value in values.items()) + f" {rate:.1f} img/s"
        left = (self.end - done) * seconds / (done - self.start)
        if self.bar.disable:
            self.run.log(f"step {done}/{self.end} {text}, {left / 60:.1f} min left")
        else:
            self.bar.update(self.task, description=text)
        return rate
