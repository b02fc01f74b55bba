import math

import pytest

from mdpseg.tables.statistics import Estimate, ahead, close, estimate, paired, t_quantile


@pytest.mark.parametrize(
    "values, mean, half_width",
    [
        ([1.0, 2.0, 3.0], 2.0, 4.303 * 1 / math.sqrt(3)),
        ([10.0, 14.0], 12.0, 12.706 * math.sqrt(8) / math.sqrt(2)),
        ([5.0, 5.0, 5.0, 5.0], 5.0, 0.0),
    ],
)
def test_mean_and_interval_by_hand(values, mean, half_width):
    found = estimate(values)
    assert found.mean == pytest.approx(mean)
    assert found.half_width == pytest.approx(half_width)
    assert found.seeds == len(values)


def test_one_value_has_no_interval_and_none_has_no_mean():
    assert estimate([3.0]) == Estimate(3.0, None, 1)
    assert estimate([]) is None


def test_quantiles_are_student_s():
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the dev extra")
    for freedom in range(1, 31):
        assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=5e-4)
    for freedom in (31, 100, 10000):
        assert 0 <= t_quantile(freedom) / stats.t.ppf(0.975, freedom) - 1 < 0.042


def test_pairs_are_of_the_same_seed():
    assert paired({0: 5.0, 1: 7.0, 3: 1.0}, {1: 6.5, 0: 3.0, 2: 9.0}) == {0: 2.0, 1: 0.5}


@pytest.mark.parametrize(
    "mean, half_width, times, word",
    [
        (1.0, 0.9, 0, "holds"),
        (1.0, 1.0, 0, "undecided"),
        (-0.5, 1.0, 0, "undecided"),
        (-1.0, 0.9, 0, "does not"),
        (0.0, 0.0, 0, "undecided"),
        (0.1, 0.0, 2, "holds"),
        (9.0, None, 0, "undecided"),
        (2.0, 1.0, 2, "holds"),
        (1.9, 1.0, 2, "undecided"),
        (-1.1, 1.0, 2, "does not"),
    ],
)
def test_ahead(mean, half_width, times, word):
    assert ahead(Estimate(mean, half_width, 3), times) == word


@pytest.mark.parametrize(
    "mean, half_width, word",
    [
        (0.0, 1.9, "holds"),
        (-1.0, 0.9, "holds"),
        (1.0, 1.0, "undecided"),
        (1.0, 1.1, "undecided"),
        (0.0, 5.0, "undecided"),
        (-4.0, 1.9, "does not"),
        (4.0, 2.0, "undecided"),
        (0.0, None, "undecided"),
    ],
)
def test_close(mean, half_width, word):
    assert close(Estimate(mean, half_width, 3), 2.0) == word


def test_nothing_measured():
    assert ahead(None) == close(None, 2.0) == "not measured"
