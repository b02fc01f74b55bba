import pytest
import torch
import yaml

from mdpseg.atlas.mapping import mapping_text, merged_groups
from mdpseg.atlas.nearest import Neighbour, nearest_classes
from mdpseg.atlas.relations import Relation, propose, unmatched
from mdpseg.data.merge import read_mapping
from mdpseg.label_space import LabelSpace
from tests.tiny import ListReader

# a: rest (catch-all), person, car, bus; b: human, vehicle, sky
SPACE = LabelSpace.concatenate(
    {"a": ["rest", "person", "car", "bus"], "b": ["human", "vehicle", "sky"]}, catch_alls={"a": "rest"}
)
KNOWN = torch.ones(7, dtype=torch.bool)


def shares(**given):
    """a_person__b_human=0.9 says: 90 % of a/person lie nearest to b/human."""
    table = torch.zeros(7, 7, dtype=torch.float64)
    for key, share in given.items():
        first, second = (name.replace("_", "/", 1) for name in key.split("__"))
        table[SPACE.names.index(first), SPACE.names.index(second)] = share
    return table


def proposed(known=KNOWN, **given):
    return {(SPACE.names[r.first], r.kind, SPACE.names[r.second]) for r in propose(shares(**given), SPACE, known)}


def test_both_ways_is_the_same():
    assert proposed(a_person__b_human=0.9, b_human__a_person=0.8) == {("a/person", "same as", "b/human")}


def test_one_way_is_a_part_whichever_way_it_is():
    assert proposed(a_car__b_vehicle=0.9, b_vehicle__a_car=0.3) == {("a/car", "part of", "b/vehicle")}
    assert proposed(b_human__a_person=0.9, a_person__b_human=0.3) == {("b/human", "part of", "a/person")}


def test_for_want_of_anything_better_is_nothing():
    assert proposed(a_car__b_human=1.0, b_human__a_car=0.02) == set()


def test_something_both_ways_overlaps():
    assert proposed(a_car__b_human=0.35, b_human__a_car=0.35) == {("a/car", "overlaps", "b/human")}


def test_one_of_several_parts_is_no_equal_of_the_whole():
    given = {"a_car__b_vehicle": 0.9, "b_vehicle__a_car": 0.6, "a_bus__b_vehicle": 0.9, "b_vehicle__a_bus": 0.3}
    assert proposed(**given) == {("a/car", "part of", "b/vehicle"), ("a/bus", "part of", "b/vehicle")}
    given["b_vehicle__a_car"] = 0.9  # unless nearly all of the whole is it
    assert ("a/car", "same as", "b/vehicle") in proposed(**given)


@pytest.mark.parametrize(
    "forward, back, kind",
    [
        (0.4, 0.4, "same as"),
        (0.4, 0.39, "part of"),
        (0.4, 0.2, "part of"),
        (0.4, 0.19, None),
        (0.39, 0.39, "overlaps"),
        (0.3, 0.3, "overlaps"),
        (0.3, 0.29, None),
    ],
)
def test_where_one_kind_ends_and_another_begins(forward, back, kind):
    found = propose(shares(a_car__b_vehicle=forward, b_vehicle__a_car=back), SPACE, KNOWN)
    assert [relation.kind for relation in found] == [kind] * (kind is not None)


@pytest.mark.parametrize("back, kind", [(0.79, "part of"), (0.8, "same as")])
def test_nearly_all_of_a_whole_with_other_parts(back, kind):
    given = {"a_car__b_vehicle": 0.9, "b_vehicle__a_car": back, "a_bus__b_vehicle": 0.9, "b_vehicle__a_bus": 0.3}
    assert ("a/car", kind, "b/vehicle") in proposed(**given)


def test_the_whole_may_be_of_the_first_dataset():
    given = {"b_human__a_person": 0.9, "a_person__b_human": 0.6, "b_sky__a_person": 0.9, "a_person__b_sky": 0.3}
    assert proposed(**given) == {("b/human", "part of", "a/person"), ("b/sky", "part of", "a/person")}


def test_pixels_that_stay_in_their_own_dataset_say_nothing():
    given = {"a_person__b_human": 0.6, "b_human__a_person": 0.6, "a_car__a_bus": 0.9, "a_bus__a_car": 0.9}
    found = propose(shares(**given) + torch.eye(7, dtype=torch.float64), SPACE, KNOWN)
    assert [(relation.first, relation.kind, relation.second) for relation in found] == [(1, "same as", 4)]


def test_the_best_comes_first_with_its_score():
    given = {"a_person__b_human": 0.9, "b_human__a_person": 0.5, "a_car__b_vehicle": 0.36, "b_vehicle__a_car": 0.32}
    found = propose(shares(**given, a_bus__b_sky=0.3, b_sky__a_bus=0.8), SPACE, KNOWN)
    assert [(r.kind, r.forward, r.back) for r in found] == [
        ("part of", 0.8, 0.3),
        ("same as", 0.9, 0.5),
        ("overlaps", 0.36, 0.32),
    ]
    assert [r.score for r in found] == pytest.approx([0.8, 0.5, (0.36 * 0.32) ** 0.5])


