import pytest
import torch

from mdpseg.losses import reduction, sparse_coding

from . import reference
from .reference import assert_close_to, assert_matches, integers, unit, value_and_gradients

TAU, N, K, D = 0.07, 14, 6, 5


def case(name):
    inputs = {"embeddings": unit(N, D, seed=1), "prototypes": unit(K, D, seed=2)}
    targets, present = integers(-1, K, (N,), seed=3), torch.ones(K, dtype=torch.bool)
    if name == "no pixels":
        inputs["embeddings"], targets = torch.zeros(0, D), torch.zeros(0, dtype=torch.int64)
    elif name == "nothing present":
        present[:] = False
    elif name == "all ignored":
        targets[:] = -1
    elif name == "one class present":
        present[:] = torch.arange(K) == 2
        assert 2 in targets
    elif name == "class 0 only":
        targets[:] = 0
    elif name == "absent classes":
        present[[0, 3]] = False
        assert 3 in targets
    elif name == "huge logits":
        inputs["embeddings"] = 1e4 * inputs["embeddings"]
    return inputs, {"targets": targets, "present": present, "temperature": TAU}


NOTHING = ["no pixels", "nothing present", "all ignored", "one class present"]
SOMETHING = ["random", "class 0 only", "absent classes", "huge logits"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 3, 100])
@pytest.mark.parametrize("name", NOTHING + SOMETHING)
def test_reference(name, k, dtype):
    inputs, settings = case(name)
    value = assert_matches(sparse_coding, reference.sparse_coding, inputs, dtype, k=k, **settings)
    assert (value == 0) if name in NOTHING else (value > 0)


@pytest.mark.parametrize("weights", [torch.linspace(0, 2, N), torch.zeros(N)])
def test_weights(weights):
    inputs, settings = case("absent classes")
    assert_matches(sparse_coding, reference.sparse_coding, inputs, k=2, weights=weights, **settings)


@pytest.mark.parametrize("entries", [1, 4 * K])
def test_chunks(monkeypatch, entries):
    inputs, settings = case("absent classes")
    settings |= {"k": 3, "weights": torch.linspace(0, 1, N)}
    value, gradients = value_and_gradients(sparse_coding, inputs, **settings)
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", entries)
    chunked, chunked_gradients = value_and_gradients(sparse_coding, inputs, **settings)
    assert_close_to(chunked, value, 1e-6, "value")
    for key in inputs:
        assert_close_to(chunked_gradients[key], gradients[key], 1e-5, key)


def test_a_step_draws_the_pixel_to_the_nearest_other_class():
    prototypes = torch.eye(4)
    v = torch.tensor([[0.8, 0.5, 0.1, 0.0]], requires_grad=True)
    sparse_coding(v, torch.tensor([0]), prototypes, torch.ones(4, dtype=torch.bool), 0.5, 1).backward()
    assert v.grad[0, 1] < 0  # against the gradient: towards class 1
    assert (v.grad[0, [0, 2, 3]] > 0).all()


def test_float32_under_autocast():
    prototypes, targets = unit(20, 64, seed=5), torch.arange(20)
    embeddings = prototypes + 3 * unit(20, 64, seed=6)
    arguments = (embeddings, targets, prototypes, torch.ones(20, dtype=torch.bool), TAU, 3)
    plain = sparse_coding(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = sparse_coding(*arguments)
    assert autocast.item() == pytest.approx(plain.item(), rel=1e-5)
