from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mdpseg.label_space import LabelSpace
from mdpseg.network import Classifier
from mdpseg.objectives.finetune import Finetune
from tests import tiny

SPACE = LabelSpace.concatenate({"a": ["p", "q", "r"]})


@pytest.fixture
def objective():
    torch.manual_seed(0)
    network = tiny.TinyNetwork()
    network.set_projection()
    return Finetune(network, SPACE)


def test_the_projection_becomes_a_classifier(objective):
    assert isinstance(objective.network.head, Classifier)
    assert objective.network.head[-1].out_channels == 3


def test_cross_entropy_at_the_labels_resolution(objective):
    targets = torch.randint(-1, 3, (2, 16, 16))
    batch = tiny.batch(targets)
    objective.eval()
    logits = F.interpolate(objective.network(batch.images), (16, 16), mode="bilinear")
    expected = F.cross_entropy(logits, targets, ignore_index=-1)
    assert objective(batch)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_all_ignored_is_0_and_leaves_the_parameters_finite(objective):
    optimizer = torch.optim.SGD(objective.parameters(), 0.1)
    before = [p.clone() for p in objective.parameters()]
    loss = objective(tiny.batch(torch.full((2, 16, 16), -1)))["loss"]
    assert loss.item() == 0
    loss.backward()
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, objective.parameters(), strict=True))


def test_it_learns(objective):
    torch.manual_seed(1)
    images = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    for i in range(3):
        images[i, i] = 255
    targets = torch.stack([torch.full((16, 16), i) for i in range(3)])
    batch = replace(tiny.batch(targets), images=images)
    optimizer = torch.optim.SGD(objective.parameters(), 0.5)
    for _ in range(20):
        optimizer.zero_grad()
        objective(batch)["loss"].backward()
        optimizer.step()
    assert objective(batch)["loss"].item() < 0.3
