import pytest
import torch

from mdpseg import LabelSpace
from mdpseg.bank import RegionBank
from mdpseg.losses import pixel_to_region, reduction

from . import reference
from .reference import assert_close_to, assert_matches, integers, unit, value_and_gradients

TAU, N, M, K, D = 0.07, 12, 16, 6, 5
SPACE = LabelSpace.concatenate({"a": ["rest", "x", "y"], "b": ["x", "z", "w"]}, catch_alls={"a": "rest"})


def case(name):
    inputs = {"embeddings": unit(N, D, seed=1), "regions": unit(M, D, seed=2)}
    targets, classes = integers(-1, K, (N,), seed=3), integers(0, K, (M,), seed=4)
    if name == "no pixels":
        inputs["embeddings"], targets = torch.zeros(0, D), torch.zeros(0, dtype=torch.int64)
    elif name == "no regions":
        inputs["regions"], classes = torch.zeros(0, D), torch.zeros(0, dtype=torch.int64)
    elif name == "only empty entries":
        classes[:] = -1
    elif name == "no pixels, no regions":
        inputs = {key: torch.zeros(0, D) for key in inputs}
        targets = classes = torch.zeros(0, dtype=torch.int64)
    elif name == "all ignored":
        targets[:] = -1
    elif name == "one class":
        targets[:], classes[:] = 2, 2
    elif name == "no positive":
        targets[:], classes[:] = 1, 2
    elif name == "class 0 only":
        targets[:] = 0
        assert 0 in classes
    elif name == "absent classes":
        classes[(classes == 0) | (classes == 3)] = 1
        assert 3 in targets
    elif name == "some empty entries":
        classes[::3] = -1
        inputs["regions"][::3] = 100.0
    elif name == "huge logits":
        inputs["embeddings"] = 1e4 * inputs["embeddings"]
    return inputs, {"targets": targets, "region_classes": classes, "temperature": TAU}


NOTHING = [
    "no pixels",
    "no regions",
    "only empty entries",
    "no pixels, no regions",
    "all ignored",
    "one class",  # no negatives: -log(e/e)
    "no positive",
]
SOMETHING = ["random", "class 0 only", "absent classes", "some empty entries", "huge logits"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NOTHING + SOMETHING)
def test_reference(name, dtype):
    inputs, settings = case(name)
    value = assert_matches(pixel_to_region, reference.pixel_to_region, inputs, dtype, **settings)
    assert (value == 0) if name in NOTHING else (value > 0)


@pytest.mark.parametrize("weights", [None, torch.linspace(0, 2, N), torch.zeros(N)])
@pytest.mark.parametrize("kind", ["all", "own_dataset", "nothing"])
@pytest.mark.parametrize("name", ["random", "some empty entries", "huge logits"])
def test_denominator_and_weights(name, kind, weights):
    inputs, settings = case(name)
    denominator = torch.zeros(K, K, dtype=torch.bool) if kind == "nothing" else SPACE.denominator(kind)
    settings |= {"denominator": denominator, "weights": weights}
    assert_matches(pixel_to_region, reference.pixel_to_region, inputs, **settings)


@pytest.mark.parametrize("entries", [1, 2 * M, 5 * M])
@pytest.mark.parametrize("name", ["random", "all ignored", "some empty entries"])
def test_chunks(monkeypatch, name, entries):
    inputs, settings = case(name)
    settings |= {"weights": torch.linspace(0, 1, N), "denominator": SPACE.denominator()}
    value, gradients = value_and_gradients(pixel_to_region, inputs, **settings)
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", entries)
    chunked, chunked_gradients = value_and_gradients(pixel_to_region, inputs, **settings)
    assert_close_to(chunked, value, 1e-6, "value")
    for key in inputs:
        assert_close_to(chunked_gradients[key], gradients[key], 1e-5, key)


def test_each_positive_has_the_negatives_to_itself():
    """One positive does not stand in the denominator of another, as it does in the common form of the contrast."""
    v = torch.tensor([[1.0, 0.0]])
    regions = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    loss = pixel_to_region(v, torch.tensor([4]), regions, torch.tensor([4, 4, 1]), 1.0)
    by_hand = [torch.tensor([s, 0.0]).logsumexp(0).item() - s for s in (1.0, 0.6)]
    assert loss.item() == pytest.approx(sum(by_hand) / 2)


@pytest.mark.parametrize("pushed", [0, 5])
def test_against_a_bank(pushed):
    """Empty slots of a bank, if used as if real, would be negatives."""
    bank = RegionBank(M, D, K)
    bank.push(unit(pushed, D, seed=2), integers(0, K, (pushed,), seed=4))
    inputs, targets = {"embeddings": unit(N, D, seed=1)}, integers(-1, K, (N,), seed=3)
    whole = {"targets": targets, "regions": bank.regions, "region_classes": bank.classes, "temperature": TAU}
    held, classes = bank.entries()
    value, gradients = value_and_gradients(pixel_to_region, inputs, **whole)
    expected, expected_gradients = value_and_gradients(
        pixel_to_region, inputs, **(whole | {"regions": held, "region_classes": classes})
    )
    assert (value > 0) == (pushed > 0)
    assert_close_to(value, expected, 1e-6, "value")
    assert_close_to(gradients["embeddings"], expected_gradients["embeddings"], 1e-5, "embeddings")


def test_float32_under_autocast():
    regions, targets = unit(20, 64, seed=5), torch.arange(20)
    embeddings = regions + 3 * unit(20, 64, seed=6)
    plain = pixel_to_region(embeddings, targets, regions, targets, TAU)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = pixel_to_region(embeddings, targets, regions, targets, TAU)
    assert autocast.item() == pytest.approx(plain.item(), rel=1e-5)
