"""Every random state of a process: torch's, that of its device, Python's and numpy's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seeds them all, for each process of a run in its own way."""
    seed += 1_000_003 * rank
    torch.manual_seed(seed)  # every device's too
    random.seed(seed)
    np.random.seed(seed % 2**32)


def random_state(device: torch.device) -> dict[str, Any]:
    """All of them, as tensors and numbers."""
    numpy: Any = np.random.get_state(legacy=False)
    return {
        "torch": torch.get_rng_state(),
        "device": _of(device).get_rng_state() if device.type != "cpu" else None,
        "device_type": device.type,
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].tolist()}},
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Sets what :func:`random_state` gave; a device of another kind keeps its own."""
    torch.set_rng_state(state["torch"])
    if device.type != "cpu" and state["device"] is not None and state.get("device_type") in (None, device.type):
        _of(device).set_rng_state(state["device"])
    random.setstate(state["python"])
    numpy = state["numpy"]
    key = np.array(numpy["state"]["key"], dtype=np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})


def _of(device: torch.device) -> Any:
    """torch.cuda or torch.mps."""
    return getattr(torch, device.type)
