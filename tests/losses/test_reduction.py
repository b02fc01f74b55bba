import pytest
import torch

from mdpseg.losses import reduction
from mdpseg.losses.reduction import OUTSIDE, pixel_weights, rows_at_once, weighted_mean


@pytest.mark.parametrize("entries, columns, rows", [(1000, 4, 250), (39, 4, 9), (4, 4, 1), (1, 4, 1), (1000, 0, 1000)])
def test_no_chunk_is_larger_than_allowed(monkeypatch, entries, columns, rows):
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", entries)
    assert rows_at_once(columns, torch.device("cpu")) == rows
    assert rows_at_once(columns, torch.device("cuda")) >= rows


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


@pytest.mark.parametrize("processes", [1, 8])
@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_a_batch_without_weight_has_no_gradient_however_many_share_it(processes, factor, monkeypatch):
    """Through a loss that multiplies the gradient by zeros, as the streamed ones do."""
    monkeypatch.setattr(reduction.ranks, "count", lambda: processes)
    monkeypatch.setattr(reduction.ranks, "summed", lambda tensor: tensor)
    x, weights = torch.ones(3, requires_grad=True), torch.zeros(3)
    (factor * weighted_mean((x * weights).sum(), weights)).backward()
    assert torch.equal(x.grad, torch.zeros(3))


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
