"""What was measured for each row: found by the hashes of its cells, so that rows that need the same share it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mdpseg.tables.cells import cells_of
from mdpseg.tables.grid import Row
from mdpseg.tables.preset import Preset
from mdpseg.tables.results import Result

WHENS = ("early", "late")


@dataclass(frozen=True)
class Measured:
    """The measured mIoU of some rows.

    Attributes:
        scores: row, column, ``early`` or ``late`` -> seed -> mIoU in %.
        always: the columns that every row is judged on; the mean over targets is theirs.
        strays: row that asked for them -> cells in the results that none of these rows asks for any more.
        missing: row and seed of which some targets are measured -> those that are not.
    """

    scores: dict[tuple[str, str, str], dict[int, float]]
    always: tuple[str, ...]
    strays: dict[str, int]
    missing: dict[tuple[str, int], list[str]]

    def of(self, row: str, columns: Iterable[str], when: str) -> dict[int, float]:
        """Seed -> the mean over some columns; seeds that lack one of them are left out, as their mean is another."""
        each = [self.scores.get((row, column, when), {}) for column in columns]
        seeds = set.intersection(*(set(column) for column in each)) if each else set()
        return {seed: sum(column[seed] for column in each) / len(each) for seed in sorted(seeds)}

    @property
    def left_out(self) -> str:
        """A sentence on the strays; empty if there are none. They are worth a word if all rows were asked for."""
        count = sum(self.strays.values())
        they = f"{count} measured fine-tunings belong" if count > 1 else "1 measured fine-tuning belongs"
        of_rows = ", ".join(f"{row} {cells}" for row, cells in sorted(self.strays.items()))
        return f"{they} to no row as the preset is now (then {of_rows}): left out." if count else ""

    @property
    def gaps(self) -> str:
        """A sentence on the rows whose seeds lack a target; empty if there are none."""
        seeds: dict[str, list[int]] = {}
        for (row, seed), columns in self.missing.items():
            seeds.setdefault(f"{row} {', '.join(columns)}", []).append(seed)
        each = "; ".join(f"{what} (seed {', '.join(map(str, of))})" for what, of in seeds.items())
        return f"Some seeds lack a target: {each}." if each else ""


def measured(rows: Sequence[Row], preset: Preset, results: Sequence[Result]) -> Measured:
    """Looks up the cells of some rows, at all seeds that occur in the results.

    Raises:
        UserError: the preset lacks what a row needs.
    """
    found = {(result.key, result.when): result.mean_iou for result in results if result.mean_iou is not None}
    scores: dict[tuple[str, str, str], dict[int, float]] = {}
    wanted: set[str] = set()
    missing: dict[tuple[str, int], list[str]] = {}
    begun: set[tuple[str, int]] = set()
    for cell in cells_of(rows, preset, sorted({result.seed for result in results})):
        wanted.add(cell.key)
        for when in WHENS:
            if (cell.key, when) in found:
                scores.setdefault((cell.row, cell.column, when), {})[cell.seed] = 100 * found[cell.key, when]
        if (cell.key, "late") in found:
            begun.add((cell.row, cell.seed))
        else:
            missing.setdefault((cell.row, cell.seed), []).append(cell.column)
    always = tuple(name for name, target in preset.targets.items() if target.always)
    strays = {result.key: result.row for result in results if result.when and result.key not in wanted}
    gaps = {of: columns for of, columns in missing.items() if of in begun}
    return Measured(scores, always, Counter(strays.values()), gaps)


def measuring_commands(rows: Sequence[Row], found: Measured) -> list[str]:
    """The options of ``tables run`` that measure what there is, a line for the rows that have the same seeds."""
    blocks: dict[tuple[int, int], list[str]] = {}
    for row in rows:
        late = (scores for (id, _, when), scores in found.scores.items() if (id, when) == (row.id, "late"))
        seeds = {seed for scores in late for seed in scores}
        for first in sorted(seed for seed in seeds if seed - 1 not in seeds):
            count = next(number for number in itertools.count(1) if first + number not in seeds)
            blocks.setdefault((first, count), []).append(row.id)
    return [
        ("" if len(ids) == len(rows) else f"--rows {','.join(ids)} ")
        + (f"--first-seed {first} " if first else "")
        + f"--seeds {count}"
        for (first, count), ids in sorted(blocks.items())
    ]
