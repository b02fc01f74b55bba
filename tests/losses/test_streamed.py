"""What the streamed losses share: chunks, strides, gradients that nobody asks for, autocast, nothing at all."""

import pytest
import torch
import torch.nn.functional as F

from mdpseg import LabelSpace
from mdpseg.losses import pixel_to_prototype, pixel_to_region, reduction, sparse_coding, streamed

from .reference import assert_close_to, integers, unit, value_and_gradients

TAU, N, K, D = 0.07, 300, 9, 16
SPACE = LabelSpace.concatenate(
    {"a": ["rest", "x", "y"], "b": ["x", "z", "w"], "c": ["u", "v", "w"]}, catch_alls={"a": "rest"}
)
PRESENT = torch.ones(K, dtype=torch.bool).index_fill(0, torch.tensor([4]), False)
KEY_CLASSES = integers(-1, K, (40,), seed=4)


def prototype_loss(embeddings, keys, targets, **more):
    return pixel_to_prototype(embeddings, targets, keys[:K], PRESENT, TAU, **more)


def no_push(embeddings, keys, targets, **more):
    return pixel_to_prototype(embeddings, targets, keys[:K], PRESENT, TAU, leave_out=2, **more)


def pull(embeddings, keys, targets, **more):
    return sparse_coding(embeddings, targets, keys[:K], PRESENT, TAU, 3, **more)


def region_loss(embeddings, keys, targets, **more):
    return pixel_to_region(embeddings, targets, keys, KEY_CLASSES, TAU, **more)


LOSSES = pytest.mark.parametrize("loss", [prototype_loss, no_push, pull, region_loss])
KINDS = pytest.mark.parametrize("kind", [None, "all", "own_dataset", "each its own"])


def inputs(count=N):
    targets = integers(-1, K, (count,), seed=3)
    return {"embeddings": unit(count, D, seed=1), "keys": unit(40, D, seed=2)}, {"targets": targets}


def denominator(kind):
    if kind == "each its own":
        return ~torch.eye(K, dtype=torch.bool).roll(1, 1)  # no two classes' columns are the same
    return None if kind is None else SPACE.denominator(kind)


@LOSSES
@KINDS
@pytest.mark.parametrize("entries", [1, 100, 700])
def test_many_chunks_are_as_one(monkeypatch, loss, kind, entries):
    given, settings = inputs()
    settings |= {"denominator": denominator(kind), "weights": torch.rand(N)}
    value, gradients = value_and_gradients(loss, given, **settings)
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", entries)
    chunked, chunked_gradients = value_and_gradients(loss, given, **settings)
    assert_close_to(chunked, value, 1e-5, "value")
    for name in given:
        assert_close_to(chunked_gradients[name], gradients[name], 1e-5, name)


@LOSSES
@KINDS
def test_strided_embeddings_and_keys(loss, kind):
    given, settings = inputs()
    settings["denominator"] = denominator(kind)
    value, gradients = value_and_gradients(loss, given, **settings)
    leaves = {name: tensor.T.contiguous().requires_grad_() for name, tensor in given.items()}
    strided = loss(**{name: leaf.T for name, leaf in leaves.items()}, **settings)
    strided.backward()
    assert_close_to(strided.detach(), value, 1e-6, "value")
    for name, leaf in leaves.items():
        assert_close_to(leaf.grad.T, gradients[name], 1e-6, name)


@LOSSES
def test_expanded_embeddings(loss):
    given, settings = inputs()
    one = given["embeddings"][:1].clone().requires_grad_()
    loss(one.expand(N, D), given["keys"], **settings).backward()
    repeated = one.detach().repeat(N, 1).requires_grad_()
    loss(repeated, given["keys"], **settings).backward()
    assert_close_to(one.grad, repeated.grad.sum(0, keepdim=True), 1e-5, "gradient")


@LOSSES
@pytest.mark.parametrize("wanted", [(), ("embeddings",), ("keys",), ("embeddings", "keys")])
def test_only_what_is_needed_gets_a_gradient(loss, wanted):
    given, settings = inputs()
    value, gradients = value_and_gradients(loss, given, **settings)
    leaves = {name: tensor.clone().requires_grad_(name in wanted) for name, tensor in given.items()}
    result = loss(**leaves, **settings)
    assert result.requires_grad == bool(wanted)
    assert_close_to(result.detach(), value, 1e-6, "value")
    if wanted:
        result.backward()
    for name, leaf in leaves.items():
        assert (leaf.grad is not None) == (name in wanted)
        if name in wanted:
            assert_close_to(leaf.grad, gradients[name], 1e-6, name)


