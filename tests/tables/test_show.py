import csv
import re

import pytest

from mdpseg.errors import UserError
from mdpseg.tables import results
from mdpseg.tables.choose import playable
from mdpseg.tables.grid import ROWS
from mdpseg.tables.preset import Preset, load_preset
from mdpseg.tables.show import show_tables
from tests.tables import synthetic, tiny_preset

SMALL = load_preset("small")


def score(cell, when):
    """VOC: 30, 31, 32 late and half of it early; Facade not measured; CamVid with one seed only."""
    if cell.column == "Cityscapes" or (cell.column == "CamVid" and cell.seed):
        return None
    return (30.0 + cell.seed) * (0.5 if when == "early" else 1.0)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return synthetic.write(tmp_path_factory.mktemp("results") / "r.csv", synthetic.rows("A2", "C1"), score)


def line_of(text, id):
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    head = next(line for line in lines if line[0] == "id")
    return dict(zip(head, next(line for line in lines if line[0] == id), strict=True))


def test_published_and_measured_stand_side_by_side(measured):
    text = show_tables(synthetic.rows("A1", "A2", "A3"), SMALL, measured, None, None)
    a2 = line_of(text, "A2")
    assert a2 == {
        "id": "A2",
        "what": "MDP from scratch",
        "pretraining data": "VOC+ADE20K",
        "epochs": "100",
        "VOC late, *published*": "73.32",
        "VOC early": "15.5 ± 1.2 (3)",
        "VOC late": "31.0 ± 2.5 (3)",
        "ADE20K late, *published*": "40.17",
        "ADE20K (msrc) early": "15.5 ± 1.2 (3)",
        "ADE20K (msrc) late": "31.0 ± 2.5 (3)",
        "CamVid early": "15.0 (1)",
        "CamVid late": "30.0 (1)",
    }  # no mean: no seed has all targets
    a3 = line_of(text, "A3")
    assert (a3["VOC late, *published*"], a3["VOC late"], a3["CamVid early"]) == ("74.30", "", "")


def test_the_replica_is_labelled_for_what_it_is(measured):
    assert SMALL.about in show_tables(synthetic.rows("A1"), SMALL, measured, None, None)


def test_what_is_published_early_has_a_column_of_its_own(measured):
    c1 = line_of(show_tables(synthetic.rows("C1", "C2"), SMALL, measured, None, None), "C1")
    assert (c1["VOC early, *published*"], c1["VOC late, *published*"]) == ("46.70", "70.03")


def test_rows_that_share_cells_share_results_and_other_rows_do_not(measured):
    text = show_tables(synthetic.rows("D1", "D3"), SMALL, measured, None, None)
    assert line_of(text, "D3")["VOC late"] == "31.0 ± 2.5 (3)"
    assert line_of(text, "D1")["VOC late"] == ""


def test_the_mean_is_over_the_targets_of_every_row(tmp_path):
    path = synthetic.write(
        tmp_path / "r.csv", synthetic.rows("E8"), lambda cell, when: 90.0 if cell.column == "COCO" else 20.0, seeds=[0]
    )
    e8 = line_of(show_tables(synthetic.rows("E8"), SMALL, path, None, None), "E8")
    assert (e8["COCO (ccp) late"], e8["mean late"]) == ("90.0 (1)", "20.0 (1)")


