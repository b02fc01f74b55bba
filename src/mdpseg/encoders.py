"""Timm encoders at any input size: those with a pyramid of maps as they are, plain ViTs with one made of them."""

from __future__ import annotations

import difflib
import inspect
import traceback
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdpseg.errors import UserError


class TokenPyramid(nn.Module):
    """A plain vision transformer whose token maps are resized to the strides that decoders expect.

    The maps of blocks at even distances become the maps of strides 4, 8, 16 and 32, so every decoder goes with it. It
    has no parameters of its own. Sides that the patches do not divide are padded with zeros, the mean pixel, and the
    maps are cut back, so a map's cell lies where its pixels are.

    Args:
        name: a timm model whose blocks all have one stride.
        depth: the last map has stride 2 ** depth.
        output_stride: no map has a larger one.

    Shape: [B, 3, H, W], H and W multiples of 32 -> the images; [B, 0, H/2, W/2]; and [B, C, H/4, W/4] and so on.
    """

    def __init__(self, name: str, depth: int = 5, output_stride: int = 32) -> None:
        super().__init__()
        found, maps = traits(name), depth - 1
        indices = [found.blocks * (number + 1) // maps - 1 for number in range(maps)]
        self.model = timm.create_model(name, features_only=True, out_indices=indices, **found.options)
        self.patch = found.patch
        self.strides = [min(2**level, output_stride) for level in range(2, depth + 1)]
        self.out_channels = [3, 0, *self.model.feature_info.channels()]
        self.output_stride = self.strides[-1]

    def set_in_channels(self, in_channels: int, pretrained: bool) -> None:
        """Asked for by segmentation-models-pytorch; images have three channels."""

    def make_dilated(self, output_stride: int) -> None:
        """Asked for by segmentation-models-pytorch; the maps have that stride already."""

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps, from the images themselves to the last stride."""
        batch, _, height, width = images.shape
        padded = F.pad(images, (0, -width % self.patch, 0, -height % self.patch))
        maps = [images, images.new_empty(batch, 0, height // 2, width // 2)]
        for stride, found in zip(self.strides, self.model(padded), strict=True):
            # without a norm, the scale of a residual stream differs between blocks by orders of magnitude
            tokens = F.layer_norm(found.permute(0, 2, 3, 1), found.shape[1:2]).permute(0, 3, 1, 2)
            resized = F.interpolate(tokens, scale_factor=self.patch / stride, mode="bilinear", align_corners=False)
            maps.append(resized[..., : height // stride, : width // stride])
        return maps


@dataclass(frozen=True)
class Traits:
    """What a timm model is like, as far as decoders mind.

    Attributes:
        blocks: how many blocks a plain ViT has, all of one stride; 0: it has a pyramid of maps of its own.
        patch: the side of a plain ViT's patches in pixels.
        options: what timm wants to be told so that it takes any input size.
        fixed: the side of the only input that it is made for in pixels; 0: it takes any, or may do so.
    """

    blocks: int
    patch: int
    options: dict[str, Any]
    fixed: int


def check_known(encoder: str) -> None:
    """Complains about a name that timm does not know.

    Args:
        encoder: the name; ``tu-`` in front is no part of it, a tag behind it (``.a1_in1k``) must be one of timm's.

    Raises:
        UserError: timm has no such model, or no such tag of it, or has given the name up; names the nearest ones.
    """
    name = encoder.removeprefix("tu-")
    if timm.is_model(name) and _has_settings(name):
        return
    bare = name.split(".")[0].lower()
    models = timm.list_models()
    family = sorted((model for model in models if bare and bare in model), key=lambda model: not model.startswith(bare))
    near = difflib.get_close_matches(bare, models, n=3) or family[:3]
    if timm.is_model(name) and bare in models:  # so it is the tag
        near = [bare, *difflib.get_close_matches(name, timm.list_pretrained(bare), n=2)]
    hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() has all."
    raise UserError(f"timm has no encoder {name!r}; {hint}")


def _has_settings(name: str) -> bool:
    """Whether timm says how a model's pixels are normalised: of no tag that it lacks, and of no name of long ago."""
    try:
        return timm.get_pretrained_cfg(name) is not None
    except RuntimeError:
        return False


@cache
def traits(encoder: str) -> Traits:
    """Looks at a timm model, without memory for its weights."""
    with torch.device("meta"):
        model = timm.create_model(encoder)
    settings = inspect.signature(type(model).__init__).parameters
    options = {}
    if "dynamic_img_size" in settings:
        options["dynamic_img_size"] = True
    elif "strict_img_size" in settings:
        options["strict_img_size"] = False
    info = getattr(model, "feature_info", None)
    strides = [part["reduction"] for part in info] if isinstance(info, list) else []
    plain = len(strides) > 1 and len(set(strides)) == 1 and bool(options)
    fixed = 0 if options or not model.pretrained_cfg.get("fixed_input_size") else model.pretrained_cfg["input_size"][-1]
    return Traits(len(strides) if plain else 0, int(strides[0]) if plain else 0, options, fixed)


_UNDILATED = "it cannot be dilated; choose fpn, upernet, segformer or unet"


def create_model(decoder: str, encoder: str, options: dict[str, Any]) -> Any:
    """The segmentation-models-pytorch model of a decoder over a timm encoder with random weights.

    Raises:
        ValueError, TypeError, KeyError, RuntimeError, AttributeError, AssertionError: they do not go together.
    """
    name, found = f"tu-{encoder}", traits(encoder)
    if found.blocks:
        name = f"tokens-{encoder}"
        smp.encoders.encoders[name] = {"encoder": TokenPyramid, "params": {"name": encoder}, "pretrained_settings": {}}
    else:
        options = options | found.options
    try:
        model = smp.create_model(decoder, name, encoder_weights=None, **options)
    except (TypeError, AssertionError) as error:
        # a keyword that the encoder does not know, or an assertion, which may have no text but its line
        if "output_stride" not in (str(error) or traceback.extract_tb(error.__traceback__)[-1].line or ""):
            raise
        raise ValueError(_UNDILATED) from error
    # timm up to 1.0.30 builds a Swin that does not hear of an output stride
    if not found.blocks and model.encoder.model.feature_info.reduction()[-1] > model.encoder.output_stride:
        raise ValueError(_UNDILATED)
    if decoder == "fpn":
        model.decoder.merge = _Sum()
    return model


class _Sum(nn.Module):
    """The sum of maps [B, C, h, w], as they are stored; the library stacks them first, which forgets channels last."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        # without gradients into the first map, which nothing else needs: new memory costs more than the sum
        return reduce(torch.add if torch.is_grad_enabled() else Tensor.add_, maps)
