import torch
import torch.nn.functional as F

from mdpseg.label_space import LabelSpace
from mdpseg.prototypes import Prototypes

from .losses.reference import unit

CLASSES = {"voc": ["rest", "cat", "dog"], "msrc": ["cat", "grass"]}
CATCH_ALLS = {"catch_alls": {"voc": "rest"}, "catch_all_as": "ignore"}
D = 8


def trained():
    space = LabelSpace.concatenate(CLASSES, **CATCH_ALLS)
    return Prototypes.trained(space, unit(5, D), torch.tensor([True, True, False, True, True]), 0.1)


def test_examples_that_come_later_count_as_much_as_the_first_ones():
    regions = unit(3, D, seed=1)
    whole = trained().with_class("mine", "mug", regions, 3.0)
    parts = trained().with_class("mine", "mug", regions[:2], 4.0).with_class("mine", "mug", regions[2:], 1.0)
    for made in (whole, parts):
        assert torch.allclose(made.vectors[-1], F.normalize(regions.mean(0), dim=0), atol=1e-6)
        assert made.offsets.tolist() == [0, 0, 0, 0, 0, 3]
        assert made.examples.tolist() == [0, 0, 0, 0, 0, 3]


def test_examples_leave_the_prototypes_that_they_are_added_to_as_they_were():
    for dataset, name in (("mine", "mug"), ("voc", "dog")):
        given = trained() if dataset == "voc" else trained().with_class(dataset, name, unit(2, D, seed=1), 1.0)
        parts = given.vectors, given.present, given.sums, given.examples, given.offsets
        before = [part.clone() for part in parts]
        given.with_class(dataset, name, unit(1, D, seed=2), 5.0)
        assert all(torch.equal(part, old) for part, old in zip(parts, before, strict=True))


def test_catch_alls_stay_what_they_are_beside_a_new_class():
    grown = trained().with_class("voc", "cow", unit(1, D, seed=1), 0.0)
    expected = LabelSpace.concatenate({**CLASSES, "voc": ["rest", "cat", "dog", "cow"]}, **CATCH_ALLS)
    assert grown.label_space == expected
