"""Slow, obvious references: plain loops over pixels and classes in float64, written from the formulas of the method.

Also the one comparison that every loss goes through: value, shape, dtype, gradients.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def log_sum_exp(scores: list[Tensor]) -> Tensor:
    largest = max(score.item() for score in scores)
    return largest + torch.log(sum(torch.exp(score - largest) for score in scores))


def weighted_average(terms: list[tuple[float, Tensor]]) -> Tensor | None:
    """The mean of (weight, value) pairs; None where nothing has weight."""
    if sum(weight for weight, _ in terms) == 0:
        return None
    return sum(weight * value for weight, value in terms) / sum(weight for weight, _ in terms)


def weight_of(weights: Tensor | None, i: Any) -> float:
    return 1.0 if weights is None else weights[i].item()


def allowed(denominator: Tensor | None, y: int, j: int) -> bool:
    return denominator is None or bool(denominator[y, j])


def pixel_to_prototype(
    embeddings, targets, prototypes, present, temperature, denominator=None, leave_out=0, weights=None
):
    terms = []
    for i, y in enumerate(targets.tolist()):
        if y < 0 or not present[y]:
            continue
        scores = {}
        for j in range(len(prototypes)):
            if j == y or (present[j] and allowed(denominator, y, j)):
                scores[j] = torch.dot(embeddings[i], prototypes[j]) / temperature
        others = sorted((j for j in scores if j != y), key=lambda j: -scores[j].item())
        kept = [y, *others[leave_out:]]
        terms.append((weight_of(weights, i), log_sum_exp([scores[j] for j in kept]) - scores[y]))
    return weighted_average(terms)


def sparse_coding(embeddings, targets, prototypes, present, temperature, k, weights=None):
    terms = []
    for i, y in enumerate(targets.tolist()):
        if y < 0 or not present[y]:
            continue
        scores = {}
        for j in range(len(prototypes)):
            if present[j]:
                scores[j] = torch.dot(embeddings[i], prototypes[j]) / temperature
        nearest = sorted((j for j in scores if j != y), key=lambda j: -scores[j].item())[:k]
        if not nearest:
            continue
        normaliser = log_sum_exp(list(scores.values()))
        log_probabilities = [scores[j] - normaliser for j in nearest]
        terms.append((weight_of(weights, i), -sum(log_probabilities) / len(nearest)))
    return weighted_average(terms)


def contrast_terms(embeddings, targets, regions, region_classes, temperature, denominator=None, weights=None):
    terms = []
    for i, y in enumerate(targets.tolist()):
        positives, negatives = [], []
        for m, c in enumerate(region_classes.tolist()):
            score = torch.dot(embeddings[i], regions[m]) / temperature
            if c == y:
                positives.append(score)
            elif c >= 0 and y >= 0 and allowed(denominator, y, c):
                negatives.append(score)
        if y < 0 or not positives:
            continue
        per_positive = [log_sum_exp([score, *negatives]) - score for score in positives]
        terms.append((weight_of(weights, i), sum(per_positive) / len(positives)))
    return terms


def pixel_to_region(embeddings, targets, regions, region_classes, temperature, denominator=None, weights=None):
    return weighted_average(
        contrast_terms(embeddings, targets, regions, region_classes, temperature, denominator, weights)
    )


def pixel_to_pixel(embeddings, targets, keys, temperature, denominator=None, weights=None):
    terms = []
    _, _, height, width = embeddings.shape
    places = [(row, column) for row in range(height) for column in range(width)]
    for b in range(len(embeddings)):
        labels = torch.tensor([int(targets[b, r, c]) for r, c in places])
        if not places:
            continue
        own_weights = None if weights is None else torch.tensor([weights[b, r, c].item() for r, c in places])
        queries = torch.stack([embeddings[b, :, r, c] for r, c in places])
        own_keys = torch.stack([keys[b, :, r, c] for r, c in places])
        terms += contrast_terms(queries, labels, own_keys, labels, temperature, denominator, own_weights)
    return weighted_average(terms)


def union_cross_entropy(logits, targets, label_space, weights=None):
    terms = []
    for i, y in enumerate(targets.tolist()):
        if y < 0:
            continue
        dataset = label_space.names[y].split("/")[0]
        scores = [logits[i, j] for j in label_space.classes_of(dataset)]
        terms.append((weight_of(weights, i), log_sum_exp(scores) - logits[i, y]))
    return weighted_average(terms)


def value_and_gradients(
    loss: Callable[..., Tensor | None], inputs: dict[str, Tensor], **settings: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and its gradient by each of ``inputs``; no value at all (None) is 0 with gradients of 0."""
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in inputs.items()}
    value = loss(**leaves, **settings)
    if value is None:
        return torch.zeros((), dtype=torch.float64), {name: torch.zeros_like(t) for name, t in leaves.items()}
    assert value.requires_grad, "the loss has lost its gradient path"
    value.backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None, f"{name} got no gradient"
    return value.detach(), {name: leaf.grad for name, leaf in leaves.items()}


def assert_close_to(actual: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Largest error against the largest entry; what should be 0 throughout has to be 0 to 1e-7."""
    assert actual.shape == expected.shape, what
    assert torch.isfinite(actual).all(), f"{what} is not finite"
    scale = expected.abs().max().item() if expected.numel() else 0.0
    error = (actual.double() - expected.double()).abs().max().item() if expected.numel() else 0.0
    assert error <= tolerance * scale + 1e-7, f"{what}: error {error:.3g} at a scale of {scale:.3g}"


def assert_matches(
    loss: Callable[..., Tensor],
    slow: Callable[..., Tensor | None],
    inputs: dict[str, Tensor],
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> Tensor:
    """Compares a loss on ``inputs`` in ``dtype`` with its reference in float64 on the very same numbers."""
    inputs = {name: tensor.to(dtype) for name, tensor in inputs.items()}
    value, gradients = value_and_gradients(loss, inputs, **settings)
    expected, expected_gradients = value_and_gradients(
        slow, {name: tensor.double() for name, tensor in inputs.items()}, **settings
    )
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert_close_to(value, expected, 2e-5, "value")
    for name, gradient in gradients.items():
        assert gradient.dtype == dtype
        tolerance = 1e-4 if dtype == torch.float32 else 1e-2  # a bfloat16 gradient has 8 bits
        assert_close_to(gradient, expected_gradients[name], tolerance, f"gradient by {name}")
    return value


def unit(*shape: int, seed: int = 0, dim: int = -1) -> Tensor:
    """Random vectors of unit length along ``dim``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=dim)


def integers(low: int, high: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Random ids from ``low`` to ``high - 1``."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))
