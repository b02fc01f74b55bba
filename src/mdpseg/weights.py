"""Weights of a network in one safetensors file, with all that is needed to rebuild it in the file's metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError
from mdpseg.files import write_whole
from mdpseg.history import History
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork

FORMAT = "mdpseg-1"
EXPECTED = "expected the weights.safetensors of a run"
_STORED_AS = {torch.float32: ("F32", "F64", "F16", "BF16"), torch.int64: ("I64",), torch.bool: ("BOOL",)}
_PROTOTYPES = {
    "vectors": torch.float32,
    "present": torch.bool,
    "sums": torch.float32,
    "examples": torch.int64,
    "offsets": torch.float32,
}
_ADDED = {"sums", "examples", "offsets"}
LARGEST_HEADER = 2**22  # bytes: some ten thousand tensors


@dataclass(frozen=True)
class Weights:
    """What a weights file holds.

    Attributes:
        network: which architecture.
        state: names and tensors of a :class:`SegmentationNetwork`.
        label_space: the classes that it was trained on.
        head: ``projection``, ``classifier``, or what else the head is.
        prototypes: float32 [K, D] unit vectors of the classes, where it has any.
        present: bool [K], which prototypes are real.
        added: of classes added from examples ``sums`` float32 [K, D], ``examples`` int64 [K] and ``offsets`` float32
            [K], see :class:`mdpseg.prototypes.Prototypes`; empty where none was added.
        temperature: tau, which the cosines with prototypes are divided by.
        history: what they were learned from; None in files of version 0.1, which do not tell.
    """

    network: NetworkConfig
    state: dict[str, Tensor]
    label_space: LabelSpace
    head: str
    prototypes: Tensor | None = None
    present: Tensor | None = None
    added: Mapping[str, Tensor] = field(default_factory=dict)
    temperature: float | None = None
    history: History | None = None

    def build(self) -> SegmentationNetwork:
        """The network with these weights and head, in evaluation mode."""
        network = SegmentationNetwork(self.network)
        if self.head == "projection":
            network.set_projection()
        else:
            network.set_classifier(len(self.state["head.1.weight"]))
        network.load_state_dict(self.state)
        return network.eval()


def save(path: str | Path, weights: Weights) -> None:
    """Writes ``weights`` as safetensors; the file appears whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.state.items()}
    if weights.prototypes is not None and weights.present is not None:
        tensors["prototypes.vectors"] = weights.prototypes.detach().cpu().contiguous()
        tensors["prototypes.present"] = weights.present.cpu()
    tensors |= {f"prototypes.{name}": tensor.cpu().contiguous() for name, tensor in weights.added.items()}
    metadata = {
        "format": FORMAT,
        "network": json.dumps(weights.network.model_dump()),
        "label_space": weights.label_space.to_json(),
        "head": weights.head,
    }
    if weights.temperature is not None:
        metadata["temperature"] = json.dumps(weights.temperature)
    if weights.history is not None:
        metadata["history"] = weights.history.model_dump_json()
    write_whole(Path(path), lambda temporary: save_file(tensors, temporary, metadata))


