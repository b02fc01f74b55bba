"""One table with its published and measured figures: as Markdown, and as tidy CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mdpseg.tables.grid import Row
from mdpseg.tables.measured import WHENS, Measured
from mdpseg.tables.preset import Preset
from mdpseg.tables.published import published
from mdpseg.tables.statistics import Estimate, estimate

TITLES = {
    "A": "Initialisation against target",
    "B": "Against supervised pretraining on the same segmentation data",
    "C": "Memory bank and temperature",
    "D": "Cross-image mixing",
    "E": "More baselines",
    "F": "Past the published tables",
}

# The column of the mean over the targets that every row is judged on.
MEAN = "mean"

LEGEND = (
    "mIoU in %. *Published*: by the authors, with ResNet-50, on the datasets themselves. The others are measured here, "
    "on what this preset puts in their place (in brackets in the head): mean ± half-width of the 95 % interval (number "
    f"of seeds), early and late in fine-tuning; *{MEAN}* is over the targets that every row is judged on. Epochs: the "
    "published count, where there is one, and of all stages together."
)


@dataclass(frozen=True)
class Figure:
    """One figure of a table.

    Attributes:
        kind: ``published`` or ``measured``.
        row: the row's id.
        column: the target, or ``mean``.
        when: ``early`` or ``late``.
        estimate: a published figure is a mean without interval and without number of seeds (0).
    """

    kind: str
    row: str
    column: str
    when: str
    estimate: Estimate

    def __str__(self) -> str:
        return f"{self.estimate.mean:.2f}" if self.kind == "published" else spread(self.estimate)


def spread(figure: Estimate, form: str = ".1f") -> str:
    """Such as ``12.3 ± 0.4 (3)``; a single seed has no interval."""
    interval = "" if figure.half_width is None else f" ± {figure.half_width:.{form[-2:]}}"
    return f"{figure.mean:{form}}{interval} ({figure.seeds})"


def signed(figure: Estimate | None) -> str:
    """A difference, such as ``+1.23 ± 0.40 (3)``; empty where there is none."""
    return "" if figure is None else spread(figure, "+.2f")


def in_words(rows: Sequence[Row]) -> str:
    """What some rows are."""
    return "; ".join(
        f"{row.id}: {row.about}" + (f" ({row.data}, {row.epochs} epochs)" if row.stages else "") for row in rows
    )


def figures_of(rows: Sequence[Row], preset: Preset, measured: Measured) -> list[Figure]:
    """All figures of some rows, column by column: published ones first, then measured ones."""
    return [
        figure
        for column in (*_columns(rows, preset), MEAN)
        for figure in (*_published(rows, column), *_measured(rows, column, measured))
    ]


def measured_names(preset: Preset) -> dict[str, str]:
    """Column -> its name where it was measured, with what stands there for the published dataset."""
    names = {MEAN: MEAN}
    for column, target in preset.targets.items():
        here = target.train.name
        names[column] = column if here.lower() == column.lower() else f"{column} ({here})"
    return names


def markdown(rows: Sequence[Row], figures: Sequence[Figure], preset: Preset) -> str:
    """One line a row; no column for what no row has, but early and late always both."""
    heads: list[tuple[str, str, str]] = []
    for column in dict.fromkeys(figure.column for figure in figures):
        there = {(figure.kind, figure.when) for figure in figures if figure.column == column}
        heads += [("published", column, when) for when in WHENS if ("published", when) in there]
        if any(kind == "measured" for kind, _ in there):
            heads += [("measured", column, when) for when in WHENS]
    text = {(figure.row, figure.kind, figure.column, figure.when): str(figure) for figure in figures}
    names = ["id", "what", "pretraining data", "epochs"]
    here = measured_names(preset)
    for kind, column, when in heads:
        names.append(f"{column} {when}, *published*" if kind == "published" else f"{here[column]} {when}")
    lines = [names]
    for row in rows:
        cells = [text.get((row.id, *head), "") for head in heads]
        lines.append([row.id, row.about, row.data, str(row.epochs or "-"), *cells])
    return grid(lines)


def grid(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first line is its head."""
    head, *rest = (f"| {' | '.join(line)} |\n" for line in lines)
    return "".join([head, "|---" * len(lines[0]) + "|\n", *rest])


def tidy_csv(table: str, figures: Sequence[Figure]) -> str:
    """One line a figure; seeds and interval are empty where there are none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "table", "row", "column", "when", "seeds", "mean", "half_width"])
    for figure in figures:
        mean, half_width = figure.estimate.mean, figure.estimate.half_width
        interval = "" if half_width is None else f"{half_width:.3f}"
        name = [figure.kind, table, figure.row, figure.column, figure.when]
        writer.writerow([*name, figure.estimate.seeds or "", f"{mean:.3f}", interval])
    return text.getvalue()


def _columns(rows: Sequence[Row], preset: Preset) -> list[str]:
    """The preset's targets, then published columns that it does not have."""
    ids = {row.id for row in rows}
    return list(dict.fromkeys([*preset.targets, *(figure.column for figure in published() if figure.row in ids)]))


def _published(rows: Sequence[Row], column: str) -> Iterator[Figure]:
    ids = {row.id for row in rows}
    for figure in published():
        if figure.row in ids and figure.column == column:
            yield Figure("published", figure.row, column, figure.when, Estimate(figure.value, None, 0))


def _measured(rows: Sequence[Row], column: str, measured: Measured) -> Iterator[Figure]:
    columns = measured.always if column == MEAN else (column,)
    for row in rows:
        for when in WHENS:
            found = estimate(list(measured.of(row.id, columns, when).values()))
            if found is not None:
                yield Figure("measured", row.id, column, when, found)
