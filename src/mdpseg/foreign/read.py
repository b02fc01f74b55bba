"""The tensors of a weights file of another library; nothing in it is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from mdpseg import torch_file, weights
from mdpseg.errors import UserError

_DEEPEST = 8  # dicts within dicts
_MOST_TENSORS = 20_000
# Where libraries keep the network inside a checkpoint; DINO's teacher is what it is meant to be used for.
_INSIDE = ("state_dict", "teacher", "model", "student", "module", "backbone")


def is_foreign(path: Path) -> bool:
    """Whether a file is a torch file, or safetensors that mdpseg did not write."""
    if not path.is_file():
        return False
    start = weights.first_bytes(path)
    if start.startswith((torch_file.ZIP, b"\x80")) and start[8:] != b"{":
        return True
    try:
        weights.check_header(path)
        with safe_open(path, "pt") as opened:
            return (opened.metadata() or {}).get("format") != weights.FORMAT
    except (SafetensorError, UserError):
        return False  # weights.load says what is wrong


def tensors(path: Path) -> dict[str, Tensor]:
    """Names and tensors of the network in a file.

    Raises:
        UserError: it cannot be read without running code, is damaged, or holds no named tensors.
    """
    start = weights.first_bytes(path)
    is_zip = start.startswith(torch_file.ZIP)
    if not is_zip and start[8:] != b"{":
        raise UserError(
            f"{path} is in torch's old format, whose sizes cannot be checked before it is read; if you trust it, write "
            f"it anew: torch.save(torch.load({path.name!r}, weights_only=True), 'new.pth')."
        )
    content = _torch_content(path) if is_zip else load_file(path)
    found = {name: value for name, value in _network_in(content).items() if isinstance(value, Tensor)}
    if not found:
        raise UserError(f"{path} holds no named tensors; expected the state dict of an encoder.")
    if len(found) > _MOST_TENSORS:
        raise UserError(f"{path} holds {len(found)} tensors; an encoder has at most some thousands.")
    for name, value in found.items():
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            raise UserError(f"{path} holds {name:.80} sparse, quantised or without values; write it as a plain tensor.")
    return found


def _torch_content(path: Path) -> Any:
    try:
        return torch_file.read(path)
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path} cannot be read without running code in it ({error}); expected tensors, numbers and names only. "
            "If you trust it, open it where it was made, and save its state dict alone with torch.save."
        ) from error


def _network_in(content: Any) -> Mapping[str, Any]:
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in _INSIDE if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return {name: value for name, value in content.items() if isinstance(name, str)}
        content = inner
    return {}
