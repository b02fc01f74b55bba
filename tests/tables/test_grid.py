import csv
from importlib.resources import files

from mdpseg.tables.grid import ROWS, TABLES, rows_of
from mdpseg.tables.layout import TITLES
from mdpseg.tables.published import published


def test_ids_are_unique_and_tables_complete():
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids)
    assert TABLES == ("A", "B", "C", "D", "E", "F") == tuple(TITLES)
    assert [row.id for table in TABLES for row in rows_of(table)] == ids


def test_every_published_row_is_in_the_grid():
    rows = {figure.row: figure.table for figure in published() if figure.table != "detection"}
    assert rows.items() <= {row.id: row.table for row in ROWS}.items()


def test_epochs_are_the_published_ones():
    text = files("mdpseg.tables").joinpath("published.csv").read_text(encoding="utf-8")
    rows = {row.id: row for row in ROWS}
    for line in csv.DictReader(text.splitlines()):
        if line["epochs"]:
            assert {stage.epochs for stage in rows[line["row"]].stages} == {int(line["epochs"])}, line


def test_rows_in_words():
    rows = {row.id: row for row in ROWS}
    assert (rows["A1"].data, rows["A1"].epochs) == ("ImageNet", 0)
    assert (rows["A6"].data, rows["A6"].epochs) == ("ImageNet -> VOC+ADE20K", 200)
    assert (rows["E5"].data, rows["E5"].epochs) == ("COCO -> ADE20K -> VOC", 300)
    assert rows["E13"].data == "VOC+ADE20K (+COCO unlabelled)"
    assert rows["E7"].data == "-"
