"""What the benchmarks share: interleaved timing, peak memory, ratios and their spread, CSV rows that name the machine.

A script builds the tensors or files once, hands both sides to :func:`compare`, and writes its rows with
:func:`finish` to ``results/KIND/NAME.csv``, KIND being the vector instructions that torch uses, such as avx2: what pays
on one kind of processor may cost on another. ``show.py`` makes docs/performance.md of all of them.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import datetime
import multiprocessing
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Idle threads must sleep; one thread is what two cores can measure beside other work. Children inherit both.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Row = dict[str, str]
FIELDS = ["what", "against", "target", "ratio", "low", "high", "met", "ours", "theirs", "unit", "rounds", "command"]
FIELDS += ["cores", "cpu", "threads", "load", "python", "torch", "commit", "date"]


def arguments(description: str | None, rounds: int) -> argparse.Namespace:
    """``--rounds`` and ``--quick`` (sizes that only prove that the script runs; nothing is written)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round, no CSV")
    given = parser.parse_args()
    if given.quick:
        given.rounds = 1
    import torch  # here: `import mdpseg` and the like are measured without it

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return given


def compare(sides: dict[str, Callable[[], object]], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each side in each round; the sides take turns, and every other round in reverse order."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-warmup, rounds):
        for name in list(sides) if turn % 2 == 0 else list(sides)[::-1]:
            start = time.perf_counter()
            kept = sides[name]()
            elapsed = time.perf_counter() - start
            del kept  # a result of one side must not stand in memory while another runs
            if turn >= 0:
                seconds[name].append(elapsed)
    return seconds


def peak_memory(side: Callable[[], object]) -> float:
    """The most memory (MB) that ``side`` held beyond what stood before it; run in a forked child. Linux only."""
    here, there = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_measure_peak, args=(side, there))
    child.start()
    there.close()
    try:
        return float(here.recv())
    except EOFError as error:
        raise MemoryError("the side did not survive; it may have asked for more memory than there is") from error
    finally:
        child.join()


def _measure_peak(side: Callable[[], object], answer: multiprocessing.connection.Connection) -> None:
    side()  # loads the code that it runs, which is no part of what it holds
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator kept would be used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _status("VmRSS")
    kept = side()
    answer.send((_status("VmHWM") - before) / 1e3)
    del kept


def _status(name: str) -> int:
    """A figure of this process, in kB."""
    match = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1])


def ratio_row(
    what: str, against: str, ours: list[float], theirs: list[float], target: str = "", unit: str = "s"
) -> Row:
    """One row of a table: how two sides compare.

    Args:
        what: our side in words, with its size.
        against: the other side in words.
        ours: our figure of each round.
        theirs: theirs, of the same rounds.
        target: ``at most 1.5``: the ratio is ours / theirs. ``at least 1.5`` or none: theirs / ours, more is better.
        unit: of the figures.
    """
    ratios = [a / b if target.startswith("at most") else b / a for a, b in zip(ours, theirs, strict=True)]
    return {
        "what": what,
        "against": against,
        **_judged(ratios, target, "x"),
        "ours": f"{statistics.median(ours):.4g}",
        "theirs": f"{statistics.median(theirs):.4g}",
        "unit": unit,
        "rounds": str(len(ratios)),
    }


def memory_row(what: str, against: str, ours: float, theirs: float) -> Row:
    """How two sides' :func:`peak_memory` compare; below 1 ours takes more."""
    return ratio_row(f"{what}: peak memory", against, [ours], [theirs], unit="MB")


def value_row(what: str, values: list[float], target: str = "", unit: str = "s", against: str = "") -> Row:
    """One row for a figure that stands alone, as ``at most 0.5`` (of ``unit``)."""
    judged = _judged(values, target, unit)
    return {
        "what": what,
        "against": against,
        **judged,
        "ours": judged["ratio"],
        "unit": unit,
        "rounds": str(len(values)),
    }


def _judged(values: list[float], target: str, unit: str) -> Row:
    middle, met = statistics.median(values), ""
    if target:
        limit = float(target.split()[2])
        met = "yes" if (middle <= limit if target.startswith("at most") else middle >= limit) else "no"
    return {
        "target": f"{target} {unit}".replace(" x", "x") if target else "",
        "ratio": f"{middle:.4g}",
        "low": f"{min(values):.4g}",
        "high": f"{max(values):.4g}",
        "met": met,
    }


def print_table(rows: list[Row]) -> None:
    """The rows as people read them."""
    print("| what | against | ours | theirs | ratio | spread | target | met |\n|---|---|---|---|---|---|---|---|")
    for row in rows:
        theirs = f"{row['theirs']} {row['unit']}" if row.get("theirs") else ""
        cells = [row["what"], row["against"], f"{row['ours']} {row['unit']}", theirs, row["ratio"]]
        print(f"| {' | '.join([*cells, row['low'] + '..' + row['high'], row['target'], row['met']])} |", flush=True)


def write_csv(path: Path, rows: list[Row]) -> None:
    """Writes the rows, each with command, machine, versions, and date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    here = _environment()
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows({**row, **here} for row in rows)


def finish(name: str, rows: list[Row], quick: bool) -> None:
    """Prints the rows, and writes ``results/KIND/NAME.csv`` unless this was only a trial of the script."""
    import torch

    print_table(rows)
    if not quick:
        write_csv(RESULTS / torch.backends.cpu.get_cpu_capability().lower() / f"{name}.csv", rows)


def _environment() -> Row:
    import torch

    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty=+", "--exclude=*"]
    script = Path(sys.argv[0]).resolve()
    command = f"python benchmarks/{script.name} {shlex.join(sys.argv[1:])}".strip()
    return {
        "command": command,
        "cores": str(os.cpu_count()),
        "cpu": models[0] if models else platform.machine(),
        "threads": str(torch.get_num_threads()),
        "load": f"{os.getloadavg()[1]:.1f}",  # of five minutes; a quiet machine has at most this script's threads
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }
