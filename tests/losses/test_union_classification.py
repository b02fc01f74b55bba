import pytest
import torch

from mdpseg import LabelSpace
from mdpseg.losses import reduction, union_cross_entropy
from mdpseg.losses.union_classification import union_classification

from .reference import assert_close_to, integers, unit

N, C = 70, 6
SPACE = LabelSpace.concatenate({"a": ["x", "y"], "b": ["x", "z", "u", "v"], "c": ["w"], "d": ["s", "t"]})
K = SPACE.num_classes
NAMES = ["value", "gradient by features", "gradient by weight", "gradient by bias"]


def case(name):
    features, weight, bias = 3 * unit(N, C, seed=1), 2 * unit(K, C, seed=2), unit(K, 1, seed=3)[:, 0]
    targets = integers(-1, K, (N,), seed=4)
    if name == "no pixels":
        features, targets = features[:0], targets[:0]
    elif name == "all ignored":
        targets[:] = -1
    elif name == "one dataset":
        targets.clamp_(2, 5)
    elif name == "huge logits":
        features = 1e4 * features
    return features, weight, bias, targets


def values_and_gradients(loss, features, weight, bias, targets, weights):
    inputs = [tensor.detach().clone().requires_grad_() for tensor in (features, weight, bias)]
    value = loss(*inputs, targets, weights)
    value.backward()
    return [value.detach(), *(tensor.grad for tensor in inputs)]


def whole(features, weight, bias, targets, weights):
    return union_cross_entropy(features.float() @ weight.T + bias, targets, SPACE, weights=weights)


def grouped(features, weight, bias, targets, weights):
    return union_classification(features, weight, bias, targets, SPACE, weights=weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["random", "no pixels", "all ignored", "one dataset", "huge logits"])
def test_equals_the_loss_of_all_logits(name, weighted, dtype):
    features, weight, bias, targets = case(name)
    weights = torch.linspace(0, 2, len(targets)) if weighted else None
    arguments = features.to(dtype), weight, bias, targets, weights
    expected = values_and_gradients(whole, *arguments)
    for what, found, wanted in zip(NAMES, values_and_gradients(grouped, *arguments), expected, strict=True):
        assert found.dtype == wanted.dtype
        assert_close_to(found, wanted, 1e-5 if dtype == torch.float32 else 2e-2, what)
    assert (expected[0] > 0) == (name not in ("no pixels", "all ignored"))


def test_chunks(monkeypatch):
    arguments = *case("random"), None
    expected = values_and_gradients(grouped, *arguments)
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", 4 * C)
    for what, found, wanted in zip(NAMES, values_and_gradients(grouped, *arguments), expected, strict=True):
        assert_close_to(found, wanted, 1e-6, what)


def test_other_datasets_rows_are_left_alone():
    features, weight, bias, targets = case("one dataset")
    _, _, by_weight, by_bias = values_and_gradients(grouped, features, weight, bias, targets, None)
    for gradient in (by_weight, by_bias):
        assert (gradient[:2] == 0).all()
        assert (gradient[6:] == 0).all()
        assert (gradient[2:6] != 0).any()


@pytest.mark.parametrize("id", [255, K])
def test_an_id_that_is_no_class_s_counts_for_nothing(id):
    *given, targets = case("random")
    assert -1 in targets
    arguments = *given, targets.where(targets >= 0, id), None
    expected = values_and_gradients(grouped, *given, targets, None)
    for what, found, wanted in zip(NAMES, values_and_gradients(grouped, *arguments), expected, strict=True):
        assert torch.equal(found, wanted), what
