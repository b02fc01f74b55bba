"""The ResNets that other libraries have too, by the names that they share."""

from __future__ import annotations

from torch import Tensor

from mdpseg.errors import UserError
from mdpseg.export.source import Source

# timm's names of the networks that torchvision has too
PLAIN = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
)
DEEP_STEM = ("resnet50c", "resnet101c", "resnet152c")  # MMSegmentation's ResNetV1c
# Of basic blocks, which the others do not dilate as timm does: torchvision not at all, MMSegmentation the first
# convolution of the two alone. Bottlenecks have one to dilate, and all do.
_BASIC = ("resnet18", "resnet34")


def plain_state(source: Source, target: str, allowed: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of a whole ResNet without its classifier.

    Raises:
        UserError: the encoder is none, or the decoder uses its first stages alone, or dilates what ``target`` cannot.
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
    if name in _BASIC and source.stride < 32:
        raise UserError(
            f"Decoder {source.network.config.decoder} has {source.encoder} dilated (stride {source.stride}), and "
            f"{target} does not dilate the blocks of ResNet-18 and -34 so: its maps would be others. --to timm, --to "
            "transformers, --to smp, --to onnx and --to safetensors keep the dilation; or train with a decoder that "
            "does not dilate, such as fpn, or with resnet50."
        )
    return state
