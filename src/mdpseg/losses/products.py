"""Matrix products of many pixels with few rows. On a CPU with AVX-512 large ones run in oneDNN, in half of the time.

Torch gives products of float32 to MKL, which uses half of that vector width on processors that Intel did not make; a
1x1 convolution is the same product, and goes to oneDNN. A dilation, without a meaning there, keeps it there in one
thread too. With AVX2 both take the same time, and MKL writes where it is told.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

# oneDNN compiles a kernel for each size that it meets, in a third of a millisecond, and keeps a thousand of them. So
# pixels come in pieces of few sizes: multiples of this one. Smaller products are not faster there.
STEP = 256
# Pieces of long rows have this many pixels, if that makes them no more than so many times as large as they should be.
_LEAST, _MOST_STRETCH = 512, 16
_LEAST_WORK = 1 << 22  # multiplications, below which a call's own time counts


def pieces(count: int, at_once: int, device: torch.device) -> list[int]:
    """Sizes of the pieces in which ``count`` pixels are multiplied, ``at_once`` or so: multiples of STEP, a rest."""
    step = 1
    if device.type == "cpu":
        at_once = max(at_once, min(_LEAST, _MOST_STRETCH * at_once))
        step = STEP if at_once >= STEP else 1
    largest = round(at_once / step) * step
    rest = count % largest
    return [size for size in ([largest] * (count // largest) + [rest // step * step, rest % step]) if size]


def rows_by_rows(pixels: Tensor, rows: Tensor, room: Tensor | None = None) -> Tensor:
    """``pixels @ rows.T``: float32 [n, k] and [m, k] to [n, m], which may be written into ``room``."""
    if not _is_large(pixels, len(rows)):
        return torch.mm(pixels, rows.T, out=room)
    return F.conv2d(_as_map(pixels), rows[:, :, None, None], dilation=2)[0, :, 0].T


def rows_by_columns(pixels: Tensor, columns: Tensor, room: Tensor | None = None) -> Tensor:
    """``pixels @ columns``: float32 [n, m] and [m, k] to [n, k], which may be written into ``room``."""
    return rows_by_rows(pixels, columns.T, room)


def columns_by_columns(left: Tensor, right: Tensor) -> Tensor:
    """``left.T @ right``: float32 [n, m] and [n, k] of the same pixels to [m, k]."""
    if not _is_large(left, right.shape[1]):
        return left.T @ right
    shape = (left.shape[1], right.shape[1], 1, 1)
    product: Tensor = conv2d_weight(_as_map(right), shape, _as_map(left), dilation=2)  # type: ignore[no-untyped-call]
    return product[:, :, 0, 0]


def _is_large(pixels: Tensor, columns: int) -> bool:
    return (
        pixels.device.type == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() != "AVX2"
        and len(pixels) % STEP == 0
        and pixels.numel() * columns >= _LEAST_WORK
    )


def _as_map(pixels: Tensor) -> Tensor:
    """Pixels [n, k] as a map [1, k, 1, n] stored channels last."""
    return pixels.contiguous()[None, None].permute(0, 3, 1, 2)
