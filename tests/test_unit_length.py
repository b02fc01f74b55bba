import pytest
import torch
import torch.nn.functional as F

from mdpseg.unit_length import unit_length


def vectors(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (7, 2), (2, 1, 3)], ids=str)
def test_it_is_normalize_and_so_is_its_gradient(shape):
    given, weights = vectors(0, *shape), vectors(1, *shape)
    found = []
    for function in (unit_length, F.normalize):
        leaf = given.clone().requires_grad_()
        units = function(leaf)
        (units * weights).sum().backward()
        found.append((units.detach(), leaf.grad))
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_its_gradient_is_that_of_finite_differences():
    assert torch.autograd.gradcheck(unit_length, vectors(0, 2, 4, 3).requires_grad_())


def test_a_vector_of_zeros_stays_one_and_spoils_nothing():
    given = torch.zeros(2, 3).requires_grad_()
    units = unit_length(given)
    assert torch.equal(units, torch.zeros(2, 3))
    units.sum().backward()
    assert torch.isfinite(given.grad).all()


def test_a_second_gradient_is_refused():
    given = vectors(0, 2, 3).requires_grad_()
    (first,) = torch.autograd.grad(unit_length(given).pow(3).sum(), given, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
