import pytest

from mdpseg.tables import results
from mdpseg.tables.conclusions import ABLATION, BEYOND, CLOSE, CONCLUSIONS, Comparison
from mdpseg.tables.grid import ROWS
from mdpseg.tables.measured import measured
from mdpseg.tables.preset import load_preset
from mdpseg.tables.verdicts import judge, summary
from tests.tables import synthetic

SMALL = load_preset("small")
EVERY = [c for conclusion in (*CONCLUSIONS, *BEYOND) for c in conclusion.comparisons] + list(ABLATION)
NOISE = (-0.1, 0.1, 0.0)  # over three seeds: half-width 0.248


def verdict(tmp_path, comparison, score, seeds=(0, 1, 2)):
    """``score(row, column, when, seed)`` gives the mIoU of a comparison's two rows."""
    for id in (comparison.better, comparison.worse):
        synthetic.write(
            tmp_path / "r.csv",
            synthetic.rows(id),
            lambda cell, when: score(cell.row, cell.column, when, cell.seed),
            seeds,
        )
    rows = synthetic.rows(comparison.better, comparison.worse, "E7")
    return judge(comparison, measured(rows, SMALL, results.read(tmp_path / "r.csv")), SMALL)


def test_there_are_the_six_and_all_their_rows_exist():
    assert [conclusion.id for conclusion in CONCLUSIONS] == ["1a", "1b", "2", "3a", "3b", "4a", "4b", "5a", "5b", "6"]
    ids = {row.id for row in ROWS}
    assert all({comparison.better, comparison.worse} <= ids for comparison in EVERY)
    assert len(set(EVERY)) == len(EVERY)
    assert {c.worse for c in ABLATION} == {*(f"F{number}" for number in range(12, 19)), "F20"}


@pytest.mark.parametrize("comparison", [c for one in CONCLUSIONS for c in one.comparisons], ids=lambda c: c.text)
def test_the_published_figures_say_what_the_authors_conclude(comparison, tmp_path):
    found = verdict(tmp_path, comparison, lambda *_: None)
    assert found.word == "not measured"
    assert abs(found.published) < CLOSE if comparison.close else found.published > 0


@pytest.mark.parametrize("one", BEYOND, ids=lambda one: one.id)
def test_nothing_is_published_of_table_f(one, tmp_path):
    found = verdict(tmp_path, one.comparisons[0], lambda *_: None)
    assert (found.published, found.published_columns, found.same) == (None, (), None)


def test_a_difference_is_paired_and_over_all_targets(tmp_path):
    """Seeds differ by 10 points, the rows within a seed by 1: only paired is that plain."""
    gain = {"VOC": 0.0, "ADE20K": 0.0, "CamVid": 2.0, "Cityscapes": 2.0}

    def score(row, column, when, seed):
        return 20.0 + 10 * seed + (gain[column] + NOISE[seed] if row == "A5" else 0.0)

    found = verdict(tmp_path, Comparison("A5", "A1"), score)
    assert found.columns == ("VOC", "ADE20K", "CamVid", "Cityscapes")
    assert (found.difference.mean, found.difference.half_width) == pytest.approx((1.0, 0.2484), abs=1e-3)
    assert found.word == "holds"
    assert found.published == pytest.approx(((75.70 - 75.63) + (41.57 - 39.36)) / 2)
    assert found.published_columns == ("VOC", "ADE20K")
    assert found.same.mean == pytest.approx(0.0)


@pytest.mark.parametrize("gain, word", [(1.0, "holds"), (-1.0, "does not"), (0.2, "undecided")])
def test_words(gain, word, tmp_path):
    found = verdict(
        tmp_path,
        Comparison("D3", "D1"),
        lambda row, column, when, seed: 30 + (gain + NOISE[seed] if row == "D3" else 0),
    )
    assert found.word == word


def test_one_seed_decides_nothing(tmp_path):
    found = verdict(tmp_path, Comparison("D3", "D1"), lambda row, *_: 40 if row == "D3" else 20, seeds=[0])
    assert (found.difference.seeds, found.word) == (1, "undecided")


