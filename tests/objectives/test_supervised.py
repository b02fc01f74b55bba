import pytest
import torch
import torch.nn.functional as F

from mdpseg.label_space import LabelSpace
from mdpseg.mixing import mix_batch
from mdpseg.objectives.supervised import UnionSupervised
from tests import tiny

SPACE = LabelSpace.concatenate({"a": ["p", "q"], "b": ["r", "s", "t"]})


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return UnionSupervised(tiny.TinyNetwork(), SPACE)


def test_the_head_tells_all_classes_apart(objective):
    assert objective.network.head[-1].out_channels == 5


def test_each_pixel_s_softmax_runs_over_its_own_dataset(objective):
    targets = torch.stack([torch.randint(0, 2, (16, 16)), torch.randint(2, 5, (16, 16))])
    targets[:, :5] = -1
    batch = tiny.batch(targets, [0, 1])
    objective.eval()
    logits = objective.network(batch.images)
    small = targets[:, 2::4, 2::4]  # nearest-exact: the centre of each cell
    own = [
        F.cross_entropy(logits[:1, :2], small[:1], ignore_index=-1, reduction="sum"),
        F.cross_entropy(logits[1:, 2:], small[1:] - 2 * (small[1:] >= 0).long(), ignore_index=-1, reduction="sum"),
    ]
    expected = sum(own) / (small >= 0).sum()
    assert objective(batch)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_pixels_of_one_dataset_say_nothing_of_the_other_s_classes(objective):
    objective(tiny.batch(torch.randint(0, 2, (2, 16, 16))))["loss"].backward()
    gradient = objective.network.head[-1].weight.grad
    assert (gradient[2:] == 0).all()
    assert (gradient[:2] != 0).any()


def test_a_blended_pixel_has_both_labels(objective):
    objective.eval()
    targets = torch.stack([torch.zeros(16, 16, dtype=torch.int64), torch.full((16, 16), 3)])
    mixed = mix_batch(tiny.batch(targets, [0, 1], lam=0.3))
    logits = objective.network(mixed.images)
    a, b = ([0, 1], 0), ([2, 3, 4], 1)
    expected = 0.0
    for image, (first, second) in enumerate([(a, b), (b, a)]):
        for share, (columns, label) in ((0.3, first), (0.7, second)):
            scores = logits[image : image + 1, columns]
            expected += (
                share * F.cross_entropy(scores, torch.full(scores.shape[:1] + scores.shape[2:], label)).item() / 2
            )
    assert objective(mixed)["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_all_ignored(objective):
    loss = objective(tiny.batch(torch.full((2, 16, 16), -1)))["loss"]
    assert loss.item() == 0
    loss.backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in objective.parameters())
