"""The gradient by a depthwise convolution's weights, where oneDNN is slow at it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn

from mdpseg.engine.other_forward import other_forwards
from mdpseg.engine.quick_convolutions import is_depthwise

# OneDNN has depthwise kernels for 3x3; for wider ones it stores each channel's weights as a block of 16 x 16 channels.
_WIDE = 25
# Above that many pixels of output its gradient is as quick as the sum of products, which then leaves the cache.
_FEW = 150


@contextmanager
def quick_depthwise(network: nn.Module) -> Generator[None, None, None]:
    """While it lasts, wide depthwise convolutions of small maps on the CPU find their weights' gradient sooner.

    EfficientNet's 5x5 and ConvNeXt's 7x7 layers; values and other gradients stay torch's.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and _is_wide_depthwise(layer)]
    with other_forwards(layers, _convolution):
        yield


def _is_wide_depthwise(layer: nn.Conv2d) -> bool:
    return (
        type(layer) in (nn.Conv2d, Conv2dSame)
        and is_depthwise(layer)
        and layer.kernel_size[0] * layer.kernel_size[1] >= _WIDE
        and layer.dilation == (1, 1)
        and not isinstance(layer.padding, str)
        and layer.weight.device.type == "cpu"
    )


def _convolution(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """The layer's output for maps [B, C, H, W], with the quicker gradient if that is wanted and pays."""
    learns = layer.weight.requires_grad and torch.is_grad_enabled()
    if not learns or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return type(layer).forward(layer, maps)
    padding: Any = layer.padding
    if isinstance(layer, Conv2dSame):  # pads as the size of the maps asks for
        maps, padding = pad_same(maps, list(layer.kernel_size), list(layer.stride)), (0, 0)
    how = layer.stride, padding, layer.groups
    size = [
        (side + 2 * pad - kernel) // stride + 1
        for side, pad, kernel, stride in zip(maps.shape[-2:], padding, layer.kernel_size, layer.stride, strict=True)
    ]
    if size[0] * size[1] > _FEW:
        return F.conv2d(maps, layer.weight, layer.bias, layer.stride, padding, groups=layer.groups)
    made: Tensor = _Depthwise.apply(maps, layer.weight, layer.bias, *how)
    return made


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.how = stride, padding, groups = how
        return F.conv2d(maps, weight, bias, stride, padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        maps, weight = ctx.saved_tensors
        stride, padding, groups = ctx.how
        wanted = [ctx.needs_input_grad[0], False, ctx.needs_input_grad[2]]
        by_maps, _, by_bias = torch.ops.aten.convolution_backward(
            gradient, maps, weight, [len(weight)], stride, padding, (1, 1), False, (0, 0), groups, wanted
        )
        return by_maps, _by_weight(gradient, maps, weight, stride, padding), by_bias, None, None, None


def _by_weight(gradient: Tensor, maps: Tensor, weight: Tensor, stride: Any, padding: Any) -> Tensor:
    """The gradient by weight [C, 1, kh, kw]: for each tap the output's gradient times the maps under it, summed."""
    gradient, maps = gradient.permute(0, 2, 3, 1), maps.permute(0, 2, 3, 1)  # channels last, which the sums run along
    total = torch.zeros_like(weight)
    for row, column in product(range(weight.shape[2]), range(weight.shape[3])):
        rows = _reach(row, stride[0], padding[0], maps.shape[1], gradient.shape[1])
        columns = _reach(column, stride[1], padding[1], maps.shape[2], gradient.shape[2])
        if rows and columns:
            part = gradient[:, rows[0], columns[0]] * maps[:, rows[1], columns[1]]
            total[:, 0, row, column] = part.sum((0, 1, 2))
    return total


def _reach(place: int, stride: int, padding: int, size: int, made: int) -> tuple[slice, slice] | None:
    """The outputs, of ``made``, whose tap at ``place`` lies on the map, of ``size``, and where it lies for them."""
    ahead = padding - place  # of output o the tap lies at o * stride - ahead
    first, last = max(0, -(-ahead // stride)), min(made - 1, (size - 1 + ahead) // stride)
    if first > last:
        return None
    return slice(first, last + 1), slice(first * stride - ahead, last * stride - ahead + 1, stride)
