"""A layer that does something else for a while."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TypeVar

from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)


@contextmanager
def other_forward(layer: nn.Module, forward: Callable[[Tensor], Tensor]) -> Generator[None, None, None]:
    """While it lasts, ``forward(maps)`` is what the layer does."""
    before = vars(layer).get("forward")  # a training that evaluates does something else already
    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward  # the class's shows again
        if before is not None:
            layer.forward = before


@contextmanager
def other_forwards(layers: Sequence[Layer], forward: Callable[[Layer, Tensor], Tensor]) -> Generator[None, None, None]:
    """While it lasts, ``forward(layer, maps)`` is what each of the layers does."""
    with ExitStack() as undo:
        for layer in layers:
            undo.enter_context(other_forward(layer, partial(forward, layer)))
        yield
