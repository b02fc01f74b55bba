"""One row against others, target by target and seed by seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from mdpseg.errors import UserError
from mdpseg.tables import results
from mdpseg.tables.cells import cells_of, shared_columns
from mdpseg.tables.grid import Row
from mdpseg.tables.layout import MEAN, grid, in_words, measured_names, signed
from mdpseg.tables.measured import WHENS, Measured, measured
from mdpseg.tables.preset import Preset
from mdpseg.tables.statistics import estimate, paired

_HOW_TO_READ = (
    "Points of mIoU by which the first row is ahead, paired by seed: mean ± half-width of the 95 % interval (Student's "
    "t), number of seeds in brackets. Of many such intervals one in twenty lies off the truth by chance."
)


def compare_rows(
    row: Row, others: Sequence[Row], preset: Preset, results_path: Path, seeds: range | None = None
) -> str:
    """How far a row is ahead of each of some others.

    Args:
        row: the first row.
        others: what it is compared with, each by itself.
        preset: the one that the results were measured with.
        results_path: CSV file of what was measured.
        seeds: only these count; default: all.

    Returns:
        Markdown: for each of the others a table by target, and one by seed of the mean over targets.

    Raises:
        UserError: the results are damaged, the preset lacks what a row needs, or a pair has no seed in common.
    """
    found = measured([row, *others], preset, results.read(results_path, seeds))
    sections = [_section(row, other, preset, found) for other in others]
    return "\n".join([f"Preset {preset.name}. {_HOW_TO_READ}\n", *sections])


def _section(row: Row, other: Row, preset: Preset, found: Measured) -> str:
    groups: dict[str, tuple[str, ...]] = {column: (column,) for column in shared_columns(row, other, preset)}
    if groups and _keys(row, groups, preset) == _keys(other, groups, preset):
        same = f"In preset {preset.name} these are the same runs: there is nothing to compare."
        return f"## {row.id} less {other.id}\n\n{in_words([row, other])}\n\n{same}\n"
    always = tuple(column for column in found.always if column in groups)
    if len(always) > 1:
        groups[MEAN] = always
    names, lines = measured_names(preset), [["target", *WHENS]]
    differences = {
        (name, when): paired(found.of(row.id, columns, when), found.of(other.id, columns, when))
        for name, columns in groups.items()
        for when in WHENS
    }
    if not any(differences.values()):  # also where they have no target in common
        raise UserError(
            f"{row.id} and {other.id} have no measured seed in common; `mdpseg tables list` says how many each has."
        )
    for name in groups:
        lines.append([names[name], *(signed(estimate(list(differences[name, when].values()))) for when in WHENS)])
    text = f"## {row.id} less {other.id}\n\n{in_words([row, other])}\n\n{grid(lines)}"
    *_, summary = groups  # the mean, or the only target
    each = [differences[summary, when] for when in WHENS]
    if not any(each) or (summary != MEAN and len(groups) > 1):
        return text
    by_seed = [
        [str(seed), *(f"{values[seed]:+.2f}" if seed in values else "" for values in each)]
        for seed in sorted(set().union(*each))
    ]
    return f"{text}\nSeed by seed, {names[summary]}:\n\n{grid([['seed', *WHENS], *by_seed])}"


def _keys(row: Row, columns: Collection[str], preset: Preset) -> dict[str, str]:
    """The row's cells of one seed, by target."""
    return {cell.column: cell.key for cell in cells_of([row], preset, [0]) if cell.column in columns}
