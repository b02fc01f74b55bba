import pytest
import torch
import torch.nn.functional as F

from mdpseg.losses import reduction
from mdpseg.losses.enlarged_cross_entropy import enlarged_cross_entropy

from .reference import assert_close_to, integers


def whole(logits, targets):
    enlarged = F.interpolate(logits.float(), targets.shape[-2:], mode="bilinear", align_corners=False)
    return F.cross_entropy(enlarged, targets, ignore_index=-1, reduction="sum")


def value_and_gradient(loss, logits, targets):
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, targets)
    (3 * value).backward()
    return value.detach(), logits.grad


def case(name):
    logits = torch.randn(5, 4, 6, 7, generator=torch.Generator().manual_seed(1))
    targets = integers(-1, 4, (5, 24, 28), seed=2)
    if name == "empty":
        logits, targets = logits[:0], targets[:0]
    elif name == "all ignored":
        targets[:] = -1
    elif name == "one image ignored":
        targets[2] = -1
    elif name == "one class":
        targets[:] = 3
    elif name == "an absent class":
        targets[targets == 1] = 0
    elif name == "huge logits":
        logits = 1e4 * logits
    elif name == "other sizes":
        targets = integers(-1, 4, (5, 11, 9), seed=2)
    return logits, targets


CASES = ["random", "empty", "all ignored", "one image ignored", "one class", "an absent class", "huge logits"]


@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [*CASES, "other sizes"])
def test_equals_the_whole_batch_at_once(monkeypatch, name, dtype, at_once):
    logits, targets = case(name)
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", at_once * 4 * targets.shape[1:].numel())
    logits = logits.to(dtype)
    value, gradient = value_and_gradient(enlarged_cross_entropy, logits, targets)
    expected, expected_gradient = value_and_gradient(whole, logits, targets)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert_close_to(value, expected, 1e-6, "value")
    assert_close_to(gradient, expected_gradient, 1e-6 if dtype == torch.float32 else 1e-2, "gradient")
    assert (value == 0) == (name in {"empty", "all ignored"})


def test_without_gradient():
    logits, targets = case("random")
    with torch.no_grad():
        assert_close_to(enlarged_cross_entropy(logits, targets), whole(logits, targets), 1e-6, "value")


def test_under_autocast():
    logits, targets = case("random")
    with torch.autocast("cpu", torch.bfloat16):
        value = enlarged_cross_entropy(logits, targets)
    assert_close_to(value, whole(logits, targets), 1e-6, "value")
