"""A loss whose gradients are known as soon as its value is: both are computed in the forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Gradients = tuple[Tensor | None, ...]
# compute(inputs, whether each needs its gradient) -> a scalar, its gradients (None where it is not needed)
Compute = Callable[[tuple[Tensor, ...], tuple[bool, ...]], tuple[Tensor, Gradients]]


def one_pass(compute: Compute, *inputs: Tensor) -> Tensor:
    """The scalar that ``compute`` makes of ``inputs``, with a gradient path to each of them.

    Args:
        compute: is called without autograd, under autocast as it is outside; must not keep ``inputs``.
        *inputs: whatever the scalar can be differentiated by.
    """
    result: Tensor = _OnePass.apply(compute, torch.is_grad_enabled(), *inputs)
    return result


class _OnePass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compute: Compute, wanted: bool, *inputs: Tensor) -> Tensor:
        ctx.compute, ctx.needs = compute, tuple(wanted and need for need in ctx.needs_input_grad[2:])
        value, ctx.gradients = compute(inputs, ctx.needs)
        ctx.save_for_backward(*inputs)
        return value

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph
            raise RuntimeError("This loss has a gradient, but its gradient has none: create_graph does not work here.")
        inputs = ctx.saved_tensors
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:  # a second pass through a retained graph: the first one has scaled them in place
            _, gradients = ctx.compute(inputs, ctx.needs)
        scaled = (
            None if gradient is None else gradient.mul_(scale).to(tensor.dtype)
            for gradient, tensor in zip(gradients, inputs, strict=True)
        )
        return None, None, *scaled
