import pytest
import torch

from mdpseg.losses.one_pass import one_pass


def weighted(inputs, needs):
    """The sum of a * b * b, and its gradients."""
    a, b = (tensor.float() for tensor in inputs)
    gradients = b * b if needs[0] else None, 2 * a * b if needs[1] else None
    return (a * b * b).sum(), gradients


@pytest.mark.parametrize("needs", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_autograd_does_it(needs, dtype):
    inputs = [
        torch.tensor(values, dtype=dtype, requires_grad=need)
        for values, need in zip(([1, 2.0], [3, 4.0]), needs, strict=True)
    ]
    value = one_pass(weighted, *inputs)
    assert value.item() == 1 * 9 + 2 * 16
    assert value.requires_grad == any(needs)
    if any(needs):
        (5 * value).backward()
    for tensor, gradient in zip(inputs, ([45, 80.0], [30, 80.0]), strict=True):
        assert tensor.grad is None if not tensor.requires_grad else tensor.grad.tolist() == gradient
        assert tensor.grad is None or tensor.grad.dtype == dtype


def test_gradients_are_only_computed_where_somebody_wants_them():
    asked = []

    def compute(inputs, needs):
        asked.append(needs)
        return inputs[0].sum(), (torch.ones_like(inputs[0]),)

    tensor = torch.ones(3, requires_grad=True)
    one_pass(compute, tensor)
    one_pass(compute, tensor.detach())
    with torch.no_grad():
        one_pass(compute, tensor)
    assert asked == [(True,), (False,), (False,)]


def test_inputs_are_let_go_after_the_backward_pass():
    import weakref

    tensor = torch.ones(3, requires_grad=True)
    middle = tensor * 2
    gone = weakref.ref(middle)
    value = one_pass(lambda inputs, needs: (inputs[0].sum(), (torch.ones_like(inputs[0]),)), middle)
    del middle
    value.backward()
    assert gone() is None
