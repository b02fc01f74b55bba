"""Prints the tables, and writes them as Markdown, CSV and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mdpseg.errors import UserError
from mdpseg.files import make_folder, write_text
from mdpseg.tables import results
from mdpseg.tables.choose import playable
from mdpseg.tables.grid import ROWS, Row
from mdpseg.tables.layout import LEGEND, TITLES, figures_of, markdown, tidy_csv
from mdpseg.tables.measured import measured
from mdpseg.tables.preset import Preset


def show_tables(
    rows: Sequence[Row],
    preset: Preset,
    results_path: Path,
    out: Path | None = None,
    report: Path | None = None,
    seeds: range | None = None,
) -> str:
    """Some rows with their published and measured figures.

    Args:
        rows: of any tables.
        preset: the one that the results were measured with.
        results_path: CSV file of what was measured.
        out: a folder for TABLE.md, TABLE.csv and TABLE.png of each table.
        report: a file for the page with the conclusions, which is about all rows.
        seeds: only these count; default: all.

    Returns:
        The tables as Markdown.

    Raises:
        UserError: the results are damaged, the preset lacks what a row needs, or a report is asked for some rows only.
    """
    whole = len(rows) == len(playable(ROWS, preset))
    if report and not whole:
        raise UserError("--report is about all rows: leave out the tables and --rows.")
    found = measured(rows, preset, results.read(results_path, seeds))
    head = f"Preset {preset.name}. {preset.about}\n\n{LEGEND}\n"
    if found.left_out and whole:
        head += f"\n{found.left_out}\n"
    pages = []
    for table in dict.fromkeys(row.table for row in rows):
        own = [row for row in rows if row.table == table]
        figures = figures_of(own, preset, found)
        title = f"Table {table}. {TITLES[table]}"
        text = markdown(own, figures, preset)
        pages.append(f"## {title}\n\n{text}")
        if out:
            from mdpseg.tables.plot import draw_table

            make_folder(out)
            write_text(out / f"{table}.md", f"# {title}\n\n{head}\n{text}\n![The same as a picture]({table}.png)\n")
            write_text(out / f"{table}.csv", tidy_csv(table, figures))
            draw_table(out / f"{table}.png", own, figures, preset, f"{title}, preset {preset.name}")
    if report:
        from mdpseg.tables.report import report_page

        make_folder(report.parent)
        write_text(report, report_page(preset, results_path, out, report, seeds))
    return "\n".join([head, *pages])
