"""The ResNets that other libraries have too, by the names that they share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mdpseg.errors import UserError
from mdpseg.export.source import Source
from mdpseg.files import write_whole

# timm's names of the networks that torchvision has too
PLAIN = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
)
DEEP_STEM = ("resnet50c", "resnet101c", "resnet152c")  # MMSegmentation's ResNetV1c


def plain_state(source: Source, target: str, allowed: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of a whole ResNet without its classifier.

    Raises:
        UserError: the encoder is none, or the decoder uses its first stages alone, or dilates it.
    """
    name = source.encoder.split(".")[0]
    if name not in allowed:
        raise UserError(
            f"Encoder {source.encoder} has no counterpart in {target}; --to {target} takes {', '.join(allowed)}. "
            "--to timm, --to transformers and --to safetensors take any encoder."
        )
    state = source.encoder_state()
    if not any(tensor.startswith("layer4.") for tensor in state):
        raise UserError(
            f"Decoder {source.network.config.decoder} uses the first stages of {source.encoder} alone, so the rest of "
            f"what {target} needs was not trained; --to timm and --to safetensors take what there is."
        )
    return state


def write_torch(path: Path, content: Mapping[str, object]) -> None:
    """As ``torch.save``, which given a path takes no name without a suffix."""

    def save(temporary: Path) -> None:
        with temporary.open("wb") as file:
            torch.save(content, file)

    write_whole(path, save)
