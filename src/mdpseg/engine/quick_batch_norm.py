"""Batch norms that write over the convolution's output before them, instead of into new memory."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from typing import Any
from weakref import ref

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from mdpseg.engine.other_forward import other_forward


@contextmanager
def quick_batch_norm(network: nn.Module) -> Generator[None, None, None]:
    """While it lasts, batch norms that get what a convolution just made change it in place. For use without gradients.

    New memory costs more than the arithmetic, and torch's own is slow at maps that are stored channels last, which
    alone are changed so. A norm stands behind a convolution in its parent; that its input is that convolution's output,
    not a map that a shortcut needs as well (as in pre-activation blocks), is seen each time. That nothing else needs
    the output as the convolution made it is taken for granted: it held in one network of each of 56 families of timm.
    """
    with ExitStack() as undo:
        for convolution, norm in _pairs(network):
            made: list[ref[Tensor]] = []
            undo.callback(convolution.register_forward_hook(partial(_note, made)).remove)
            undo.enter_context(other_forward(norm, partial(_in_place, norm, made, *_line(norm))))
        yield


def _pairs(network: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions on the CPU with the batch norms right behind them, in evaluation mode."""
    return [
        (first, second)
        for parent in network.modules()
        for first, second in pairwise(parent.children())
        if isinstance(first, nn.Conv2d)
        and isinstance(second, nn.BatchNorm2d)
        and type(second) in (nn.BatchNorm2d, BatchNormAct2d)  # others may do other things
        and second.num_features == first.out_channels
        and not second.training
        and second.affine
        and second.running_var is not None
        and second.weight.device.type == "cpu"
    ]


def _line(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The factor and the offset of each channel, [C, 1, 1]."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight.detach() * (norm.running_var + norm.eps).rsqrt()
    return factor[:, None, None], (norm.bias.detach() - norm.running_mean * factor)[:, None, None]


def _note(made: list[ref[Tensor]], layer: nn.Module, inputs: Any, output: Tensor) -> None:
    made[:] = [ref(output)]


def _in_place(norm: nn.BatchNorm2d, made: list[ref[Tensor]], factor: Tensor, offset: Tensor, maps: Tensor) -> Tensor:
    """The norm's output for maps [B, C, H, W]."""
    fresh = bool(made) and made.pop()() is maps
    vectorises = maps.dtype == factor.dtype and maps.is_contiguous(memory_format=torch.channels_last)
    if not fresh or not vectorises or torch.is_grad_enabled():
        return type(norm).forward(norm, maps)
    maps = torch.addcmul(offset, maps, factor, out=maps)
    if isinstance(norm, BatchNormAct2d):
        maps = norm.act(norm.drop(maps))
    return maps
