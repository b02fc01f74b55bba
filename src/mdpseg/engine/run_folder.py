"""A run's folder, which explains itself: recipe, log, metrics, curves, checkpoint, weights, README."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from mdpseg import files, ranks, torch_file
from mdpseg.config import RunConfig
from mdpseg.engine.loggers import Loggers, check_loggers
from mdpseg.engine.stopping import sigterm_cleans_up
from mdpseg.errors import UserError
from mdpseg.files import disk_faults_are_told, is_temporary, remove_temporaries, write_text, write_whole
from mdpseg.history import History
from mdpseg.recipe import dump

CHECKPOINTS = ("last.ckpt", "previous.ckpt")  # the state to resume from, and the one before it

# Forked children, which read images, do not hold the locks: they outlive a killed run by seconds.
_locks: set[IO[str]] = set()
os.register_at_fork(after_in_child=lambda: [lock.close() for lock in _locks])


class RunFolder:
    """Where a run writes; made by :func:`open_run`.

    Attributes:
        path: the folder.
        console: the terminal that messages also go to.
        writes: whether this process does write; of several, the first one does.
        loggers: where metrics and pictures go beside; None in processes that do not write.
        history: what its weights are learned from, which its checkpoints keep.
        began: when it did, by ``time.perf_counter()``; of a resumed one, as if it had not stood still in between.
    """

    def __init__(self, path: Path, console: Console, writes: bool = True, *, began: float | None = None) -> None:
        self.path, self.console, self.writes = path, console, writes
        self.began = time.perf_counter() if began is None else began
        self.loggers: Loggers | None = None
        self.history: History | None = None
        self.metrics_file = path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Where the state to resume from is kept."""
        return self.path / CHECKPOINTS[0]

    @property
    def earlier_checkpoint(self) -> Path:
        """Where the state before that is kept."""
        return self.path / CHECKPOINTS[1]

    @property
    def weights(self) -> Path:
        """Where the finished network is kept."""
        return self.path / "weights.safetensors"

    def seconds(self) -> float:
        """How long it has taken, over all its resumptions; without what a killed run did after its last checkpoint."""
        return time.perf_counter() - self.began

    def log(self, message: str) -> None:
        """Writes a line to the terminal and, with the time of day, to log.txt."""
        if self.writes:
            self.log_from_any(message)

    def log_from_any(self, message: str) -> None:
        """As :meth:`log`, of what only one of several processes met; in the log alone where that is not the first."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)
        files.make_folder(self.path)  # another machine may not share it
        self._append(self.path / "log.txt", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def record(self, **values: Any) -> None:
        """Appends one line of JSON to metrics.jsonl, and tells the loggers."""
        if self.writes:
            self._append(self.metrics_file, json.dumps(values) + "\n")
        if self.loggers:
            self.loggers.scalars(values["step"], {name: value for name, value in values.items() if name != "step"})

    def _append(self, path: Path, line: str) -> None:
        with disk_faults_are_told(path), path.open("a", encoding="utf-8") as file:
            file.write(line)

    def records(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl."""
        return read_records(self.metrics_file)

    def write_recipe(self, config: RunConfig) -> None:
        """Writes recipe.yaml: every setting of the run."""
        if self.writes:
            write_text(self.path / "recipe.yaml", dump(config.model_copy(update={"resume": False})))

    def metrics_bytes(self) -> int:
        """The length of metrics.jsonl, once it is on the disk."""
        if not self.metrics_file.is_file():
            return 0
        with self.metrics_file.open("rb+") as file:
            os.fsync(file.fileno())
            return file.seek(0, os.SEEK_END)

    def cut_metrics(self, length: int) -> None:
        """Drops what metrics.jsonl holds after ``length`` bytes: a resumed run writes it again."""
        if self.writes and self.metrics_file.is_file():
            kept = self.metrics_file.read_bytes()[:length]
            whole = kept[: kept.rfind(b"\n") + 1]
            write_whole(self.metrics_file, lambda temporary: temporary.write_bytes(whole))

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Writes last.ckpt, whole or not at all; the one before becomes previous.ckpt."""
        if self.writes:
            torch_file.write(self.checkpoint, state, keep=self.earlier_checkpoint)

    def load_checkpoint(self, check: Callable[[Any], None]) -> dict[str, Any] | None:
        """The state in last.ckpt, or in previous.ckpt where that is damaged; None: neither is there.

        Args:
            check: raises ValueError, which says in a few words what is wrong, for other content than a run's state.

        Raises:
            UserError: what there is is damaged.
        """
        file, state, damaged = find_checkpoint(self.path, check)
        if file is None or state is None:
            if damaged:
                raise UserError(f"{'; '.join(damaged)}; start again in a new folder.")
            return None
        if damaged:
            self.log(f"{damaged[0]}; going back to {file.name}, of step {state.get('step')}")
        if file != self.checkpoint:
            file.replace(self.checkpoint)  # the damaged one must not become the previous one of the next
        return state


def find_checkpoint(folder: Path, check: Callable[[Any], None]) -> tuple[Path | None, dict[str, Any] | None, list[str]]:
    """The newest checkpoint that is whole, its state, and what is wrong with newer ones; changes nothing.

    Raises:
        UserError: this process may not read it.
    """
    damaged: list[str] = []
    for file in (folder / name for name in CHECKPOINTS):
        if not file.is_file():
            continue
        try:
            state = torch_file.read(file)  # tensors, numbers and names only
            check(state)
            return file, state, damaged
        except PermissionError as error:
            raise UserError(f"{file} cannot be read ({error.strerror}); correct its permissions.") from error
        except ValueError as error:
            damaged.append(f"{file} cannot be read ({error})")
    return None, None, damaged


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; none where there is no such file.

    Raises:
        UserError: a line is damaged.
    """
    if not path.is_file():
        return []
    found = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):  # a run that is still writing, or was killed
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"{path}, line {number} is not JSON: {line[:60]!r}; the file is damaged.") from None
        if isinstance(record, dict):
            found.append(record)
    return found


