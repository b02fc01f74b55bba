"""The CSV against the Markdown that it was copied from."""

import re
from pathlib import Path

import pytest

from mdpseg.tables.published import Published, published

SOURCE = Path(__file__).parents[2] / ".." / "shared" / "published-results.md"
COUNTS = {"A": 12, "B": 5, "C": 14, "D": 4, "E": 28, "detection": 6}


def figures_in(markdown: str) -> list[Published]:
    """Every figure of the tables A to E, and of the sentence on detection, in order."""
    found, head = [], []
    for line in markdown.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "id":
            head = cells
        elif re.fullmatch(r"[A-E]\d+", cells[0]):
            for name, cell in zip(head, cells, strict=True):
                if re.fullmatch(r"(VOC|ADE20K|Cityscapes|COCO)( \d+k)?", name) and cell:
                    column, _, iterations = name.partition(" ")
                    when = "early" if iterations == "4k" else "late"
                    values = [float(value) for value in cell.split("/")]
                    rows = [cells[0]] if len(values) == 1 else [f"{cells[0]}-{epochs}" for epochs in (100, 200, 400)]
                    for row, value in zip(rows, values, strict=True):
                        found.append(Published(row[0], row, column, when, value))
        elif line.startswith("Transfer to detection"):
            for method, box, mask in re.findall(r"([A-Z][^:;/]*?) (\d+\.\d) / (\d+\.\d)", line):
                found.append(Published("detection", method, "COCO box AP", "late", float(box)))
                found.append(Published("detection", method, "COCO mask AP", "late", float(mask)))
    return found


@pytest.mark.skipif(not SOURCE.is_file(), reason=f"{SOURCE} is absent")
def test_the_csv_equals_the_published_tables():
    assert list(published()) == figures_in(SOURCE.read_text(encoding="utf-8"))


def test_all_six_tables_are_complete():
    assert {table: sum(figure.table == table for figure in published()) for table in COUNTS} == COUNTS
    assert len(published()) == sum(COUNTS.values())
    assert len({(figure.row, figure.column, figure.when) for figure in published()}) == len(published())