def test_a_catch_all_is_never_proposed_but_told():
    given = {"a_rest__b_sky": 1.0, "b_sky__a_rest": 1.0}
    assert proposed(**given) == set()
    assert unmatched(shares(**given), SPACE, KNOWN) == [(6, 0, 1.0)]


def test_only_known_things_of_another_dataset_are_told_to_have_no_class_there():
    space = LabelSpace.concatenate({"a": ["rest", "car"], "b": ["rest", "sky"]}, catch_alls={"a": "rest", "b": "rest"})
    known = torch.tensor([True, True, True, False])
    assert unmatched(torch.full((4, 4), 0.5), space, known) == [(1, 2, 0.5)]
    assert unmatched(torch.full((4, 4), 0.39), space, known) == []


def test_a_class_that_was_not_met_is_not_proposed():
    known = KNOWN.clone()
    known[4] = False
    assert proposed(known, a_person__b_human=0.9, b_human__a_person=0.8) == set()


def same(first, second, score):
    return Relation(first, second, "same as", score, score, score)


def test_the_mapping_is_what_merge_reads(tmp_path):
    groups = merged_groups([same(1, 4, 0.9), same(3, 5, 0.5), Relation(2, 5, "part of", 0.9, 0.9, 0.3)], SPACE)
    path = tmp_path / "merge.yaml"
    path.write_text(mapping_text(groups, SPACE))
    readers = [ListReader([], SPACE.class_names(name), name) for name in ("a", "b")]
    mapping = read_mapping(path, readers)
    assert mapping == {
        "person": ["a/person", "b/human"],
        "bus": ["a/bus", "b/vehicle"],
        "a/rest": ["a/rest"],
        "a/car": ["a/car"],
        "b/sky": ["b/sky"],
    }


def test_classes_of_one_dataset_never_come_together():
    assert merged_groups([same(2, 5, 0.5), same(3, 5, 0.9)], SPACE) == [[3, 5]]


def test_three_that_are_the_same_are_one_group_under_the_commonest_name():
    space = LabelSpace.concatenate({"a": ["car", "x"], "b": ["auto", "y"], "c": ["auto", "z"]})
    groups = merged_groups([same(0, 2, 0.9), same(2, 4, 0.8)], space)
    assert groups == [[0, 2, 4]]
    assert yaml.safe_load(mapping_text(groups, space)) == {"auto": ["a/car", "b/auto", "c/auto"]}


def test_nothing_to_merge_is_no_file():
    assert mapping_text([], SPACE) is None


@pytest.mark.parametrize("name", ["no", "5", "null", "a: b", "# x", "a/b", "<script>", "Straße", "'", '"', "- x", "[x"])
def test_names_that_yaml_would_misread(name, tmp_path):
    space = LabelSpace.concatenate({"a": [name, "x"], "b": [name, "x"]})
    path = tmp_path / "merge.yaml"
    path.write_text(mapping_text(merged_groups([same(0, 2, 0.9), same(1, 3, 0.8)], space), space))
    mapping = read_mapping(path, [ListReader([], space.class_names(d), d) for d in "ab"])
    assert list(mapping.values()) == [[f"a/{name}", f"b/{name}"], ["a/x", "b/x"]]


def test_equal_names_of_different_things_stay_two():
    space = LabelSpace.concatenate({"a": ["bat", "x"], "b": ["bat", "y"], "c": ["bat", "bat2"]})
    groups = yaml.safe_load(mapping_text([[0, 2], [4, 1]], space))
    assert len(groups) == 2
    assert sorted(map(sorted, groups.values())) == [["a/bat", "b/bat"], ["a/x", "c/bat"]]


def test_mutual_rank():
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [0.9, 0.5], [1, 0.1], [0, 1]]), dim=1)
    space = LabelSpace.concatenate({"a": ["p", "q"], "b": ["r", "s"]})
    found = {(n.this, n.other): (n.rank, n.rank_back) for n in nearest_classes(vectors, torch.ones(4) > 0, space)}
    assert found[0, 2] == (1, 1)
    assert found[1, 2] == (1, 2)
    assert found[2, 0] == (1, 1)
    assert found[3, 1] == (1, 2)
    missing = torch.tensor([True, True, False, True])
    assert {n.other for n in nearest_classes(vectors, missing, space) if n.this == 0} == {3}


def test_so_many_are_shown_of_each_other_dataset():
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [0.9, 0.5], [1, 0.1], [0, 1]]), dim=1)
    space = LabelSpace.concatenate({"a": ["p", "q"], "b": ["r", "s"]})
    found = nearest_classes(vectors, torch.ones(4) > 0, space, shown=1)
    assert [(n.this, n.other) for n in found] == [(0, 2), (1, 2), (2, 0), (3, 1)]


def test_a_neighbour_has_the_shares_of_both_directions():
    row = Neighbour(1, 4, 0.5, 1, 2).row(SPACE.names, shares(a_person__b_human=0.9, b_human__a_person=0.2))
    assert row == {
        "class": "a/person",
        "other": "b/human",
        "similarity": 0.5,
        "rank": 1,
        "rank_back": 2,
        "forward": 0.9,
        "back": 0.2,
    }
