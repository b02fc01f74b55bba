"""A GPU that is not there: its tensors say that they are on ``cuda:0``, and compute on the CPU.

What a GPU refuses is refused: one operation on tensors of two devices, and, as on MPS, float64. What it makes the host
wait for is noted.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda:0")
# The sizes of what these give, or what they give, must be known to the host.
_WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "bincount", "equal", "_unique2", "unique_dim"}
_INDEXING = {"index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_"}  # indices may be the host's
_BETWEEN = {"_to_copy", "copy_"}


class OnGpu(Tensor):
    """A tensor of the pretended GPU. Inside of torch its device is ``meta``, which autograd can handle without one."""

    on_host: Tensor

    @staticmethod
    def __new__(cls, real: Tensor) -> OnGpu:
        tensor: OnGpu = Tensor._make_wrapper_subclass(
            *(cls, real.shape, real.stride(), real.storage_offset()),
            dtype=real.dtype,
            device="meta",
            requires_grad=real.requires_grad,
        )
        tensor.on_host = real
        return tensor

    @property
    def device(self) -> torch.device:
        return DEVICE

    @property
    def is_meta(self) -> bool:
        return False

    def tolist(self) -> Any:
        _note("tolist")
        return self.on_host.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.on_host.__reduce_ex__(protocol)

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.on_host})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


_noted: list[str] = []
# What torch and Fabric ask of a driver.
_DRIVER: dict[str, Any] = {
    "torch.cuda._lazy_init": lambda: None,
    "torch.cuda.is_available": lambda: True,
    "torch.cuda.device_count": lambda: 1,
    "torch.cuda.set_device": lambda device: None,
    "torch.cuda.get_device_capability": lambda *device: (7, 0),
    "torch.cuda.is_bf16_supported": lambda including_emulation=True: False,
    "torch.cuda.get_rng_state": lambda *device: torch.zeros(16, dtype=torch.uint8),
    "torch.cuda.set_rng_state": lambda state, *device: None,
    "torch.Tensor.pin_memory": lambda self: self,
}


@contextmanager
def pretend_gpu() -> Iterator[list[str]]:
    """While it lasts, ``cuda:0`` can be used, by whole runs too.

    Gives the list of what the host waited for since, as "operation at file:line".
    """
    _noted.clear()
    swapped = torch.__future__.get_swap_module_params_on_conversion()
    with ExitStack() as stack:
        for name, answer in _DRIVER.items():
            stack.enter_context(patch(name, answer))
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swapped)
        torch.__future__.set_swap_module_params_on_conversion(True)  # parameters that move stay the same objects
        stack.enter_context(_Literals())
        stack.enter_context(_Everything())
        yield _noted


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name, device = func.overloadpacket.__name__, kwargs.get("device")
    on_gpu = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, OnGpu)]
    if on_gpu and name not in _BETWEEN:
        _refuse_two_devices(func, args[:1] + args[2:] if name in _INDEXING else args, kwargs)
    if device is not None:
        if _Literals.asked_for_meta:
            return func(*args, **kwargs)
        to_gpu = torch.device(device).type in ("cuda", "meta")
        kwargs = kwargs | {"device": "cpu"}
    else:
        to_gpu = isinstance(args[0], OnGpu) if name in _BETWEEN else bool(on_gpu)
    if _waits(name, args, kwargs, bool(on_gpu), to_gpu):
        _note(name)
    wrappers = {id(tensor.on_host): tensor for tensor in on_gpu}  # what is written in place stays the same tensor

    def given(leaf: Any) -> Any:
        return leaf.on_host if isinstance(leaf, OnGpu) else leaf

    def made(leaf: Any) -> Any:
        if not to_gpu or not isinstance(leaf, Tensor):
            return leaf
        if leaf.dtype == torch.float64:
            raise TypeError(f"{func} makes a tensor of float64, which MPS has not.")
        return wrappers[id(leaf)] if id(leaf) in wrappers else OnGpu(leaf)

    return tree_map(made, func(*tree_map(given, args), **tree_map(given, kwargs)))


def _refuse_two_devices(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    numbers_may = torch.Tag.pointwise in func.tags
    host = [t for t in tensors if not isinstance(t, OnGpu) and (t.dim() or not numbers_may)]
    if host and len(host) < len(tensors):
        raise RuntimeError(f"{func} got tensors of cuda:0 and of the CPU, {[tuple(t.shape) for t in host]}.")


def _waits(name: str, args: Any, kwargs: dict[str, Any], from_gpu: bool, to_gpu: bool) -> bool:
    if name in _BETWEEN:
        source = args[1] if name == "copy_" else args[0]
        non_blocking = kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2])
        return isinstance(source, OnGpu) != to_gpu and not non_blocking
    if not from_gpu:
        return False
    if name in _INDEXING:  # by a mask, or by indices of the host, which are copied
        indices = [leaf for leaf in tree_leaves(args[1]) if isinstance(leaf, Tensor)]
        return any(leaf.dtype == torch.bool or not isinstance(leaf, OnGpu) for leaf in indices)
    return name in _WAITS


def _note(what: str) -> None:
    frames = [frame for frame in traceback.extract_stack() if "/src/mdpseg/" in frame.filename]
    place = f"{frames[-1].filename.rpartition('/src/mdpseg/')[2]}:{frames[-1].lineno}" if frames else "elsewhere"
    _noted.append(f"{what} at {place}")


class _Everything(TorchDispatchMode):
    """Sees what makes tensors out of nothing, too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """Sees what Python asks for, of which no dispatch tells: literals, and tensors that shall really be on ``meta``."""

    asked_for_meta = False

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if device is not None and torch.device(device).type == "meta":
            with patch.object(_Literals, "asked_for_meta", True):
                return func(*args, **kwargs)
        if func in (torch.tensor, torch.as_tensor) and device is not None and not isinstance(args[0], Tensor):
            del kwargs["device"]
            return func(*args, **kwargs).to(device)  # made on the host and copied
        return func(*args, **kwargs)
