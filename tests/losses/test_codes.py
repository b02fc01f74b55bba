"""The codes beside the global ids: what is ignored or came without a label counts in no loss, and indexes nothing."""

import pytest
import torch

from mdpseg import LabelSpace
from mdpseg.bank import region_means
from mdpseg.label_space import UNLABELLED
from mdpseg.losses import pixel_to_pixel, pixel_to_prototype, pixel_to_region, sparse_coding, union_cross_entropy

from .reference import integers, unit

N, D = 24, 5


def losses(targets, classes):
    """Every loss of these targets [24], by name."""
    rows, prototypes = unit(N, D, seed=1), unit(classes, D, seed=2)
    present = torch.ones(classes, dtype=torch.bool)
    maps, map_targets = unit(2, 12, D, seed=3).transpose(1, 2).reshape(2, D, 3, 4), targets.reshape(2, 3, 4)
    space = LabelSpace.concatenate({"a": [str(i) for i in range(classes)]})
    return {
        "pixel_to_prototype": pixel_to_prototype(rows, targets, prototypes, present, 0.07),
        "sparse_coding": sparse_coding(rows, targets, prototypes, present, 0.07, 2),
        "pixel_to_region": pixel_to_region(rows, targets, prototypes, torch.arange(classes), 0.07),
        "pixel_to_pixel": pixel_to_pixel(maps, map_targets, maps, 0.07),
        "union_cross_entropy": union_cross_entropy(unit(N, classes, seed=4), targets, space),
    }


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_an_unlabelled_pixel_is_as_good_as_an_ignored_one(classes):
    targets = integers(-2, classes, (N,), seed=5)
    assert UNLABELLED in targets
    with_both, ignored = losses(targets, classes), losses(targets.clamp_min(-1), classes)
    assert {name: loss.item() for name, loss in with_both.items()} == {n: loss.item() for n, loss in ignored.items()}
    assert all(loss.item() == 0 for loss in losses(torch.full((N,), UNLABELLED), classes).values())


def test_it_has_no_region_either():
    maps, targets = unit(2, 12, D, seed=3).transpose(1, 2).reshape(2, D, 3, 4), integers(-2, 4, (2, 3, 4), seed=5)
    both, ignored = region_means(maps, targets, 4), region_means(maps, targets.clamp_min(-1), 4)
    assert torch.equal(both[0], ignored[0])
    assert torch.equal(both[1], ignored[1])
