import pytest
import torch

from mdpseg import LabelSpace
from mdpseg.bank import RegionBank
from mdpseg.losses import pixel_to_prototype, reduction
from mdpseg.losses.pixel_to_prototype import drop_lookalikes

from . import reference
from .reference import assert_close_to, assert_matches, integers, unit, value_and_gradients

TAU, N, K, D = 0.07, 14, 6, 5
SPACE = LabelSpace.concatenate({"a": ["rest", "x", "y"], "b": ["x", "z", "w"]}, catch_alls={"a": "rest"})


def case(name):
    inputs = {"embeddings": unit(N, D, seed=1), "prototypes": unit(K, D, seed=2)}
    targets, present = integers(-1, K, (N,), seed=3), torch.ones(K, dtype=torch.bool)
    if name == "no pixels":
        inputs["embeddings"], targets = torch.zeros(0, D), torch.zeros(0, dtype=torch.int64)
    elif name == "nothing present":
        present[:] = False
    elif name == "all ignored":
        targets[:] = -1
    elif name == "one class":
        targets[:], present[:] = 2, False
        present[2] = True
    elif name == "class 0 only":
        targets[:] = 0
    elif name == "absent classes":
        present[[0, 3]] = False
        assert 3 in targets  # a pixel whose class has no prototype
    elif name == "huge logits":
        inputs["embeddings"] = 1e4 * inputs["embeddings"]
    return inputs, {"targets": targets, "present": present, "temperature": TAU}


CASES = [
    "random",
    "no pixels",
    "nothing present",
    "all ignored",
    "one class",
    "class 0 only",
    "absent classes",
    "huge logits",
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CASES)
def test_reference(name, dtype):
    inputs, settings = case(name)
    value = assert_matches(pixel_to_prototype, reference.pixel_to_prototype, inputs, dtype, **settings)
    nothing_to_learn = ("no pixels", "nothing present", "all ignored", "one class")
    assert (value == 0) if name in nothing_to_learn else (value > 0)


@pytest.mark.parametrize("leave_out", [0, 1, 3, 100])
@pytest.mark.parametrize("kind", [None, "all", "own_dataset"])
@pytest.mark.parametrize("name", ["random", "absent classes", "huge logits", "no pixels"])
def test_denominator_and_no_push(name, kind, leave_out):
    inputs, settings = case(name)
    denominator = None if kind is None else SPACE.denominator(kind)
    weights = torch.rand(len(settings["targets"]), generator=torch.Generator().manual_seed(4))
    settings |= {"denominator": denominator, "leave_out": leave_out, "weights": weights}
    assert_matches(pixel_to_prototype, reference.pixel_to_prototype, inputs, **settings)


def test_a_denominator_without_the_own_class_still_counts_it():
    inputs, settings = case("random")
    settings["denominator"] = torch.zeros(K, K, dtype=torch.bool)
    assert assert_matches(pixel_to_prototype, reference.pixel_to_prototype, inputs, **settings) == 0


def test_no_push_leaves_no_gradient_on_what_is_left_out():
    v = torch.tensor([[1.0, 0.0]])
    prototypes = torch.tensor([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]], requires_grad=True)
    loss = pixel_to_prototype(v, torch.tensor([0]), prototypes, torch.ones(3, dtype=torch.bool), 1.0, leave_out=1)
    loss.backward()
    assert prototypes.grad[1].abs().sum() == 0
    assert (prototypes.grad[[0, 2]].abs().sum(1) > 0).all()
    assert loss.item() == pytest.approx(torch.tensor([0.6, 0.0]).logsumexp(0).item() - 0.6)


def test_weights_count_pixels():
    inputs, settings = case("random")
    targets, counts = settings.pop("targets"), torch.tensor([0, 1, 2, 3] * 4)[:N]
    weighted = pixel_to_prototype(**inputs, targets=targets, weights=counts, **settings)
    repeated = inputs | {"embeddings": inputs["embeddings"].repeat_interleave(counts, 0)}
    assert weighted == pytest.approx(
        pixel_to_prototype(**repeated, targets=targets.repeat_interleave(counts), **settings).item()
    )


def test_all_weights_zero():
    inputs, settings = case("random")
    value = assert_matches(pixel_to_prototype, reference.pixel_to_prototype, inputs, weights=torch.zeros(N), **settings)
    assert value == 0


@pytest.mark.parametrize("entries", [1, 2 * K, 5 * K])
@pytest.mark.parametrize("name", ["random", "all ignored", "absent classes"])
def test_chunks(monkeypatch, name, entries):
    inputs, settings = case(name)
    settings |= {"weights": torch.linspace(0, 1, N), "leave_out": 1, "denominator": SPACE.denominator()}
    value, gradients = value_and_gradients(pixel_to_prototype, inputs, **settings)
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", entries)
    chunked, chunked_gradients = value_and_gradients(pixel_to_prototype, inputs, **settings)
    assert_close_to(chunked, value, 1e-6, "value")
    for key in inputs:
        assert_close_to(chunked_gradients[key], gradients[key], 1e-5, key)


