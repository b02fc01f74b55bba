"""The rows at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from mdpseg.tables import results
from mdpseg.tables.cells import cells_of, columns_of
from mdpseg.tables.grid import Row
from mdpseg.tables.preset import Preset


def listing(rows: Sequence[Row], preset: Preset, measured: Path) -> Table:
    """A table of the rows and of how many seeds are finished.

    Raises:
        UserError: the preset lacks what a row needs, or the results file is damaged.
    """
    scores = results.read(measured)
    finished = {result.key for result in scores if result.when == "late"}
    seeds = sorted({result.seed for result in scores} | {0})
    table = Table(title=f"Preset {preset.name}")
    table.add_column("row", no_wrap=True)
    for name in ("what", "pretraining", "epochs", "targets", "seeds measured"):
        table.add_column(name, overflow="fold")  # a narrow terminal cuts nothing off
    for row in rows:
        done = [seed for seed in seeds if all(cell.key in finished for cell in cells_of([row], preset, [seed]))]
        targets = ", ".join(columns_of(row, preset))
        table.add_row(row.id, row.about, row.data, str(row.epochs or "-"), targets, str(len(done)))
    return table
