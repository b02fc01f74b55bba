import math

import pytest
import torch
import torch.nn.functional as F

from mdpseg.label_space import UNLABELLED
from mdpseg.losses import reduction
from mdpseg.objectives.pseudo_labels import mine_labels

TAU = 0.07


def reference(targets, keys, prototypes, present, temperature, threshold):
    """Pixel by pixel, class by class."""
    labels, wanted, found = [], 0, 0
    for target, key in zip(targets.tolist(), keys, strict=True):
        label = target
        if target == UNLABELLED:
            wanted, label = wanted + 1, -1
            here = [j for j in range(len(prototypes)) if present[j]]
            if here:
                scores = {j: math.fsum((key.double() * prototypes[j].double()).tolist()) / temperature for j in here}
                best = max(here, key=lambda j: scores[j])
                probability = 1 / math.fsum(math.exp(score - scores[best]) for score in scores.values())
                if probability > threshold:
                    label, found = best, found + 1
        labels.append(label)
    return labels, found / wanted if wanted else 0.0


def case(seed=0, pixels=60, classes=7, dim=5):
    source = torch.Generator().manual_seed(seed)
    targets = torch.randint(-2, classes, (pixels,), generator=source)
    targets[::2] = UNLABELLED
    keys = F.normalize(torch.randn(pixels, dim, generator=source), dim=1)
    prototypes = F.normalize(torch.randn(classes, dim, generator=source), dim=1)
    return targets, keys, prototypes, torch.rand(classes, generator=source) < 0.7


def check(targets, keys, prototypes, present, temperature=TAU, threshold=0.7):
    labels, share = mine_labels(targets, keys, prototypes, present, temperature, threshold)
    expected, expected_share = reference(targets, keys, prototypes, present, temperature, threshold)
    assert labels.dtype == torch.int64
    assert labels.tolist() == expected
    assert share.dtype == torch.float32
    assert share.item() == pytest.approx(expected_share)
    return labels, share.item()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 0.95, 1.0])
def test_it_equals_the_reference(seed, threshold):
    check(*case(seed), threshold=threshold)


def test_the_threshold_lets_some_through():
    assert 0.2 < check(*case(), threshold=0.7)[1] < 0.9


def test_threshold_0_labels_every_pixel_and_1_none():
    assert check(*case(), threshold=0.0)[1] == 1
    assert check(*case(), threshold=1.0)[1] == 0
    targets, _, prototypes, _ = case()
    certain = prototypes[torch.zeros(len(targets), dtype=torch.int64)]  # probability 1.0 in float32
    assert check(targets, certain, prototypes, torch.ones(7, dtype=torch.bool), 1e-3, 1.0)[1] == 0


@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_no_prototype_is_present(threshold):
    targets, keys, prototypes, present = case()
    labels, share = check(targets, keys, prototypes, torch.zeros_like(present), threshold=threshold)
    assert share == 0
    assert (labels[::2] == -1).all()


def test_one_prototype_is_certain_of_everything():
    targets, keys, prototypes, present = case()
    only = torch.arange(len(present)) == 4
    labels, share = check(targets, keys, prototypes, only, threshold=0.99)
    assert share == 1
    assert (labels[::2] == 4).all()
    check(targets.clamp(max=0), keys, prototypes[:1], torch.ones(1, dtype=torch.bool))


def test_nothing_to_label():
    targets, keys, prototypes, present = case()
    labels, share = check(targets.clamp_min(-1), keys, prototypes, present)
    assert torch.equal(labels, targets.clamp_min(-1))
    assert share == 0
    check(targets[:0], keys[:0], prototypes, present)


@pytest.mark.parametrize("factor", [1e4, 1e30])
def test_huge_logits(factor):
    targets, keys, prototypes, present = case()
    labels, share = mine_labels(targets, keys * factor, prototypes, present, TAU, 0.7)
    expected = (keys @ prototypes.T).masked_fill(~present, -9).argmax(1)[targets == UNLABELLED]
    assert labels[targets == UNLABELLED].tolist() == expected.tolist()
    assert share == 1


def test_bfloat16_keys_and_autocast():
    targets, keys, prototypes, present = case()
    check(targets, keys.bfloat16(), prototypes, present)
    with torch.autocast("cpu", torch.bfloat16):
        labels, _ = mine_labels(targets, keys, prototypes, present, TAU, 0.7)
    assert labels.tolist() == reference(targets, keys, prototypes, present, TAU, 0.7)[0]


def test_chunks_change_nothing(monkeypatch):
    whole = check(*case())
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", 20)
    labels, share = check(*case())
    assert torch.equal(labels, whole[0])
    assert share == whole[1]


def test_given_targets_stay_and_nothing_has_a_gradient():
    targets, keys, prototypes, present = case()
    before = targets.clone()
    labels, share = mine_labels(targets, keys.requires_grad_(), prototypes.requires_grad_(), present, TAU, 0.0)
    assert torch.equal(targets, before)
    assert not labels.requires_grad
    assert not share.requires_grad
