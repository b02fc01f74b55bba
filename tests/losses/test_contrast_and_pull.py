import pytest
import torch

from mdpseg import LabelSpace
from mdpseg.losses import pixel_to_prototype, reduction, sparse_coding
from mdpseg.losses.contrast_and_pull import contrast_and_pull

from .reference import assert_close_to, integers, unit

TAU, N, D, WEIGHT = 0.07, 60, 5, 0.3
SPACE = LabelSpace.concatenate(
    {"a": ["rest", "x", "y"], "b": ["x", "z", "u", "v"], "c": ["w", "t"]}, catch_alls={"a": "rest"}
)
K = SPACE.num_classes


def case(name):
    embeddings, prototypes = unit(N, D, seed=1), unit(K, D, seed=2)
    targets, present = integers(-1, K, (N,), seed=3), torch.ones(K, dtype=torch.bool)
    if name == "no pixels":
        embeddings, targets = embeddings[:0], targets[:0]
    elif name == "nothing present":
        present[:] = False
    elif name == "all ignored":
        targets[:] = -1
    elif name == "one class present":
        present[:] = torch.arange(K) == 2
    elif name == "one class":
        targets[:] = 4
    elif name == "absent classes":
        present[[0, 4]] = False
    elif name == "huge logits":
        embeddings = 1e4 * embeddings
    return embeddings, targets, prototypes, present


def apart(embeddings, targets, prototypes, present, k, denominator, weights):
    """The two losses one after the other, the pull without gradient by prototypes: what the fused one must equal."""
    wide = SPACE.denominator("all")
    shared = embeddings, targets
    contrast = pixel_to_prototype(*shared, prototypes, present, TAU, denominator=denominator, weights=weights)
    pull = sparse_coding(*shared, prototypes.detach(), present, TAU, k, denominator=wide, weights=weights)
    return contrast + WEIGHT * pull, contrast, pull


def fused(embeddings, targets, prototypes, present, k, denominator, weights):
    wide = SPACE.denominator("all")
    return contrast_and_pull(
        *(embeddings, targets, prototypes, present, TAU, k, WEIGHT),
        denominator=denominator,
        pull_denominator=wide,
        weights=weights,
    )


def values_and_gradients(loss, embeddings, targets, prototypes, present, *more):
    embeddings, prototypes = (tensor.detach().clone().requires_grad_() for tensor in (embeddings, prototypes))
    values = loss(embeddings, targets, prototypes, present, *more)
    values[0].backward()
    return [*(value.detach() for value in values), embeddings.grad, prototypes.grad]


NAMES = ["value", "contrast", "pull", "gradient by embeddings", "gradient by prototypes"]
CASES = ["random", "no pixels", "nothing present", "all ignored", "one class present", "one class", "absent classes"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("which", ["all", "own_dataset"])
@pytest.mark.parametrize("k", [1, 3, 100])
@pytest.mark.parametrize("name", [*CASES, "huge logits"])
def test_equals_the_two_apart(name, k, which, dtype):
    embeddings, targets, prototypes, present = case(name)
    more = k, SPACE.denominator(which), torch.linspace(0, 2, len(targets))
    arguments = embeddings.to(dtype), targets, prototypes.to(dtype), present, *more
    expected = values_and_gradients(apart, *arguments)
    for what, found, wanted in zip(NAMES, values_and_gradients(fused, *arguments), expected, strict=True):
        assert found.dtype == wanted.dtype
        assert_close_to(found, wanted, 1e-5 if dtype == torch.float32 else 2e-2, what)
    assert (expected[0] > 0) == (name in {"random", "one class", "absent classes", "huge logits"})


def test_look_alikes_left_out_of_the_contrast_only():
    embeddings, targets, prototypes, present = case("absent classes")
    denominator = SPACE.denominator("all") & (torch.rand(K, K, generator=torch.Generator().manual_seed(4)) < 0.6)
    arguments = embeddings, targets, prototypes, present, 2, denominator, None
    for what, found, wanted in zip(
        NAMES, values_and_gradients(fused, *arguments), values_and_gradients(apart, *arguments), strict=True
    ):
        assert_close_to(found, wanted, 1e-5, what)


def test_chunks(monkeypatch):
    arguments = (*case("random"), 3, SPACE.denominator("own_dataset"), None)
    whole = values_and_gradients(fused, *arguments)
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", 4 * K)
    for what, found, wanted in zip(NAMES, values_and_gradients(fused, *arguments), whole, strict=True):
        assert_close_to(found, wanted, 1e-6, what)


def test_denominators_without_the_own_class_still_count_it():
    embeddings, targets, prototypes, present = case("random")
    shared, others = (embeddings, targets, prototypes, present, TAU), ~torch.eye(K, dtype=torch.bool)
    contrast = pixel_to_prototype(*shared, denominator=others)
    pull = sparse_coding(*shared, 2, denominator=others)
    found = contrast_and_pull(*shared, 2, WEIGHT, denominator=others, pull_denominator=others)
    for what, value, wanted in zip(NAMES, found, (contrast + WEIGHT * pull, contrast, pull), strict=False):
        assert_close_to(value, wanted, 1e-5, what)
