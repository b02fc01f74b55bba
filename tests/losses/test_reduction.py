import pytest
import torch

from mdpseg.losses import reduction
from mdpseg.losses.reduction import OUTSIDE, pixel_weights, sum_in_chunks, weighted_mean


@pytest.mark.parametrize(
    "entries, rows", [(1000, [10]), (40, [10]), (39, [9, 1]), (12, [3, 3, 3, 1]), (4, [1] * 10), (1, [1] * 10)]
)
def test_no_chunk_is_larger_than_allowed(monkeypatch, entries, rows):
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", entries)
    seen = []

    def loss_sum(x, y):
        seen.append(len(x))
        return (x * y).sum()

    x, y = torch.arange(10.0), torch.arange(10.0) + 1
    total = sum_in_chunks(loss_sum, 4, x, y)
    assert seen == rows
    assert total.item() == sum(i * (i + 1) for i in range(10))


@pytest.mark.parametrize("entries", [1000, 8])
def test_chunks_keep_the_gradient(monkeypatch, entries):
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", entries)
    x, shared = torch.arange(10.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    sum_in_chunks(lambda part: (shared * part**2).sum(), 4, x).backward()
    assert torch.equal(x.grad, 6 * torch.arange(10.0))
    assert shared.grad.item() == sum(i**2 for i in range(10))


@pytest.mark.parametrize("columns", [0, 5])
def test_no_pixels_and_no_columns(columns):
    x = torch.zeros(0, 3, requires_grad=True)
    total = sum_in_chunks(lambda part: (part @ torch.ones(3, columns)).sum(), columns, x)
    assert total.item() == 0
    assert total.requires_grad


@pytest.mark.parametrize("weights, expected", [([1.0, 3.0], 2.5), ([0.0, 2.0], 5.0), ([1e-6, 1e-6], 5e6)])
def test_weighted_mean(weights, expected):
    assert weighted_mean(torch.tensor(10.0), torch.tensor(weights)).item() == pytest.approx(expected)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0]])
def test_no_weight_is_zero_and_not_nan(weights):
    x, weights = torch.ones(len(weights), requires_grad=True), torch.tensor(weights)
    mean = weighted_mean((x * weights).sum(), weights)
    mean.backward()
    assert mean.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_pixel_weights():
    targets = torch.tensor([3, -1, 0])
    assert torch.equal(pixel_weights(None, targets), torch.ones(3))
    given = pixel_weights(torch.tensor([0.5, 0, 2], dtype=torch.bfloat16), targets)
    assert given.dtype == torch.float32
    assert given.tolist() == [0.5, 0, 2]


@pytest.mark.parametrize("columns", [1, 200])
def test_a_row_outside_has_a_finite_gradient(columns):
    scores = torch.randn(2, columns, requires_grad=True)
    total = scores.masked_fill(torch.ones(2, columns, dtype=torch.bool), OUTSIDE).logsumexp(1).sum()
    total.backward()
    assert torch.isfinite(total)
    assert torch.equal(scores.grad, torch.zeros(2, columns))
