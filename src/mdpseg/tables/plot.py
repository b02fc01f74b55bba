"""One table as a picture: what is published in a panel of its own, what is measured beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Canvas

from mdpseg.files import write_whole
from mdpseg.tables.grid import Row
from mdpseg.tables.layout import Figure, measured_names
from mdpseg.tables.measured import WHENS
from mdpseg.tables.preset import Preset

# Early is drawn hollow and a little higher than late.
_FILL, _SHIFT = {"early": "none", "late": "full"}, {"early": -0.15, "late": 0.15}


def draw_table(path: Path, rows: Sequence[Row], figures: Sequence[Figure], preset: Preset, title: str) -> None:
    """Writes the picture: the published panel, then one for each measured column, a line a row.

    Args:
        path: of the PNG file.
        rows: top to bottom.
        figures: of these rows.
        preset: names what stands for the published targets.
        title: above all.
    """
    names = measured_names(preset)
    colours = {column: f"C{index}" for index, column in enumerate(dict.fromkeys(f.column for f in figures))}
    panels: dict[str, list[Figure]] = {}
    for figure in figures:
        panel = "published" if figure.kind == "published" else f"{names[figure.column]}, measured"
        panels.setdefault(panel, []).append(figure)
    order = sorted(panels, key=lambda name: name != "published") or ["nothing measured yet"]
    size = (3.4 + 2.1 * len(order), 1.5 + 0.33 * len(rows))
    canvas = Canvas(figsize=size)
    axes = canvas.subplots(1, len(order), sharey=True, squeeze=False)
    for axis, name in zip(axes[0], order, strict=True):
        _panel(axis, rows, panels.get(name, []), colours)
        axis.set_title(name, fontsize=9, parse_math=False)  # a preset's names are no formulas
    axes[0, 0].set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=7)
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    if "published" in panels:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="lower left", ncols=len(labels), fontsize=7, frameon=False)
    canvas.suptitle(f"{title} (hollow: early; full: late)", fontsize=10, parse_math=False)
    canvas.tight_layout()
    write_whole(path, lambda temporary: canvas.savefig(temporary, dpi=110, bbox_inches="tight"))


def _panel(axis: Any, rows: Sequence[Row], figures: Sequence[Figure], colours: Mapping[str, str]) -> None:
    """Points with their intervals, where they have one; a colour a column."""
    places = {row.id: place for place, row in enumerate(rows)}
    for column in dict.fromkeys(figure.column for figure in figures):
        for when in WHENS:
            points = [figure for figure in figures if (figure.column, figure.when) == (column, when)]
            axis.errorbar(
                [point.estimate.mean for point in points],
                [places[point.row] + _SHIFT[when] for point in points],
                xerr=[point.estimate.half_width or 0.0 for point in points],
                color=colours[column],
                fillstyle=_FILL[when],
                fmt="o",
                markersize=4,
                linewidth=1,
                label=column if when == "late" else None,
            )
    axis.set_xlabel("mIoU %", fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(alpha=0.3)


def _label(row: Row) -> str:
    epochs = f", {row.epochs} epochs" if row.epochs else ""
    return f"{row.id}  {row.about}\n{row.data}{epochs}".removesuffix("\n-")