def test_files_of_each_table(measured, tmp_path):
    out = tmp_path / "new" / "tables"
    show_tables(synthetic.rows("A1", "A2", "F4"), SMALL, measured, out, None)
    assert {file.name for file in out.iterdir()} == {
        f"{table}.{kind}" for table in "AF" for kind in ("md", "csv", "png")
    }
    page = (out / "A.md").read_text()
    assert SMALL.about in page
    assert "](A.png)" in page
    assert line_of(page, "A2")["VOC late"] == "31.0 ± 2.5 (3)"
    assert (out / "A.png").read_bytes()[:4] == b"\x89PNG"
    with (out / "A.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["kind", "table", "row", "column", "when", "seeds", "mean", "half_width"]
    assert sorted(
        tuple(line.values()) for line in lines if (line["row"], line["column"], line["when"]) == ("A2", "VOC", "late")
    ) == [
        ("measured", "A", "A2", "VOC", "late", "3", "31.000", "2.484"),
        ("published", "A", "A2", "VOC", "late", "", "73.320", ""),
    ]


def test_published_and_measured_never_share_an_axis(measured, tmp_path, monkeypatch):
    from mdpseg.tables import plot

    drawn = []
    panel = plot._panel
    monkeypatch.setattr(
        plot, "_panel", lambda axis, rows, figures, c: (drawn.append(figures), panel(axis, rows, figures, c))
    )
    show_tables(synthetic.rows("A2"), SMALL, measured, tmp_path, None)
    assert [{figure.kind for figure in figures} for figures in drawn] == [{"published"}] + [{"measured"}] * 3


def test_nothing_measured_shows_what_is_published(tmp_path):
    text = show_tables(synthetic.rows("A2", "F4"), SMALL, tmp_path / "none.csv", tmp_path, None)
    assert list(line_of(text, "A2"))[4:] == ["VOC late, *published*", "ADE20K late, *published*"]
    assert re.search(r"^\| F4 \| MDP, ours \| VOC\+ADE20K \| 100 \|$", text, re.MULTILINE)
    assert (tmp_path / "F.png").is_file()


def test_a_preset_s_names_are_no_formulas(tmp_path):
    """matplotlib would take them for some, which are wrong."""
    targets = {"$\\q$" if column == "VOC" else column: target for column, target in SMALL.targets.items()}
    for place, update in enumerate([{"name": "price $\\q$"}, {"targets": targets}]):
        preset, out = SMALL.model_copy(update=update), tmp_path / str(place)
        path = synthetic.write(tmp_path / f"{place}.csv", synthetic.rows("A2"), score, preset=preset)
        show_tables(synthetic.rows("A2"), preset, path, out, None)
        assert (out / "A.png").is_file()


def test_a_report_is_about_all_rows(measured, tmp_path):
    with pytest.raises(UserError, match="--report is about all rows"):
        show_tables(synthetic.rows("A1"), SMALL, measured, None, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


def test_cells_of_no_row_are_told_where_all_rows_are_shown(tmp_path):
    preset = Preset.model_validate(tiny_preset.content())
    [cell] = synthetic.cells_of(synthetic.rows("A1"), preset, [0])
    results.append(tmp_path / "r.csv", [synthetic.line(cell, "late", 0.5, key="of an older preset")])
    said = "1 measured fine-tuning belongs to no row"
    assert said in show_tables(playable(ROWS, preset), preset, tmp_path / "r.csv")
    assert said not in show_tables(synthetic.rows("A1"), preset, tmp_path / "r.csv")


def test_some_seeds_alone_in_the_tables_and_on_the_page(measured, tmp_path):
    a2 = line_of(show_tables(synthetic.rows("A2"), SMALL, measured, seeds=range(1, 3)), "A2")
    assert a2["VOC late"] == "31.5 ± 6.4 (2)"
    preset, page = Preset.model_validate(tiny_preset.content()), tmp_path / "new" / "page.md"
    show_tables(playable(ROWS, preset), preset, tmp_path / "none.csv", report=page, seeds=range(1, 3))
    assert "--first-seed 1 --seeds 2 --report" in page.read_text()


def test_a_picture_that_fails_leaves_the_old_one(measured, tmp_path, monkeypatch):
    from mdpseg.tables import plot

    show_tables(synthetic.rows("A2"), SMALL, measured, tmp_path, None)
    before = (tmp_path / "A.png").read_bytes()
    monkeypatch.setattr(plot.Canvas, "savefig", lambda canvas, path, **_: (path.write_bytes(b"half"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        show_tables(synthetic.rows("A2"), SMALL, measured, tmp_path, None)
    assert (tmp_path / "A.png").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["A.csv", "A.md", "A.png"]


def test_results_that_are_not_there_are_not_taken_for_nothing_measured(tmp_path, mdpseg_command):
    for command in ("show", "list"):
        code, _, err = mdpseg_command("tables", command, "--results", tmp_path / "nope.csv")
        assert code == 2
        assert "No results at" in err


def test_the_command(measured, tmp_path, mdpseg_command):
    code, out, _ = mdpseg_command("tables", "show", "A", "--rows", "A2", "--results", measured, "--out", tmp_path)
    assert code == 0
    assert line_of(out, "A2")["VOC late"] == "31.0 ± 2.5 (3)"
    assert (tmp_path / "A.png").is_file()
    code, _, err = mdpseg_command("tables", "show", "G")
    assert code == 2
    assert "No table 'G'; tables are A, B" in err
