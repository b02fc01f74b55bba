from pathlib import Path

import pytest

from mdpseg.data.readers.pairs import Pair
from mdpseg.data.readers.subset import Subset, select
from mdpseg.errors import UserError

from .files import write_lines

PAIRS = [Pair(f"{i:03d}", Path(f"{i:03d}.jpg"), Path(f"{i:03d}.png")) for i in range(100)]


def ids(pairs):
    return [pair.id for pair in pairs]


def test_everything_comes_in_the_order_of_ids():
    assert ids(select(PAIRS[::-1])) == [f"{i:03d}" for i in range(100)]


def test_a_choice_is_stable_and_depends_on_the_seed():
    chosen = ids(select(PAIRS, count=5, seed=0))
    assert chosen == ["028", "029", "040", "065", "089"]  # fixed for all machines and versions
    assert chosen == ids(select(PAIRS[::-1], count=5, seed=0))
    assert chosen != ids(select(PAIRS, count=5, seed=1))


def test_smaller_choices_are_part_of_larger_ones():
    for seed in range(5):
        previous: set[str] = set()
        for count in (1, 7, 20, 99, 100):
            chosen = ids(select(PAIRS, count=count, seed=seed))
            assert len(chosen) == count == len(set(chosen))
            assert chosen == sorted(chosen)
            assert previous <= set(chosen)
            previous = set(chosen)


def test_choices_are_spread_over_all_images():
    times = {pair.id: 0 for pair in PAIRS}
    for seed in range(400):
        for chosen in select(PAIRS, count=10, seed=seed):
            times[chosen.id] += 1
    assert min(times.values()) > 15  # 40 expected, deviation 6
    assert max(times.values()) < 65


def test_fraction():
    assert ids(select(PAIRS, fraction=0.25, seed=3)) == ids(select(PAIRS, count=25, seed=3))
    assert len(select(PAIRS, fraction=1)) == 100
    assert len(select(PAIRS, fraction=0.0001)) == 1


@pytest.mark.parametrize("part", [{"fraction": 0.2}, {"count": 99, "seed": 4}])
def test_the_rest_is_what_the_part_leaves_out(part):
    taken, left = ids(select(PAIRS, **part)), ids(select(PAIRS, **part, rest=True))
    assert sorted(taken + left) == ids(PAIRS)
    assert left == sorted(left)


def test_the_rest_of_a_list(tmp_path):
    listed = write_lines(tmp_path / "list.txt", ["007", "003", "050"])
    both = [ids(select(PAIRS, list_file=listed, count=1, rest=rest)) for rest in (False, True)]
    assert [len(part) for part in both] == [1, 2]
    assert sorted(both[0] + both[1]) == ["003", "007", "050"]


def test_list_file_goes_first(tmp_path):
    listed = write_lines(tmp_path / "list.txt", ["# my images", "", "007", "  003 ", "050"])
    assert ids(select(PAIRS, list_file=listed)) == ["003", "007", "050"]
    two = ids(select(PAIRS, list_file=listed, count=2))
    assert len(two) == 2
    assert set(two) < {"003", "007", "050"}


@pytest.mark.parametrize("wrong", ["100", "../003", "003.jpg"])
def test_list_with_an_unknown_id(tmp_path, wrong):
    listed = write_lines(tmp_path / "list.txt", ["003", wrong])
    with pytest.raises(UserError, match=r"list\.txt: no image has the id '" + wrong.replace(".", r"\.")):
        select(PAIRS, list_file=listed)


def test_lists_that_are_wrong(tmp_path):
    with pytest.raises(UserError, match=r"gone\.txt cannot be read \(No such file"):
        select(PAIRS, list_file=tmp_path / "gone.txt")
    with pytest.raises(UserError, match=r"empty\.txt names no id"):
        select(PAIRS, list_file=write_lines(tmp_path / "empty.txt", ["# nothing"]))
    with pytest.raises(UserError, match=r"twice\.txt: the id '003' stands there twice"):
        select(PAIRS, list_file=write_lines(tmp_path / "twice.txt", ["003", "003"]))
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match=r"binary\.txt is not UTF-8"):
        select(PAIRS, list_file=tmp_path / "binary.txt")


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"count": 101}, "count is 101, but only 100"),
        ({"count": 0}, "count is 0"),
        ({"count": 2.5}, "count is 2.5"),
        ({"count": True}, "count is True"),
        ({"fraction": 0}, "fraction is 0"),
        ({"fraction": 1.5}, "fraction is 1.5"),
        ({"fraction": "half"}, "fraction is 'half'"),
        ({"fraction": 0.5, "count": 3}, "both fraction 0.5 and count 3"),
        ({"rest": True}, "has the rest, but neither fraction nor count"),
        ({"count": 100, "rest": True}, "the rest of 100 images, and there are no others"),
    ],
)
def test_numbers_that_are_wrong(wrong, message):
    with pytest.raises(UserError, match=message):
        select(PAIRS, **wrong)


def test_subset_from_a_recipe():
    assert Subset.of(None) == Subset()
    assert Subset.of({"count": 3, "seed": 2}) == Subset(count=3, seed=2)
    assert Subset.of(Subset(fraction=0.5)) == Subset(fraction=0.5)
    with pytest.raises(UserError, match="subset has no key 'number'; it takes list, fraction, count, seed, rest"):
        Subset.of({"number": 3})
    with pytest.raises(UserError, match="subset is 3; expected keys"):
        Subset.of(3)
