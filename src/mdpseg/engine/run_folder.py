"""A run's folder, which explains itself: recipe, log, metrics, curves, checkpoint, weights, README."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from mdpseg.config import RunConfig
from mdpseg.errors import UserError
from mdpseg.files import write_text, write_whole
from mdpseg.recipe import dump


class RunFolder:
    """Where a run writes; made by :func:`open_run`.

    Attributes:
        path: the folder.
        console: the terminal that messages also go to.
    """

    def __init__(self, path: Path, console: Console) -> None:
        self.path, self.console = path, console
        self.metrics_file = path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Where the state to resume from is kept."""
        return self.path / "last.ckpt"

    @property
    def weights(self) -> Path:
        """Where the finished network is kept."""
        return self.path / "weights.safetensors"

    def log(self, message: str) -> None:
        """Writes a line to the terminal and, with the time of day, to log.txt."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def record(self, **values: Any) -> None:
        """Appends one line of JSON to metrics.jsonl."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl."""
        if not self.metrics_file.is_file():
            return []
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]  # a killed run may leave half a line

    def write_recipe(self, config: RunConfig) -> None:
        """Writes recipe.yaml: every setting of the run."""
        write_text(self.path / "recipe.yaml", dump(config.model_copy(update={"resume": False})))

    def forget_after(self, step: int) -> None:
        """Drops the metrics of steps after ``step``: a resumed run writes them again."""
        kept = [json.dumps(record) + "\n" for record in self.records() if record["step"] <= step]
        write_text(self.metrics_file, "".join(kept))

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Writes last.ckpt, whole or not at all."""
        write_whole(self.checkpoint, lambda temporary: torch.save(state, temporary))

    def load_checkpoint(self) -> dict[str, Any]:
        """Reads last.ckpt (tensors, numbers and names only).

        Raises:
            UserError: it is damaged.
        """
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:
            raise UserError(
                f"{self.checkpoint} cannot be read ({type(error).__name__}); start again in a new folder."
            ) from error
        return state


@contextmanager
def open_run(config: RunConfig) -> Iterator[RunFolder]:
    """Makes (or, on resume, reopens) and locks the folder ``config.out``.

    A folder that was made here and holds neither checkpoint nor weights when the run fails is removed again.

    Raises:
        UserError: the folder holds a run already, another process uses it, or there is nothing to resume.
    """
    path = config.out
    made = not path.exists()
    if path.exists() and not path.is_dir():
        raise UserError(f"out={path} is a file; name a folder.")
    if config.resume and not (path / "last.ckpt").is_file():
        raise UserError(f"Nothing to resume: {path} holds no last.ckpt. Leave --resume out to start there.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock_file = (path / ".lock").open("w")
    except OSError as error:
        raise UserError(f"out={path} cannot be written ({error.strerror}); choose another folder.") from error
    with lock_file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{path} is in use by another run; wait for it, or choose another out=.") from None
        if not config.resume and any(file.name != ".lock" for file in path.iterdir()):
            (path / ".lock").unlink()
            raise UserError(f"{path} is not empty; choose another out=, or --resume to continue the run there.")
        run = RunFolder(path, Console(file=sys.stderr))
        try:
            if not config.resume:  # a resumed run writes it once its checkpoint turns out to fit
                run.write_recipe(config)
            yield run
        except BaseException:
            if not config.resume and not run.checkpoint.exists() and not run.weights.exists():
                shutil.rmtree(path)
                if not made:
                    path.mkdir()
            raise
        finally:
            (path / ".lock").unlink(missing_ok=True)
