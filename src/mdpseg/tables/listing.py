"""The rows at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from mdpseg.tables import results
from mdpseg.tables.cells import cells_of, columns_of
from mdpseg.tables.grid import Row
from mdpseg.tables.preset import Preset


def listing(rows: Sequence[Row], preset: Preset, measured: Path) -> Table:
    """A table of the rows, of how many seeds are finished of each, and below it their targets.

    Raises:
        UserError: the preset lacks what a row needs, or the results file is damaged.
    """
    scores = results.read(measured)
    finished = {result.key for result in scores if result.when == "late"}
    seeds = sorted({result.seed for result in scores} | {0})
    always = [name for name, target in preset.targets.items() if target.always]
    more: dict[str, list[str]] = {}  # targets besides -> rows
    for row in rows:
        if rest := [column for column in columns_of(row, preset) if column not in always]:
            more.setdefault(", ".join(rest), []).append(row.id)
    targets = "; ".join(
        [*([", ".join(always)] if always else []), *(f"{', '.join(ids)} also {rest}" for rest, ids in more.items())]
    )
    told = f"Seeds: how many are measured. Targets: {targets}."
    table = Table(title=f"Preset {preset.name}", box=SIMPLE_HEAD, caption=told, caption_justify="left", pad_edge=False)
    table.add_column("row", no_wrap=True)
    for name in ("what", "pretraining"):
        table.add_column(name, overflow="fold")  # a narrow terminal cuts nothing off
    for name in ("epochs", "seeds"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        done = [seed for seed in seeds if all(cell.key in finished for cell in cells_of([row], preset, [seed]))]
        table.add_row(row.id, row.about, row.data, str(row.epochs or "-"), str(len(done)))
    return table
