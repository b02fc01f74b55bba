"""Convolutions that torch runs slowly on a CPU, run in another way while a block of code lasts."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from itertools import product

import torch
from torch import Tensor, nn

from mdpseg.engine.other_forward import other_forwards

# From this dilation on oneDNN takes 8 to 40 times as long over a depthwise convolution that is stored channels last.
_FAR = 8
# Torch keeps a single image of so few values from oneDNN, and its own dilated convolution is slow.
_SMALL = 20_480


@contextmanager
def quick_pointwise(network: nn.Module) -> Generator[None, None, None]:
    """While it lasts, 1x1 convolutions in one thread on the CPU are sooner done: on some processors twice as fast.

    Torch gives those of small batches to its own matrix product where one thread runs, and to oneDNN if they are
    dilated. A single weight is the same at any dilation.
    """
    alone = torch.get_num_threads() == 1 and _on_cpu(network)
    layers = [
        layer
        for layer in network.modules()
        if alone and isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.dilation == (1, 1)
    ]
    with other_forwards(layers, _by_onednn):
        yield


@contextmanager
def quick_atrous(network: nn.Module) -> Generator[None, None, None]:
    """While it lasts, far dilated depthwise convolutions on the CPU are sums of shifted maps.

    A tap that lies outside the map everywhere costs nothing then. For use without gradients, whose way back through
    the sum takes longer than oneDNN's.
    """
    layers = [
        layer
        for layer in network.modules()
        if _on_cpu(network) and isinstance(layer, nn.Conv2d) and _is_far_depthwise(layer)
    ]
    with other_forwards(layers, _sum_of_taps):
        yield


def is_depthwise(layer: nn.Conv2d) -> bool:
    """Whether each channel is convolved by itself, within zeros."""
    return 1 < layer.groups == layer.in_channels == layer.out_channels and layer.padding_mode == "zeros"


def _on_cpu(network: nn.Module) -> bool:
    return next(network.parameters()).device.type == "cpu"


def _by_onednn(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """The layer's output for maps [B, C, H, W]."""
    if len(maps) == 1 and maps.numel() <= _SMALL:
        return type(layer).forward(layer, maps)
    layer.dilation = (2, 2)
    try:
        return type(layer).forward(layer, maps)
    finally:
        layer.dilation = (1, 1)


def _is_far_depthwise(layer: nn.Conv2d) -> bool:
    """Whether it is depthwise, of stride 1 and a far dilation, and its output has the size of its input."""
    same = tuple(dilation * (side - 1) // 2 for dilation, side in zip(layer.dilation, layer.kernel_size, strict=True))
    return (
        is_depthwise(layer)
        and layer.stride == (1, 1)
        and layer.padding == same
        and all(side % 2 for side in layer.kernel_size)
        and min(layer.dilation) >= _FAR
    )


def _sum_of_taps(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """The convolution of maps [B, C, H, W]: for each tap the part of the maps that it reaches, times its weights."""
    if maps.dtype != layer.weight.dtype:  # under autocast
        return type(layer).forward(layer, maps)
    total = torch.zeros_like(maps)
    for row, column in product(*(range(side) for side in layer.kernel_size)):
        down, right = (
            (place - side // 2) * dilation
            for place, side, dilation in zip((row, column), layer.kernel_size, layer.dilation, strict=True)
        )
        height, width = maps.shape[-2] - abs(down), maps.shape[-1] - abs(right)
        if height > 0 and width > 0:
            here = total[..., max(0, -down) :, max(0, -right) :][..., :height, :width]
            there = maps[..., max(0, down) :, max(0, right) :][..., :height, :width]
            here.addcmul_(there, layer.weight[:, :, row, column, None])  # [C, 1, 1]
    return total if layer.bias is None else total + layer.bias[:, None, None]