def test_only_the_columns_asked_for(tmp_path):
    comparison = Comparison("A3", "A1", columns=("ADE20K",))
    found = verdict(
        tmp_path, comparison, lambda row, column, *_: 30 + (1 if column == "ADE20K" else -9) * (row == "A3")
    )
    assert (found.columns, found.difference.mean, found.word) == (("ADE20K",), pytest.approx(1.0), "holds")
    assert found.published_columns == ("ADE20K",)
    assert comparison.text == "A3 over A1 on ADE20K, late"


def test_columns_that_only_one_row_has_are_left_out(tmp_path):
    found = verdict(tmp_path, Comparison("E8", "E1"), lambda row, column, *_: 99 if column == "COCO" else 20)
    assert "COCO" not in found.columns
    assert found.difference.mean == pytest.approx(0.0)


def test_fading_is_early_minus_late(tmp_path):
    def score(row, column, when, seed):
        return 30 + ({"early": 5.0, "late": 2.0}[when] + NOISE[seed] * (when == "early")) * (row == "C3")

    found = verdict(tmp_path, Comparison("C3", "C2", "fades"), score)
    assert found.difference.mean == pytest.approx(3.0)
    assert found.word == "holds"
    assert found.published == pytest.approx((60.02 - 58.94) - (70.56 - 70.11))


@pytest.mark.parametrize("gain, word", [(1.0, "holds"), (-1.7, "holds"), (1.9, "undecided"), (2.5, "does not")])
def test_close_is_within_two_points(gain, word, tmp_path):
    comparison = Comparison("C4", "C3", close=True)
    synthetic.write(tmp_path / "r.csv", synthetic.rows("E7"), lambda cell, when: 20.0)
    found = verdict(
        tmp_path, comparison, lambda row, column, when, seed: 30 + (gain + NOISE[seed] if row == "C4" else 0)
    )
    assert found.word == word
    assert comparison.text == "C4 as C3, late"


@pytest.mark.parametrize("nothing, word", [(27.0, "holds"), (28.5, "undecided"), (None, "undecided")])
def test_two_pretrainings_that_are_close_say_nothing_where_none_at_all_is_as_close(nothing, word, tmp_path):
    synthetic.write(tmp_path / "r.csv", synthetic.rows("E7"), lambda cell, when: nothing)
    found = verdict(tmp_path, Comparison("C4", "C3", close=True), lambda row, column, when, seed: 30 + NOISE[seed])
    assert found.word == word


def test_no_pretraining_is_looked_at_when_the_rows_are(tmp_path):
    """Early it is as close as they are; that it is far behind late says nothing of that."""
    synthetic.write(tmp_path / "r.csv", synthetic.rows("E7"), lambda cell, when: {"early": 30.0, "late": 10.0}[when])
    comparison = Comparison("C4", "C3", "early", close=True)
    found = verdict(tmp_path, comparison, lambda row, column, when, seed: 30 + NOISE[seed])
    assert found.word == "undecided"


@pytest.mark.parametrize("gain, word", [(0.6, "holds"), (0.4, "undecided"), (-0.4, "does not")])
def test_twice_the_interval(gain, word, tmp_path):
    comparison = BEYOND[0].comparisons[0]
    found = verdict(
        tmp_path, comparison, lambda row, column, when, seed: 30 + (gain + NOISE[seed] if row == "F4" else 0)
    )
    assert found.word == word
    assert comparison.text == "F4 over F3 by 2 half-widths, early"


@pytest.mark.parametrize(
    "words, said",
    [
        (["holds", "holds"], "holds (2 of 2 comparisons)"),
        (["holds", "holds", "undecided"], "undecided (1 of 3 comparisons; 2 hold)"),
        (["holds"], "holds (1 of 1 comparison)"),
        (["does not"] * 3 + ["holds"], "does not (3 of 4 comparisons; 1 holds)"),
        (["holds", "holds", "does not", "does not"], "does not (2 of 4 comparisons; 2 hold)"),
        (["undecided", "undecided", "does not"], "does not (1 of 3 comparisons; 2 undecided)"),
        (["not measured", "holds"], "undecided (1 not measured; 1 holds)"),
        (["not measured"] * 2, "not measured"),
    ],
)
def test_summary(words, said):
    assert summary(words) == said
