"""Device and precision."""

from __future__ import annotations

from typing import Literal

import torch
from lightning_fabric import Fabric

from mdpseg.errors import UserError


def make_fabric(
    device: Literal["auto", "cpu", "cuda", "mps"],
    precision: Literal["auto", "fp32", "bf16"],
) -> Fabric:
    """The Lightning Fabric that a run uses, on one device.

    Args:
        device: ``auto`` takes CUDA, else MPS, else the CPU.
        precision: of the forward pass (autocast); weights and losses stay float32.

    Raises:
        UserError: the device asked for is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device != "auto" and not there[device]:
        raise UserError(f"device is {device}, and torch finds none here; use device=auto or device=cpu.")
    chosen = device if device != "auto" else next(name for name in ("cuda", "mps", "cpu") if there[name])
    bf16 = precision == "bf16" or (precision == "auto" and chosen == "cuda")
    return Fabric(
        accelerator=chosen,
        devices=1,
        precision="bf16-mixed" if bf16 else "32-true",
    )
