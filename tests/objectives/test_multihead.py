import pytest
import torch
import torch.nn.functional as F

from mdpseg.label_space import LabelSpace
from mdpseg.mixing import mix_batch
from mdpseg.objectives.multihead import MultiHead
from tests import tiny

SPACE = LabelSpace.concatenate({"a": ["p", "q"], "b": ["r", "s", "t"]})


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return MultiHead(tiny.TinyNetwork(), SPACE)


def head_losses(objective, images, targets):
    """The mean cross-entropy of each dataset's own pixels over its own rows, the slow way."""
    logits = objective.network(images)
    small = targets[:, 2::4, 2::4]
    losses = []
    for start, stop in ((0, 2), (2, 5)):
        own = small.where((small >= start) & (small < stop), -1)
        if (own >= 0).any():
            losses.append(F.cross_entropy(logits[:, start:stop], own - start * (own >= 0).long(), ignore_index=-1))
    return losses


@pytest.mark.parametrize("labelled_rows", [16, 4, 0])
def test_every_head_s_own_mean_counts_the_same(objective, labelled_rows):
    targets = torch.stack([torch.randint(0, 2, (16, 16)), torch.randint(2, 5, (16, 16))])
    targets[1, labelled_rows:] = -1
    batch = tiny.batch(targets, [0, 1])
    objective.eval()
    losses = head_losses(objective, batch.images, targets)
    assert len(losses) == (2 if labelled_rows else 1)
    expected = sum(loss.item() for loss in losses) / len(losses)
    assert objective(batch)["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_a_pasted_box_belongs_to_the_head_of_its_own_dataset(objective):
    targets = torch.stack([torch.randint(0, 2, (16, 16)), torch.randint(2, 5, (16, 16))])
    batch = tiny.batch(targets, [0, 1])
    batch.boxes[0] = torch.tensor([0, 0, 8, 8])
    mixed = mix_batch(batch)
    objective.eval()
    losses = head_losses(objective, mixed.images, mixed.targets)
    assert objective(mixed)["loss"].item() == pytest.approx(sum(losses).item() / 2, rel=1e-5)


def test_nothing_labelled_is_zero_with_a_gradient(objective):
    loss = objective(tiny.batch(torch.full((2, 16, 16), -1)))["loss"]
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in objective.parameters())


@pytest.mark.parametrize("classes", [["p"], ["p", "q"]])
def test_unlabelled_pixels_count_for_nothing(classes):
    torch.manual_seed(0)
    objective = MultiHead(tiny.TinyNetwork(), LabelSpace.concatenate({"a": classes})).eval()
    targets = torch.randint(-2, len(classes), (2, 16, 16))
    loss = objective(tiny.batch(targets))["loss"]
    assert loss.item() == objective(tiny.batch(targets.clamp_min(-1)))["loss"].item()


def test_within_each_head_a_blended_image_s_labels_count_by_their_shares(objective):
    targets = torch.stack([torch.randint(0, 2, (16, 16)), torch.randint(2, 5, (16, 16))])
    mixed = mix_batch(tiny.batch(targets, [0, 1], [0.3, 0.8]))
    objective.eval()
    pixels = objective.network(mixed.images).repeat(2, 1, 1, 1).permute(0, 2, 3, 1)
    labels = torch.cat([mixed.targets, mixed.partner_targets])[:, 2::4, 2::4]
    shares = torch.tensor([0.3, 0.8, 0.7, 0.2])[:, None, None].expand(labels.shape)
    losses = []
    for start, stop in ((0, 2), (2, 5)):
        own = (labels >= start) & (labels < stop)
        terms = F.cross_entropy(pixels[own][:, start:stop], labels[own] - start, reduction="none")
        losses.append((terms * shares[own]).sum() / shares[own].sum())
    assert objective(mixed)["loss"].item() == pytest.approx(sum(losses).item() / 2, rel=1e-5)
