"""Runs cells: finished ones never again, interrupted ones from their checkpoint, a pretraining once for all."""

from __future__ import annotations

import datetime
import functools
import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from mdpseg import yaml_text
from mdpseg.engine.finetune import Finetuned, finetune
from mdpseg.engine.pretrain import pretrain
from mdpseg.engine.run_folder import CHECKPOINTS
from mdpseg.engine.stopping import sigterm_cleans_up
from mdpseg.errors import UserError
from mdpseg.files import disk_faults_are_told, is_open_at, lock, make_folder
from mdpseg.tables import results
from mdpseg.tables.cells import Cell, PretrainingCell

_GRACE = 10.0  # seconds that a run gets to write its checkpoint
_OWN_TIME = 2.0  # seconds for workers that were asked to stop by somebody else


@dataclass(frozen=True)
class Place:
    """Where a grid lives.

    Attributes:
        runs: a folder for the runs, named by their hashes.
        results: the CSV file.
        data_root: where relative dataset paths start.
    """

    runs: Path
    results: Path
    data_root: Path

    def pretraining(self, cell: PretrainingCell) -> Path:
        """The folder of a pretraining."""
        return self.runs / f"pretrain-{cell.key}"

    def finetuning(self, cell: Cell) -> Path:
        """The folder of a fine-tuning, until it is measured."""
        return self.runs / f"finetune-{cell.key}"


def run_cells(cells: Iterable[Cell], place: Place, processes: int, say: Callable[[str], None]) -> int:
    """Runs what is not finished yet, ``processes`` pretrainings (with their fine-tunings) at a time.

    Args:
        cells: in the order of importance.
        place: where runs and results go.
        processes: worker processes; the cores are shared out among them. 1: in this process.
        say: takes a line at the start, one for each finished group of cells, and one where it is stopped.

    Returns:
        How many cells were run.

    Raises:
        UserError: a recipe, the data or the output folders are not as they should be, or the runs' folder has what
            was learned from another ``data_root``.
    """
    _commit()  # now: of the code that is loaded, whatever is committed while it runs
    groups = unfinished_groups(cells, place)
    _refuse_other_data(groups, place)
    if groups:
        count = "1 group" if len(groups) == 1 else f"{len(groups)} groups"
        say(f"{count} of cells to run; the run that is going has its log in {place.runs}/*/log.txt")
    try:
        with sigterm_cleans_up():
            _run_groups(groups, place, processes, say)
    except (KeyboardInterrupt, SystemExit):
        say("Stopped. The same command goes on from the last checkpoints.")
        raise
    return sum(len(group) for group in groups)


def _run_groups(groups: list[list[Cell]], place: Place, processes: int, say: Callable[[str], None]) -> None:
    threads = max(1, (os.cpu_count() or 1) // processes)
    began = time.monotonic()

    def report(done: int, group: list[Cell]) -> None:
        minutes = (time.monotonic() - began) / 60
        rows = f"{group[0].row}, seed {group[0].seed}: {', '.join(cell.column for cell in group)}"
        say(f"{done} of {len(groups)} groups, {minutes:.0f} min: {rows}")

    if processes == 1:
        for done, group in enumerate(groups, 1):
            _run_group(group, place)
            report(done, group)
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, initializer=_prepare_worker, initargs=(threads,)) as pool:
            done, waiting, running = 0, iter(groups), dict[Future[None], list[Cell]]()
            try:
                while True:
                    for group in islice(waiting, processes - len(running)):  # no more: what is stopped begins no other
                        running[pool.submit(_work, group, place)] = group
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        future.result()
                        done += 1
                        report(done, running.pop(future))
            except BrokenProcessPool as error:
                raise UserError(
                    "A worker was killed, perhaps for want of memory. The same command goes on from the last "
                    "checkpoints; a lower --processes needs less memory."
                ) from error
            except (KeyboardInterrupt, SystemExit):
                # Whom the signal reached as well needs no second one, which would cost it its checkpoint.
                wait(running, timeout=_OWN_TIME)
                for worker in multiprocessing.active_children():
                    worker.terminate()
                raise


def _work(group: list[Cell], place: Place) -> None:
    with sigterm_cleans_up():  # and so does a run, until it has its checkpoint
        _run_group(group, place)


def _prepare_worker(threads: int) -> None:
    _commit()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the parent, too, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # between groups: a worker that dies takes the others with it
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on, unseen, with what it has: its run ends as by SIGTERM instead."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def unfinished_groups(cells: Iterable[Cell], place: Place) -> list[list[Cell]]:
    """Cells without a late result, each once, those of one pretraining together."""
    finished = _finished(place)
    groups: dict[object, dict[str, Cell]] = {}
    for cell in cells:
        if cell.key not in finished:
            group = cell.start.key if cell.start else (cell.config.init, cell.seed)
            groups.setdefault(group, {}).setdefault(cell.key, cell)
    return [list(group.values()) for group in groups.values()]