def load(path: str | Path, *, expected: str = EXPECTED) -> Weights:
    """Reads a weights file. What its header claims is checked before any of it is allocated; nothing in it is run.

    Args:
        path: the file, or the folder of a finished run.
        expected: what may stand there, for the messages that it is not there, or no safetensors file.

    Raises:
        UserError: there is no such file, it is not a weights file of mdpseg, or its tensors do not fit its network.
    """
    path = file_of(path)
    if not path.is_file():
        raise UserError(f"No weights file at {path}; {expected}.")
    check_header(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise UserError(f"{path} was not written by mdpseg ({FORMAT}); {EXPECTED}.")
            network, label_space, head, temperature, history = _read_metadata(path, metadata)
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            found = {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
            _check_tensors(path, found, _expected_at(path, network, label_space.num_classes, head, found))
            tensors = {name: file.get_tensor(name) for name in found}
    except SafetensorError as error:
        raise UserError(f"{path} is not a safetensors file ({error}); {expected}.") from None
    parts = {name: tensors.pop(f"prototypes.{name}") for name in _PROTOTYPES if f"prototypes.{name}" in tensors}
    prototypes, present = parts.pop("vectors", None), parts.pop("present", None)
    return Weights(network, tensors, label_space, head, prototypes, present, parts, temperature, history)


def file_of(path: str | Path) -> Path:
    """The weights file of a run's folder; any other path as it is."""
    path = Path(path)
    return path / "weights.safetensors" if path.is_dir() else path


def first_bytes(path: Path) -> bytes:
    """Nine of them: safetensors begins with 8 of its header's length, then a brace.

    Raises:
        UserError: the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None


def check_header(path: Path) -> None:
    """Refuses other files and absurd headers by their first bytes."""
    start = first_bytes(path)
    if start[8:] != b"{" and start.startswith((b"PK\3\4", b"\x80")):
        raise UserError(
            f"{path} is a pickle, which could run code once it is opened, so it is not; only safetensors is read, "
            f"{EXPECTED}."
        )
    length = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and length > LARGEST_HEADER:
        raise UserError(f"{path} claims a header of {length} bytes, and at most {LARGEST_HEADER} are read; {EXPECTED}.")


def _read_metadata(
    path: Path, metadata: Mapping[str, str]
) -> tuple[NetworkConfig, LabelSpace, str, float | None, History | None]:
    try:
        network = NetworkConfig.model_validate_json(metadata["network"])
        label_space = LabelSpace.from_json(metadata["label_space"])
        temperature = _read_temperature(metadata["temperature"]) if "temperature" in metadata else None
        history = History.model_validate_json(metadata["history"]) if "history" in metadata else None
        return network, label_space, metadata["head"], temperature, history
    except RecursionError:
        raise UserError(f"{path} has damaged metadata: they are nested too deeply; {EXPECTED}.") from None
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{' '.join(str(error).split()):.300}"
        raise UserError(f"{path} has damaged metadata: {reason}; {EXPECTED}.") from None


def _read_temperature(text: str) -> float:
    temperature = float(json.loads(text))
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {text:.60}; expected a number above 0")
    return temperature


def _expected_at(
    path: Path, network: NetworkConfig, num_classes: int, head: str, names: Container[str]
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    try:
        return expected_tensors(network, num_classes, head, names)
    except UserError as error:
        raise UserError(f"{path} names a network that cannot be made: {error}") from None


def expected_tensors(
    config: NetworkConfig, num_classes: int, head: str, names: Container[str] = ()
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Names, shapes and dtypes of a network's tensors; nothing is allocated, however large it is.

    Args:
        config: which network.
        num_classes: rows of the classifier, or number of prototypes.
        head: ``projection`` or ``classifier``.
        names: if prototypes are among them, prototypes are expected.
    """
    with torch.device("meta"):
        network = SegmentationNetwork(config)
        if head == "projection":
            network.set_projection()
        else:
            network.set_classifier(num_classes)
    expected = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in network.state_dict().items()}
    there = {name for name in _PROTOTYPES if f"prototypes.{name}" in names}
    wanted = {"vectors", "present"} if there else set()
    if there & _ADDED:
        wanted |= _ADDED
    for name in wanted:
        shape = (num_classes, network.embedding_dim) if name in ("vectors", "sums") else (num_classes,)
        expected[f"prototypes.{name}"] = shape, _PROTOTYPES[name]
    return expected


def _check_tensors(
    path: Path,
    found: Mapping[str, tuple[tuple[int, ...], str]],
    expected: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
) -> None:
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name:.60} has no place in its network" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        (shape, kind), (wanted, dtype) = found[name], expected[name]
        if shape != wanted:
            faults.append(f"{name} has shape {list(shape)} instead of {list(wanted)}")
        elif kind not in _STORED_AS.get(dtype, ()):
            faults.append(f"{name} is stored as {kind} instead of {dtype}")
    if faults:
        more = f" (and {len(faults) - 1} more)" if faults[1:] else ""
        raise UserError(f"{path} does not hold the weights of its own network: {min(faults)}{more}; {EXPECTED}.")