def test_an_ignored_pixel_is_as_if_it_were_not_there():
    inputs, settings = case("random")
    kept = settings["targets"] >= 0
    assert 0 < kept.sum() < N
    _, gradients = value_and_gradients(pixel_to_prototype, inputs, **settings)
    assert gradients["embeddings"][~kept].abs().sum() == 0
    fewer = settings | {"targets": settings["targets"][kept]}
    value = pixel_to_prototype(inputs["embeddings"][kept], prototypes=inputs["prototypes"], **fewer)
    assert value.item() == pytest.approx(pixel_to_prototype(**inputs, **settings).item())


def test_an_id_that_is_no_class_s_counts_for_nothing():
    inputs, settings = case("random")
    expected = pixel_to_prototype(**inputs, **settings)
    for id in (255, K):
        settings["targets"] = torch.where(settings["targets"] == -1, id, settings["targets"])
        assert id in settings["targets"]
        assert torch.equal(pixel_to_prototype(**inputs, **settings), expected)
        settings["targets"] = torch.where(settings["targets"] == id, -1, settings["targets"])


def test_an_absent_prototype_gets_no_gradient_whatever_it_holds():
    inputs, settings = case("absent classes")
    value, _ = value_and_gradients(pixel_to_prototype, inputs, **settings)
    inputs["prototypes"][0] = 1e6
    other, gradients = value_and_gradients(pixel_to_prototype, inputs, **settings)
    assert torch.equal(value, other)
    assert gradients["prototypes"][[0, 3]].abs().sum() == 0


def test_an_empty_bank_teaches_nothing():
    """A bank that starts as random vectors would give a loss, and a gradient, here."""
    prototypes, present = RegionBank(8, D, K).prototypes()
    embeddings = unit(N, D).requires_grad_()
    loss = pixel_to_prototype(embeddings, integers(0, K, (N,)), prototypes, present, TAU)
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad.abs().sum() == 0


def test_float32_under_autocast():
    prototypes, targets = unit(20, 64, seed=5), torch.arange(20)
    embeddings = prototypes + 3 * unit(20, 64, seed=6)
    arguments = (embeddings, targets, prototypes, torch.ones(20, dtype=torch.bool), TAU)
    plain = pixel_to_prototype(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = pixel_to_prototype(*arguments)
    assert autocast.item() == pytest.approx(plain.item(), rel=1e-5)


def lookalikes_by_hand(denominator, prototypes, present, dataset_of_class, count):
    result = denominator.clone()
    for c in range(len(prototypes)):
        same = dataset_of_class == dataset_of_class[c]
        # a private class is out
        foreign = [j for j in range(len(prototypes)) if not same[j] and denominator[c, j] and present[j]]
        foreign.sort(key=lambda j: -torch.dot(prototypes[c], prototypes[j]).item())
        for j in foreign[:count]:
            result[c, j] = False
    return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 100])
@pytest.mark.parametrize("kind", ["all", "own_dataset"])
@pytest.mark.parametrize("absent", [[], [0, 3, 8]])
def test_drop_lookalikes(absent, kind, count, dtype):
    space = LabelSpace.concatenate({"a": list("uvw"), "b": list("xy"), "c": list("pqrs")}, catch_alls={"b": "x"})
    prototypes = unit(9, D, seed=7).to(dtype)
    present = torch.ones(9, dtype=torch.bool).index_fill(0, torch.tensor(absent, dtype=torch.int64), False)
    prototypes[~present] = 0  # nearer than a class in the opposite direction, as the bank has it
    denominator, datasets = space.denominator(kind), space.dataset_of_class()
    before = denominator.clone()
    narrowed = drop_lookalikes(denominator, prototypes, datasets, count, present=present)
    expected = lookalikes_by_hand(before, prototypes, present, datasets, count)
    assert torch.equal(narrowed[present], expected[present])  # to what is absent all are equally near
    assert torch.equal(denominator, before)
    own = datasets[:, None] == datasets[None]
    assert narrowed[own].all()  # no class of the own dataset is ever dropped


def test_drop_lookalikes_is_the_same_in_mixed_precision():
    """Classes of much the same direction, whose cosines bfloat16 cannot tell apart."""
    space = LabelSpace.concatenate({name: [f"{i}" for i in range(20)] for name in "abc"})
    prototypes = torch.nn.functional.normalize(unit(1, 32, seed=1) + 0.2 * unit(60, 32, seed=2), dim=1)
    everyone = torch.ones(60, 60, dtype=torch.bool)
    exact = drop_lookalikes(everyone, prototypes, space.dataset_of_class(), 3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = drop_lookalikes(everyone, prototypes, space.dataset_of_class(), 3)
        rounded = (prototypes @ prototypes.T).float()
    assert torch.equal(mixed, exact)
    assert (rounded - prototypes @ prototypes.T).abs().max() > 1e-4  # autocast was on


def test_drop_lookalikes_finds_the_same_thing_under_another_name():
    prototypes = torch.eye(6)
    prototypes[3] = prototypes[1]  # b/x is what a/x is
    narrowed = drop_lookalikes(torch.ones(6, 6, dtype=torch.bool), prototypes, SPACE.dataset_of_class(), 1)
    assert narrowed[1].tolist() == [True, True, True, False, True, True]
    assert narrowed[3].tolist() == [True, False, True, True, True, True]
