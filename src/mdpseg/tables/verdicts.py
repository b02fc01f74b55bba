"""What the measured figures say of a comparison, and of a conclusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from mdpseg.tables.cells import shared_columns
from mdpseg.tables.conclusions import CLOSE, NOTHING, Comparison
from mdpseg.tables.grid import ROWS
from mdpseg.tables.measured import Measured
from mdpseg.tables.preset import Preset
from mdpseg.tables.published import published
from mdpseg.tables.statistics import DOES_NOT, HOLDS, NOT_MEASURED, UNDECIDED, Estimate, ahead, close, estimate, paired


@dataclass(frozen=True)
class Verdict:
    """A comparison with its figures, in points of mIoU.

    Attributes:
        comparison: of two rows.
        published: the published difference, mean over ``published_columns``; None where there is none.
        published_columns: the targets for which both rows have a published figure.
        same: the measured difference over these targets.
        columns: the targets compared here.
        difference: the measured difference, mean over ``columns``; the word is about this one.
        word: ``holds``, ``does not``, ``undecided`` or ``not measured``.
    """

    comparison: Comparison
    published: float | None
    published_columns: tuple[str, ...]
    same: Estimate | None
    columns: tuple[str, ...]
    difference: Estimate | None
    word: str


def judge(comparison: Comparison, measured: Measured, preset: Preset) -> Verdict:
    """Looks up both rows and compares them, seed by seed."""
    rows = {row.id: row for row in ROWS}
    columns = comparison.columns or shared_columns(rows[comparison.better], rows[comparison.worse], preset)
    difference = estimate(_differences(comparison, measured, columns))
    word = close(difference, CLOSE) if comparison.close else ahead(difference, comparison.times)
    if comparison.close and word == HOLDS:
        over_nothing = Comparison(comparison.worse, NOTHING, comparison.when)
        if close(estimate(_differences(over_nothing, measured, columns)), CLOSE) != DOES_NOT:
            word = UNDECIDED
    reported, on = _published(comparison)
    same = estimate(_differences(comparison, measured, on))
    return Verdict(comparison, reported, on, same, columns, difference, word)


def summary(words: Sequence[str]) -> str:
    """Holds where all comparisons do, does not where one does not, else ``undecided``; then how many say what."""
    counts = Counter(words)
    if counts[NOT_MEASURED] == len(words):
        return NOT_MEASURED
    word = HOLDS if counts[HOLDS] == len(words) else DOES_NOT if counts[DOES_NOT] else UNDECIDED
    said = [f"{counts[word]} of {len(words)} comparison{'s' if len(words) > 1 else ''}"] if counts[word] else []
    said += [_counted(other, count) for other, count in counts.most_common() if other != word]
    return f"{word} ({'; '.join(said)})"


def _counted(word: str, count: int) -> str:
    """Such as ``1 holds``, ``2 hold``."""
    plural = {HOLDS: "hold", DOES_NOT: "do not"}
    return f"{count} {plural.get(word, word) if count > 1 else word}"


def _differences(comparison: Comparison, measured: Measured, columns: Sequence[str]) -> list[float]:
    """One value a seed."""
    each = [
        paired(measured.of(comparison.better, columns, when), measured.of(comparison.worse, columns, when))
        for when in comparison.whens
    ]
    return list((paired(*each) if len(each) == 2 else each[0]).values())


def _published(comparison: Comparison) -> tuple[float | None, tuple[str, ...]]:
    """The published difference, and the targets it is over."""
    values = {(figure.row, figure.column, figure.when): figure.value for figure in published()}
    pair = (comparison.better, comparison.worse)
    columns = tuple(
        column
        for column in dict.fromkeys(column for _, column, _ in values)
        if column in (comparison.columns or (column,))
        and all((row, column, when) in values for row in pair for when in comparison.whens)
    )
    if not columns:
        return None, ()
    early, *late = (
        fmean(values[pair[0], column, when] - values[pair[1], column, when] for column in columns)
        for when in comparison.whens
    )
    return early - sum(late), columns
