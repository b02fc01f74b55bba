import pytest
import torch
import torch.nn.functional as F

from mdpseg import LabelSpace
from mdpseg.losses import reduction, union_cross_entropy
from mdpseg.losses.union_classification import union_classification

from . import reference
from .reference import assert_close_to, assert_matches, integers, value_and_gradients

N = 14
SPACE = LabelSpace.concatenate({"a": ["rest", "x", "y"], "b": ["x"], "c": ["p", "q"]}, catch_alls={"a": "rest"})
K = SPACE.num_classes


def case(name):
    logits = 3 * torch.randn(N, K, generator=torch.Generator().manual_seed(1))
    targets = integers(-1, K, (N,), seed=3)
    if name == "no pixels":
        logits, targets = torch.zeros(0, K), torch.zeros(0, dtype=torch.int64)
    elif name == "all ignored":
        targets[:] = -1
    elif name == "a dataset of one class":
        targets[:] = SPACE.offset("b")
    elif name == "class 0 only":
        targets[:] = 0
    elif name == "absent classes":
        targets[(targets == 1) | (targets == 4)] = 0
    elif name == "huge logits":
        logits = 1e4 * logits
    elif name == "huge logits of another dataset":
        logits[:, list(SPACE.classes_of("a"))] = 1e9
        targets[:] = SPACE.offset("c")
    return {"logits": logits}, {"targets": targets, "label_space": SPACE}


NOTHING = ["no pixels", "all ignored", "a dataset of one class"]
SOMETHING = ["random", "class 0 only", "absent classes", "huge logits", "huge logits of another dataset"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NOTHING + SOMETHING)
def test_reference(name, dtype):
    inputs, settings = case(name)
    value = assert_matches(union_cross_entropy, reference.union_cross_entropy, inputs, dtype, **settings)
    assert (value == 0) if name in NOTHING else (value > 0)


@pytest.mark.parametrize("weights", [torch.linspace(0, 2, N), torch.zeros(N)])
def test_weights(weights):
    inputs, settings = case("random")
    assert_matches(union_cross_entropy, reference.union_cross_entropy, inputs, weights=weights, **settings)


@pytest.mark.parametrize("entries", [1, 4 * K])
def test_chunks(monkeypatch, entries):
    inputs, settings = case("random")
    value, gradients = value_and_gradients(union_cross_entropy, inputs, **settings)
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", entries)
    chunked, chunked_gradients = value_and_gradients(union_cross_entropy, inputs, **settings)
    assert_close_to(chunked, value, 1e-6, "value")
    assert_close_to(chunked_gradients["logits"], gradients["logits"], 1e-5, "logits")


def test_one_dataset_is_plain_cross_entropy():
    space = LabelSpace.concatenate({"a": [str(i) for i in range(K)]})
    inputs, settings = case("random")
    loss = union_cross_entropy(inputs["logits"], settings["targets"], space)
    assert loss.item() == pytest.approx(F.cross_entropy(inputs["logits"], settings["targets"], ignore_index=-1).item())


def test_other_datasets_get_no_gradient():
    inputs, settings = case("random")
    settings["targets"] = torch.full((N,), SPACE.offset("c"))
    _, gradients = value_and_gradients(union_cross_entropy, inputs, **settings)
    assert gradients["logits"][:, : SPACE.offset("c")].abs().sum() == 0
    assert (gradients["logits"][:, SPACE.offset("c") :].abs() > 0).all()


def test_ids_that_are_no_class_s_count_for_nothing():
    """Such as a 255 that was never encoded."""
    space = LabelSpace.concatenate({"a": ["p", "q"], "b": ["r"]})
    logits, targets = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, -1, -1, 2])
    expected = union_cross_entropy(logits, targets, space)
    assert torch.equal(union_cross_entropy(logits, targets.where(targets >= 0, 255), space), expected)
    features, weight, bias = torch.randn(6, 4), torch.randn(3, 4), torch.randn(3)
    expected = union_classification(features, weight, bias, targets, space)
    assert torch.equal(union_classification(features, weight, bias, targets.where(targets >= 0, 255), space), expected)
