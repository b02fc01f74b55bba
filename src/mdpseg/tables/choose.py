"""Which rows a command is about."""

from __future__ import annotations

from collections.abc import Sequence

from mdpseg.errors import UserError
from mdpseg.tables.cells import lacking
from mdpseg.tables.grid import ROWS, TABLES, Row
from mdpseg.tables.preset import Preset


def playable(rows: Sequence[Row], preset: Preset) -> list[Row]:
    """The rows for which a preset has everything."""
    return [row for row in rows if not lacking(row, preset)]


def choose(tables: Sequence[str], ids: Sequence[str], preset: Preset) -> tuple[list[Row], str]:
    """The rows of some tables, or those that are named; in both cases in the order of the tables.

    Args:
        tables: letters; none: all.
        ids: of rows, each perhaps several with commas between; ``E14`` stands for ``E14-100`` and the like. None: all
            that the preset has everything for.
        preset: the one they are for.

    Returns:
        The rows, and a sentence on those that the preset cannot play; empty where there are none, or ``ids`` are given.

    Raises:
        UserError: there is no such table or row, or nothing is left.
    """
    for table in tables:
        if table not in TABLES:
            raise UserError(f"No table {table!r}; tables are {', '.join(TABLES)}.")
    wanted = [id for group in ids for id in group.replace(",", " ").split()]
    of_id = {id: [row for row in ROWS if row.id == id or row.id.startswith(f"{id}-")] for id in wanted}
    for id, found in of_id.items():
        if not found:
            raise UserError(f"No row {id!r}; `mdpseg tables list` has the rows.")
        if tables and found[0].table not in tables:
            raise UserError(f"Row {id} is in table {found[0].table}, not in {', '.join(tables)}.")
    if wanted:
        named = {row.id for found in of_id.values() for row in found}
        return [row for row in ROWS if row.id in named], ""
    rows = [row for row in ROWS if row.table in (tables or TABLES)]
    kept = playable(rows, preset)
    lacks: dict[str, list[str]] = {}
    for row in rows:
        if lack := lacking(row, preset):
            lacks.setdefault(lack, []).append(row.id)
    reasons = "; ".join(f"{', '.join(left)}: {lack}" for lack, left in lacks.items())
    if not kept:
        raise UserError(f"Preset {preset.name} can play none of these rows. {reasons}.")
    return kept, f"Left out, which preset {preset.name} cannot play: {reasons}." if reasons else ""
