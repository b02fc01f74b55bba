"""Puts another library's weights into the encoder of a network, and says what fitted."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from mdpseg import encoders
from mdpseg.errors import UserError
from mdpseg.foreign.names import dialects, in_timm_names
from mdpseg.foreign.read import tensors
from mdpseg.network import SegmentationNetwork

ENOUGH = 0.9  # of the encoder's tensors


@dataclass(frozen=True)
class Fit:
    """What a file had for an encoder.

    Attributes:
        total: how many tensors the encoder has; counters of batches are no weights, and not counted.
        loaded: the encoder's names that are found in the file, with the tensors.
        missing: those that are not.
        other_shape: those that are, in another shape, which is said too.
        unused: the file's names that the encoder has no place for.
        dialect: whose names the file has.
    """

    total: int
    loaded: dict[str, Tensor]
    missing: list[str]
    other_shape: list[str]
    unused: list[str]
    dialect: str

    def report(self) -> str:
        """Counts, and the first names of each sort."""
        parts = [f"{len(self.loaded)} of the encoder's {self.total} tensors loaded, by {self.dialect} names"]
        for what, names in (
            ("not in the file", self.missing),
            ("of another shape", self.other_shape),
            ("in the file without a place", self.unused),
        ):
            if names:
                parts.append(f"{len(names)} {what} ({_first(names)})")
        return "; ".join(parts)


def load_encoder(network: SegmentationNetwork, path: Path, allow_partial: bool = False) -> str:
    """Fills the encoder from a file of timm, torchvision, lightly-train, MMSegmentation, DINO or DINOv2.

    Args:
        network: its decoder stays as it is.
        path: safetensors, or a torch file of tensors, numbers and names.
        allow_partial: take what there is, however little.

    Returns:
        One line: what was loaded, what not.

    Raises:
        UserError: the file cannot be read, holds less than 90 % of the encoder's tensors, or not its first layer.
    """
    name, model = network.config.encoder.removeprefix("tu-"), network.encoder.model
    found = fit(tensors(path), name, model.state_dict())
    refusal = _refusal(found, model)
    if refusal and not (allow_partial and found.loaded):
        raise UserError(
            f"{path} does not fit encoder {name}: {refusal}. {found.report()}. Set network.encoder to the file's "
            f"architecture{', or init_allow_partial=true to start from what there is' if found.loaded else ''}."
        )
    _refuse_other_numbers(found.loaded, model.state_dict(), path)
    model.load_state_dict(found.loaded, strict=False)
    return f"encoder from {path}: {found.report()}"


def _refuse_other_numbers(loaded: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    """What torch would turn into weights in silence, or not at all."""
    for name, tensor in loaded.items():
        if wanted[name].is_floating_point() and not _finite(tensor):
            raise UserError(
                f"{path} holds {name} as {str(tensor.dtype).removeprefix('torch.')}, or with values that are not "
                "finite; expected finite floating-point numbers of 8 bits or more."
            )


def _finite(tensor: Tensor) -> bool:
    try:
        return tensor.is_floating_point() and bool(tensor.float().isfinite().all())
    except NotImplementedError:  # of packed numbers (4 bits, two in a byte); torch has no list of what it converts
        return False


def fit(given: Mapping[str, Tensor], encoder: str, wanted: Mapping[str, Tensor]) -> Fit:
    """Finds the tensors ``wanted`` by a timm encoder among those ``given`` under anyone's names."""
    with torch.device("meta"):  # names and shapes alone
        whole = timm.create_model(encoder, **encoders.traits(encoder).options)
    prefix, dialect = _best_reading(given, whole.state_dict().keys())
    renamed = {
        in_timm_names(name.removeprefix(prefix), dialect): tensor
        for name, tensor in given.items()
        if name.startswith(prefix)
    }
    places = {_as_in(wanted, name): tensor for name, tensor in _filtered(renamed, whole).items()}
    counted = {name: tensor for name, tensor in wanted.items() if not name.endswith("num_batches_tracked")}
    loaded, missing, other_shape = {}, [], []
    for name, tensor in counted.items():
        if name not in places:
            missing.append(name)
        elif _bare(places[name]) != _bare(tensor):
            other_shape.append(f"{name}: {list(places[name].shape)} instead of {list(tensor.shape)}")
        else:
            loaded[name] = places[name].reshape(tensor.shape)
    unused = [name for name in places if name not in wanted and not name.endswith("num_batches_tracked")]
    unused += [name for name in given if not name.startswith(prefix)]
    return Fit(len(counted), loaded, missing, other_shape, unused, dialect)


def _refusal(found: Fit, model: nn.Module) -> str:
    """Why the file is not taken; empty where it is."""
    if "conv1.0.weight" in found.unused and "conv1.weight" in found.missing:
        return "its stem has three convolutions (MMSegmentation's ResNetV1c), as timm's resnet50c and the like have"
    if len(found.loaded) < ENOUGH * found.total:
        return f"less than {ENOUGH:.0%} of it is there"
    first = next((name for name, tensor in model.state_dict().items() if tensor.ndim == 4), "")
    if first and first not in found.loaded:
        return f"its first layer, {first}, is not there, without which the others mean nothing"
    return ""


def _best_reading(given: Iterable[str], known: Iterable[str]) -> tuple[str, str]:
    """The prefix and the dialect under which most of the names are known ones."""
    known, names = set(known), list(given)
    prefixes = {"": None}
    for name in names:
        parts = name.split(".")
        prefixes |= {".".join(parts[:depth]) + ".": None for depth in range(1, min(4, len(parts)))}

    def known_names(reading: tuple[str, str]) -> int:
        prefix, dialect = reading
        inside = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
        return sum(in_timm_names(name, dialect) in known for name in inside)

    return max(((prefix, dialect) for prefix in prefixes for dialect in dialects()), key=known_names)


def _filtered(state: dict[str, Tensor], whole: nn.Module) -> dict[str, Tensor]:
    """What timm itself makes of a checkpoint of its architecture's authors; resamples position embeddings."""
    own = getattr(sys.modules[type(whole).__module__], "checkpoint_filter_fn", None)
    if own is None:
        return state
    try:
        filtered: dict[str, Tensor] = own(dict(state), whole)
    except (KeyError, AttributeError, RuntimeError, ValueError, IndexError):  # another architecture's tensors
        return state
    return filtered


def _as_in(wanted: Mapping[str, Tensor], name: str) -> str:
    """The name in timm's feature extractor of a tensor of the whole model."""
    flat = name.replace(".", "_", 1)  # it takes the stages out of their list
    return next((place for place in (name, flat, f"model.{name}") if place in wanted), name)


def _bare(tensor: Tensor) -> list[int]:
    """The shape without sides of one: torchvision keeps a scale of channels as [C, 1, 1]."""
    return [side for side in tensor.shape if side != 1] or [math.prod(tensor.shape)]


def _first(names: list[str]) -> str:
    return ", ".join(f"{name:.80}" for name in names[:3]) + (", ..." if len(names) > 3 else "")