@contextmanager
def open_run(config: RunConfig, rank: int = 0, *, began: float | None = None) -> Iterator[RunFolder]:
    """Makes (or, on resume, reopens) and locks the folder ``config.out``.

    A folder that was made here and holds nothing of use yet when the run fails is removed again.

    Args:
        config: where, and whether the run is resumed.
        rank: which process of the run this is; the first one alone touches the folder.
        began: when the run did, by ``time.perf_counter()``; now, if not given.

    Raises:
        UserError: the folder holds a run already, another process uses it, or there is nothing to resume; or one of
            several processes of the run ended; or a logger's package is missing.
    """
    path = config.out
    check_loggers(config)
    if rank > 0:
        with sigterm_cleans_up(), ranks.together():
            yield RunFolder(path, Console(quiet=True), writes=False, began=began)
        return
    made = not path.exists()
    if path.exists() and not path.is_dir():
        raise UserError(f"out={path} is a file; name a folder.")
    if config.resume and not any((path / name).is_file() for name in (*CHECKPOINTS, "recipe.yaml")):
        raise UserError(f"Nothing to resume: {path} holds no last.ckpt. Leave --resume out to start there.")
    lock_file, locked = _lock(path)
    with lock_file as lock, sigterm_cleans_up():
        if not config.resume and any(file.name != ".lock" and not is_temporary(file) for file in path.iterdir()):
            if locked:
                (path / ".lock").unlink()
            raise UserError(f"{path} is not empty; choose another out=, or --resume to continue the run there.")
        remove_temporaries(path)
        run = RunFolder(path, Console(file=sys.stderr), began=began)
        if not locked:
            run.log("this file system has no locks: see to it that no other run writes here")
        run.loggers = Loggers(config, run.log)
        finished = False
        _locks.add(lock)
        try:
            if not config.resume:  # a resumed run writes it once its checkpoint turns out to fit
                run.write_recipe(config)
            with ranks.together():
                yield run
            finished = True
        except BaseException as error:
            run.loggers.close(finished)  # before their files are removed with the folder
            if not config.resume and not _holds_something(run):
                _empty(path)  # which may be a link, or where a disk is mounted
                if made:
                    with suppress(OSError):  # over NFS the open lock is still in there
                        path.rmdir()
            elif isinstance(error, KeyboardInterrupt | SystemExit):
                run.log("stopped; --resume continues from the last checkpoint")
            raise
        finally:
            run.loggers.close(finished)
            _locks.discard(lock)
            (path / ".lock").unlink(missing_ok=True)
            ranks.closed()


def _lock(path: Path) -> tuple[IO[str], bool]:
    """Makes the folder, unless it is there, and locks it; False where its file system has no locks."""
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            file = (path / ".lock").open("w")
        except OSError as error:
            raise UserError(f"out={path} cannot be written ({error.strerror}); choose another folder.") from error
        try:
            locked = files.lock(file, wait=False)
        except BlockingIOError:
            file.close()
            raise UserError(f"{path} is in use by another run; wait for it, or choose another out=.") from None
        if not locked or files.is_open_at(file, path / ".lock"):
            return file, locked
        file.close()  # the run before removed it in between, and the next one may lock a file of its own


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _holds_something(run: RunFolder) -> bool:
    """Whether a failed run leaves something to resume, use or look into."""
    return run.checkpoint.exists() or run.weights.exists() or any(run.path.glob("replay-*"))