def _refuse_other_data(groups: list[list[Cell]], place: Place) -> None:
    """The data are in no hash, so weights that were learned from other data would be taken for these."""
    chains = [group[0].start.chain if group[0].start else [] for group in groups]
    folders = [place.pretraining(stage) for chain in chains for stage in chain]
    folders += [place.finetuning(cell) for group in groups for cell in group]
    for folder in folders:
        recipe = folder / "recipe.yaml"
        if not recipe.is_file():
            continue
        settings = yaml_text.read(recipe, f"the recipe {recipe}")
        its = Path(str(settings.get("data_root"))) if isinstance(settings, dict) else place.data_root
        if its.is_dir() and its.resolve() != place.data_root.resolve():  # data that are gone from there were moved
            raise UserError(
                f"{folder} was run on the data in {its}, not on those in {place.data_root}. Give the --data-root that "
                "it had; other data want another --runs and another --results."
            )


def _run_group(group: list[Cell], place: Place) -> None:
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):  # each run's folder has its own log
        _run_quietly(group, place)


def _run_quietly(group: list[Cell], place: Place) -> None:
    init = group[0].config.init  # scratch or imagenet, where nothing is pretrained
    for pretraining in group[0].start.chain if group[0].start else []:
        init = str(_pretrained(pretraining, group[0], place))
    for cell in group:
        out = place.finetuning(cell)
        with _alone(out):
            if cell.key in _finished(place):  # by another process, while this one waited
                continue
            run = finetune(cell.config, [f"out={out}", f"init={init}", *_shared(place), *_resume(out)])
            results.append(place.results, _scores(cell, run))
            shutil.rmtree(out)  # its scores are kept; a grid of networks would fill the disk


def _pretrained(cell: PretrainingCell, asked_by: Cell, place: Place) -> Path:
    """The weights of a pretraining, which is run, resumed, or awaited where another process is at it."""
    out = place.pretraining(cell)
    weights = out / "weights.safetensors"
    with _alone(out):
        if (out / "README.md").is_file():  # written last
            return weights
        init = cell.config.init
        if cell.parent is not None:
            init = str(place.pretraining(cell.parent) / "weights.safetensors")
        run = pretrain(cell.config, [f"out={out}", f"init={init}", *_shared(place), *_resume(out)])
        line = _line("pretraining", cell.key, asked_by, "", "", cell.config.iterations, None, None, run.seconds)
        results.append(place.results, [line])
        for name in CHECKPOINTS:  # each as large as three networks, and of no more use
            (out / name).unlink(missing_ok=True)
        return weights


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Waits until no other process of the grid is at this run."""
    make_folder(out.parent)
    path = out.with_suffix(".lock")
    while True:
        with disk_faults_are_told(path):
            file = path.open("w")
        with file:
            if lock(file) and not is_open_at(file, path):
                continue  # who had it has removed it, and the next may lock a file of its own
            yield
            with suppress(OSError):  # some systems keep a file that is open
                path.unlink()
            return


def _finished(place: Place) -> set[str]:
    return {result.key for result in results.read(place.results) if result.when == "late"}


def _shared(place: Place) -> list[str]:
    return [f"data_root={place.data_root.resolve()}", "log_every=100"]


def _resume(out: Path) -> list[str]:
    if any((out / name).is_file() for name in CHECKPOINTS):
        return ["resume=true"]
    shutil.rmtree(out, ignore_errors=True)  # killed before its first checkpoint
    return []


def _scores(cell: Cell, run: Finetuned) -> list[results.Result]:
    whens = dict(zip(sorted(run.scores), ("early", "late"), strict=True))
    return [
        _line("finetuning", cell.key, cell, cell.column, whens[step], step, s.mean_iou, s.pixel_accuracy, run.seconds)
        for step, s in run.scores.items()
    ]


def _line(
    kind: str,
    key: str,
    cell: Cell,
    column: str,
    when: str,
    iteration: int,
    mean_iou: float | None,
    pixel_accuracy: float | None,
    seconds: float,
) -> results.Result:
    return results.Result(
        kind=kind,
        key=key,
        row=cell.row,
        column=column,
        seed=cell.seed,
        when=when,
        iteration=iteration,
        mean_iou=None if mean_iou is None else round(mean_iou, 5),
        pixel_accuracy=None if pixel_accuracy is None else round(pixel_accuracy, 5),
        seconds=round(seconds, 1),
        threads=torch.get_num_threads(),
        commit=_commit(),
        date=datetime.date.today().isoformat(),
    )


@functools.cache
def _commit() -> str:
    """The last commit that changed the package, and ``-dirty`` where it differs from that; empty outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *arguments, "--", "."]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("log", "-1", "--format=%h")
        return commit + ("-dirty" if commit and git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