@LOSSES
def test_without_gradients_at_all(loss):
    given, settings = inputs()
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in given.items()}
    with torch.no_grad():
        result = loss(**leaves, **settings)
    assert not result.requires_grad
    assert_close_to(result, value_and_gradients(loss, given, **settings)[0], 1e-6, "value")


@LOSSES
def test_a_retained_graph_gives_the_same_gradient_again(loss):
    given, settings = inputs()
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in given.items()}
    result = 3 * loss(**leaves, **settings)
    first = torch.autograd.grad(result, leaves.values(), retain_graph=True)
    second = torch.autograd.grad(result, leaves.values(), retain_graph=True)
    for name, one, other in zip(leaves, first, second, strict=True):
        assert one.data_ptr() != other.data_ptr()
        assert_close_to(one, other, 1e-6, name)


def test_a_gradient_of_the_gradient_is_refused():
    given, settings = inputs()
    leaf = given["embeddings"].requires_grad_()
    with pytest.raises(RuntimeError, match="create_graph"):
        torch.autograd.grad(prototype_loss(**given, **settings), leaf, create_graph=True)


@LOSSES
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gradients_under_autocast(loss, dtype):
    given, settings = inputs()
    given = {name: tensor.to(dtype) for name, tensor in given.items()}
    value, gradients = value_and_gradients(loss, given, **settings)
    with torch.autocast("cpu", torch.bfloat16):
        other, other_gradients = value_and_gradients(loss, given, **settings)
    assert torch.equal(other, value)
    for name in given:
        assert other_gradients[name].dtype == dtype
        assert torch.equal(other_gradients[name], gradients[name])


def test_the_gradient_of_learned_prototypes_does_not_overflow_in_float16():
    """Summed over many pixels it passes 65,504 before the mean is taken."""
    prototypes = unit(2, D).half().requires_grad_()
    embeddings = prototypes.detach()[:1].expand(60_000, D)
    loss = pixel_to_prototype(embeddings, torch.ones(60_000).long(), prototypes, torch.ones(2).bool(), TAU)
    loss.backward()
    assert torch.isfinite(prototypes.grad).all()
    assert (prototypes.grad != 0).any()


@LOSSES
@KINDS
def test_no_pixels(loss, kind):
    given, settings = inputs(0)
    value, gradients = value_and_gradients(loss, given, denominator=denominator(kind), **settings)
    assert value == 0
    assert all(not gradient.any() for gradient in gradients.values())


def test_a_chunk_is_forgotten_before_the_next(monkeypatch):
    """The largest tensor that the loss makes is no larger than the embeddings: never pixels x classes."""
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", 4096)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    embeddings = unit(4000, D).requires_grad_()
    prototypes = F.normalize(torch.randn(64, D), dim=1).requires_grad_()
    with Watch():
        targets = integers(0, 64, (4000,))
        pixel_to_prototype(embeddings, targets, prototypes, torch.ones(64).bool(), TAU).backward()
    assert largest == 4000 * D


@pytest.mark.parametrize("pixels, run", [([3, 4, 5], True), ([7], True), ([3, 5, 6], False), ([0, 2, 1, 3], False)])
def test_pixels_that_follow_one_another_are_a_slice(pixels, run):
    matrix, pixels = torch.arange(16.0).view(8, 2), torch.tensor(pixels)
    place = streamed._place(pixels)
    assert isinstance(place, slice) == run
    assert torch.equal(streamed._rows_of(matrix, place, torch.empty(len(pixels), 2)), matrix[pixels])
    other = torch.zeros(8, 2)
    streamed._write_rows(other, place, matrix[pixels])
    assert torch.equal(other[pixels], matrix[pixels])
    assert other.sum() == matrix[pixels].sum()


@pytest.mark.parametrize("gap", [0.0, 1e-3, 20.0, 60.0, 80.0, 1e4])
def test_a_row_of_any_certainty_has_its_term(gap):
    """Where the own class's probability is small, or 0 in float32, the term comes from the logits."""
    logits = torch.tensor([[0.0, gap, 1.0], [gap, 0.0, 1.0]])
    own = torch.tensor([[0], [0]])
    terms, gradient = streamed.cross_entropy_rows(logits.clone(), torch.empty_like(logits), own)
    exact = logits.double().requires_grad_()
    expected = F.cross_entropy(exact, own[:, 0], reduction="none")
    expected.sum().backward()
    assert torch.allclose(terms.double(), expected, rtol=1e-6, atol=1e-6)
    assert torch.allclose(gradient.double(), exact.grad, atol=1e-6)


def test_a_probability_of_which_float32_holds_a_few_bits_has_its_term():
    logits = torch.tensor([[0.0, 102.0]])
    terms, _ = streamed.cross_entropy_rows(logits.clone(), torch.empty_like(logits), torch.tensor([[0]]))
    assert terms.item() == pytest.approx(102, rel=1e-6)
