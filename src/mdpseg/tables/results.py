"""What was measured: a CSV file that is only ever appended to, one line an evaluation."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO

from mdpseg.errors import UserError
from mdpseg.files import disk_faults_are_told, lock, make_folder


@dataclass(frozen=True)
class Result:
    """One line.

    Attributes:
        kind: ``pretraining`` (a line with times only) or ``finetuning``.
        key: the cell's hash (that of the pretraining, if it is one).
        row: the row that asked for it first; others with the same hash share it.
        column: the target; empty for a pretraining.
        seed: of the cell.
        when: ``early`` or ``late``; empty for a pretraining.
        iteration: of fine-tuning (of pretraining, its length).
        mean_iou: 0 to 1; empty for a pretraining.
        pixel_accuracy: 0 to 1; likewise.
        seconds: wall-clock time of the run, on ``threads`` threads; of a resumed one, of all its parts.
        threads: of the process that ran it.
        commit: the last one that changed the package, ``-dirty`` where its files differ; empty outside a checkout.
        date: ISO.
    """

    kind: str
    key: str
    row: str
    column: str
    seed: int
    when: str
    iteration: int
    mean_iou: float | None
    pixel_accuracy: float | None
    seconds: float
    threads: int
    commit: str
    date: str


_FIELDS = [field.name for field in fields(Result)]


def append(path: Path, results: list[Result]) -> None:
    """Adds lines at the end, all at once, also when several processes do."""
    make_folder(path.parent)
    with disk_faults_are_told(path), path.open("a", newline="", encoding="utf-8") as file:
        lock(file)
        writer = csv.DictWriter(file, _FIELDS, lineterminator="\n")
        if file.seek(0, os.SEEK_END) == 0:  # now, not when it was opened: another process may have been first
            writer.writeheader()
        for result in results:
            writer.writerow({name: "" if value is None else value for name, value in asdict(result).items()})


def read(path: Path, seeds: range | None = None) -> list[Result]:
    """All lines, or those of some seeds, in order; none where there is no such file.

    Of a cell that was run again, the last ones count.

    Raises:
        UserError: the file is not such a CSV file.
    """
    if not path.is_file():
        return []
    lines: list[Result] = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, line in enumerate(_rows(path, file), 2):
            try:
                if None in line or None in line.values():
                    raise ValueError(f"expected {len(_FIELDS)} fields")
                result = Result(
                    kind=line["kind"],
                    key=line["key"],
                    row=line["row"],
                    column=line["column"],
                    seed=int(line["seed"]),
                    when=line["when"],
                    iteration=int(line["iteration"]),
                    mean_iou=float(line["mean_iou"]) if line["mean_iou"] else None,
                    pixel_accuracy=float(line["pixel_accuracy"]) if line["pixel_accuracy"] else None,
                    seconds=float(line["seconds"]),
                    threads=int(line["threads"]),
                    commit=line["commit"],
                    date=line["date"],
                )
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"{path}, line {number} is no result ({error}); correct or delete it.") from None
            if seeds is None or result.seed in seeds:
                lines.append(result)
    return lines


def _rows(path: Path, file: TextIO) -> Iterator[dict[str, str]]:
    """The lines of a CSV file, told of where they end in something else."""
    try:
        yield from csv.DictReader(file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} is no CSV file of results ({error}); name one that `mdpseg tables run` wrote."
        ) from None
