import pytest
import torch

from mdpseg.data.draws import Draws
from mdpseg.data.share import MixingDraws, share_of_step

DRAWS = Draws([30, 30], 0, "equal")


def drawn(steps=300, size=8):
    """How each image of many steps is mixed."""
    found = []
    for step in range(steps):
        numbers = range(step * size, (step + 1) * size)
        datasets = [DRAWS[number].dataset for number in numbers]
        found += share_of_step(numbers, datasets, MixingDraws("both", 0.5), 0, 64, rank=0, ranks=1).mixes
    return found


def test_boxes_blends_and_their_partners_are_drawn_apart():
    mixes = drawn()
    boxed = [mix for mix in mixes if mix.box[2] * mix.box[3] > 0]
    both = [mix for mix in boxed if mix.lam < 1]
    assert len(boxed) / len(mixes) == pytest.approx(0.5, abs=0.05)
    assert sum(mix.lam < 1 for mix in mixes) / len(mixes) == pytest.approx(0.5, abs=0.05)
    assert len(both) / len(mixes) == pytest.approx(0.25, abs=0.04)
    sides_and_lams = torch.tensor([(max(mix.box[2:]), mix.lam) for mix in both])
    assert torch.corrcoef(sides_and_lams.T)[0, 1].abs() < 0.15
    assert sum(mix.region_partner == mix.pixel_partner for mix in mixes) / len(mixes) < 0.4
