import pytest

from mdpseg.tables import results
from mdpseg.tables.grid import ROWS
from mdpseg.tables.measured import measured
from mdpseg.tables.preset import load_preset
from tests.tables import synthetic

SMALL = load_preset("small")
ALWAYS = ("VOC", "ADE20K", "CamVid", "Cityscapes")


def look_up(path, *ids):
    return measured(synthetic.rows(*ids), SMALL, results.read(path))


def test_rows_that_share_a_cell_share_its_results(tmp_path):
    path = synthetic.write(tmp_path / "r.csv", synthetic.rows("A2"), lambda cell, when: 10.0 + cell.seed)
    found = look_up(path, "A2", "D3", "E4", "A3")
    for row in ("A2", "D3", "E4"):
        assert found.of(row, ["VOC"], "late") == pytest.approx({0: 10.0, 1: 11.0, 2: 12.0})
    assert found.of("A3", ["VOC"], "late") == {}
    assert found.always == ALWAYS


def test_a_mean_is_over_seeds_that_have_all_its_columns(tmp_path):
    def score(cell, when):
        if (cell.column, cell.seed) == ("CamVid", 1):
            return None
        return {"VOC": 10.0, "ADE20K": 20.0, "CamVid": 60.0, "Cityscapes": 30.0}[cell.column] + cell.seed

    found = look_up(synthetic.write(tmp_path / "r.csv", synthetic.rows("E1"), score), "E1")
    assert found.of("E1", ALWAYS, "early") == pytest.approx({0: 30.0, 2: 32.0})
    assert found.of("E1", ["VOC", "ADE20K"], "late") == pytest.approx({0: 15.0, 1: 16.0, 2: 17.0})
    assert found.of("E1", [], "late") == {}
    assert found.gaps == "Some seeds lack a target: E1 CamVid (seed 1)."


def test_a_target_that_some_seeds_lack_is_told(tmp_path):
    asked = ("A4", "E6")  # the same pretraining; E6 has one target more
    path = synthetic.write(tmp_path / "r.csv", synthetic.rows("A4"), lambda cell, when: 1.0, seeds=[0, 2])
    path = synthetic.write(path, synthetic.rows("E6"), lambda cell, when: 1.0 if cell.column == "COCO" else None, [2])
    assert look_up(path, *asked).missing == {("E6", 0): ["COCO"]}
    assert look_up(path, "A4").gaps == ""


def test_cells_that_belong_to_no_row_are_counted(tmp_path):
    path = synthetic.write(tmp_path / "r.csv", synthetic.rows("A1"), lambda cell, when: 1.0, seeds=[7])
    assert look_up(path, *(row.id for row in ROWS)).left_out == ""
    [cell, *_] = synthetic.cells_of(synthetic.rows("A1"), SMALL, [0])
    results.append(path, [synthetic.line(cell, when, 0.5, key="of an older preset") for when in ("early", "late")])
    assert look_up(path, *(row.id for row in ROWS)).left_out == (
        "1 measured fine-tuning belongs to no row as the preset is now (then Z9 1): left out."
    )


def test_pretrainings_are_no_strays(tmp_path):
    path = synthetic.write(tmp_path / "r.csv", synthetic.rows("A2"), lambda cell, when: 1.0)
    line = results.Result("pretraining", "p", "A2", "", 0, "", 100, None, None, 9.0, 2, "abc1234", "2026-11-23")
    results.append(path, [line])
    assert look_up(path, "A2").left_out == ""


def test_early_and_late_are_found_each_by_itself(tmp_path):
    path = synthetic.write(tmp_path / "r.csv", synthetic.rows("A1"), lambda _, when: 9.0 if when == "early" else None)
    found = look_up(path, "A1")
    assert found.of("A1", ["VOC"], "early") == pytest.approx({0: 9.0, 1: 9.0, 2: 9.0})
    assert found.of("A1", ["VOC"], "late") == {}


def test_of_a_cell_run_again_the_last_figure_counts(tmp_path):
    path = synthetic.write(tmp_path / "r.csv", synthetic.rows("A1"), lambda cell, when: 10.0)
    synthetic.write(path, synthetic.rows("A1"), lambda cell, when: 30.0)
    assert look_up(path, "A1").of("A1", ["VOC"], "late") == pytest.approx({0: 30.0, 1: 30.0, 2: 30.0})
