import re

import pytest

from mdpseg.errors import UserError
from mdpseg.tables.compare import compare_rows
from mdpseg.tables.preset import load_preset
from tests.tables import synthetic

SMALL = load_preset("small")


def score(cell, when):
    """F4 is 1, 2, 3 points ahead of F1 late, by seed, and 10 on CamVid, of which seed 2 is missing; early level."""
    if cell.column == "CamVid" and cell.seed == 2:
        return None
    ahead = 10.0 if cell.column == "CamVid" else 1.0 + cell.seed
    return 40.0 + (ahead if cell.row == "F4" and when == "late" else 0.0)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    rows = synthetic.rows("F1", "F4", "E6", "A1")
    return synthetic.write(tmp_path_factory.mktemp("results") / "r.csv", rows, score)


def tables_of(text):
    """Head and rows, {first cell: others}, of each table."""
    tables = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or set(cells[0]) == {"-"}:
            continue
        if cells[0] in ("target", "seed"):
            tables.append({})
        tables[-1][cells[0]] = cells[1:]
    return tables


def test_differences_are_paired_by_seed_and_target(measured):
    (row,), others = synthetic.rows("F4"), synthetic.rows("F1")
    by_target, by_seed = tables_of(compare_rows(row, others, SMALL, measured))
    same = ["+0.00 ± 0.00 (3)", "+2.00 ± 2.48 (3)"]  # t(2) = 4.303 x 1 / sqrt(3)
    assert by_target == {
        "target": ["early", "late"],
        "VOC": same,
        "ADE20K (msrc)": same,
        "CamVid": ["+0.00 ± 0.00 (2)", "+10.00 ± 0.00 (2)"],
        "Cityscapes (facade)": same,
        "mean": ["+0.00 ± 0.00 (2)", "+3.62 ± 4.76 (2)"],  # of seeds that have all targets; t(1) = 12.706
    }
    assert by_seed == {"seed": ["early", "late"], "0": ["+0.00", "+3.25"], "1": ["+0.00", "+4.00"]}


def test_each_of_the_others_is_compared_by_itself_on_the_targets_both_have(measured):
    (row,) = synthetic.rows("E6")
    text = compare_rows(row, synthetic.rows("A1", "F1"), SMALL, measured)
    assert re.findall("^## .*", text, re.M) == ["## E6 less A1", "## E6 less F1"]
    assert "COCO" not in {name.split()[0] for table in tables_of(text) for name in table}  # E6 alone has it


def test_only_some_seeds(measured):
    (row,), others = synthetic.rows("F4"), synthetic.rows("F1")
    by_target, by_seed = tables_of(compare_rows(row, others, SMALL, measured, range(1, 2)))
    assert (by_target["VOC"], by_seed["1"]) == (["+0.00 (1)", "+2.00 (1)"], ["+0.00", "+4.00"])


def test_seeds_of_the_only_target(measured):
    only_voc = SMALL.model_copy(update={"targets": {"VOC": SMALL.targets["VOC"]}})
    (row,), others = synthetic.rows("F4"), synthetic.rows("F1")
    by_target, by_seed = tables_of(compare_rows(row, others, only_voc, measured))
    assert set(by_target) == {"target", "VOC"}
    assert [by_seed[seed][1] for seed in "012"] == ["+1.00", "+2.00", "+3.00"]


def test_no_seed_in_common(measured):
    (row,) = synthetic.rows("F4")
    with pytest.raises(UserError, match="F4 and F2 have no measured seed in common"):
        compare_rows(row, synthetic.rows("F2"), SMALL, measured)


def test_rows_that_are_the_same_runs_are_told(measured):
    (row,) = synthetic.rows("F3")
    text = compare_rows(row, synthetic.rows("A2"), SMALL, measured)  # not measured either
    assert "In preset small these are the same runs: there is nothing to compare." in text
    assert tables_of(text) == []


def test_command(measured, mdpseg_command):
    code, out, err = mdpseg_command("tables", "compare", "F4", "F1,E6", "--results", measured, "--seeds", "2")
    assert code == 0, err
    assert re.findall("^## .*", out, re.M) == ["## F4 less E6", "## F4 less F1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["E14", "F1"], "E14 stands for E14-100, E14-200, E14-400; name one of them."),
        (["F4", "F99"], "No row 'F99'"),
        (["F4", "F2"], "F4 and F2 have no measured seed in common"),
        (["F4", "F1", "--first-seed", "10"], "--first-seed 10 alone would change nothing; say with --seeds how many."),
    ],
)
def test_what_cannot_be_compared(arguments, message, measured, mdpseg_command):
    code, _, err = mdpseg_command("tables", "compare", *arguments, "--results", measured)
    assert code == 2
    assert message in err
