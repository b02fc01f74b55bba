"""How other libraries name the tensors of networks that timm has too."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A dialect: patterns, and what timm says instead. Each name is rewritten by the first pattern that fits all of it.
_DIALECTS: Mapping[str, list[tuple[str, str]]] = {
    "timm's": [],  # also torchvision's ResNets, MMSegmentation's, and Facebook's ViTs
    "torchvision's ViT": [
        (r"class_token", "cls_token"),
        (r"conv_proj\.(.*)", r"patch_embed.proj.\1"),
        (r"encoder\.pos_embedding", "pos_embed"),
        (r"encoder\.layers\.encoder_layer_(\d+)\.ln_(\d)\.(.*)", r"blocks.\1.norm\2.\3"),
        (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_(.*)", r"blocks.\1.attn.qkv.\2"),
        (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.(.*)", r"blocks.\1.attn.proj.\2"),
        (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\.(.*)", r"blocks.\1.mlp.fc1.\2"),
        (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\.(.*)", r"blocks.\1.mlp.fc2.\2"),
        (r"encoder\.ln\.(.*)", r"norm.\1"),
        (r"heads\.head\.(.*)", r"head.\1"),
    ],
    "torchvision's ConvNeXt": [
        (r"features\.0\.(.*)", r"stem.\1"),
        (r"features\.([1357])\.(\d+)\.block\.0\.(.*)", r"stages.{half}.blocks.\2.conv_dw.\3"),
        (r"features\.([1357])\.(\d+)\.block\.2\.(.*)", r"stages.{half}.blocks.\2.norm.\3"),
        (r"features\.([1357])\.(\d+)\.block\.3\.(.*)", r"stages.{half}.blocks.\2.mlp.fc1.\3"),
        (r"features\.([1357])\.(\d+)\.block\.5\.(.*)", r"stages.{half}.blocks.\2.mlp.fc2.\3"),
        (r"features\.([1357])\.(\d+)\.layer_scale", r"stages.{half}.blocks.\2.gamma"),
        (r"features\.([246])\.(.*)", r"stages.{half}.downsample.\2"),
        (r"classifier\.0\.(.*)", r"head.norm.\1"),
        (r"classifier\.2\.(.*)", r"head.fc.\1"),
    ],
    "torchvision's Swin": [
        (r"features\.0\.0\.(.*)", r"patch_embed.proj.\1"),
        (r"features\.0\.2\.(.*)", r"patch_embed.norm.\1"),
        (r"features\.([1357])\.(\d+)\.mlp\.0\.(.*)", r"layers.{half}.blocks.\2.mlp.fc1.\3"),
        (r"features\.([1357])\.(\d+)\.mlp\.3\.(.*)", r"layers.{half}.blocks.\2.mlp.fc2.\3"),
        (r"features\.([1357])\.(\d+)\.(.*)", r"layers.{half}.blocks.\2.\3"),
        (r"features\.([246])\.(.*)", r"layers.{half}.downsample.\2"),
        (r"head\.(.*)", r"head.fc.\1"),
    ],
    "MMSegmentation's ResNetV1c": [
        (r"stem\.7\.(.*)", r"bn1.\1"),
        (r"stem\.(\d\..*)", r"conv1.\1"),
    ],
    "DINOv2's chunked ViT": [(r"blocks\.\d+\.(\d+\..*)", r"blocks.\1")],
}


def dialects() -> list[str]:
    """Whose names are understood, timm's first."""
    return list(_DIALECTS)


def in_timm_names(name: str, dialect: str) -> str:
    """What timm calls the tensor ``name`` of a dialect; the name itself where the dialect says nothing of it."""
    for pattern, replacement in _DIALECTS[dialect]:
        match = re.fullmatch(pattern, name)
        if match:
            # torchvision counts stages and the downsamplings between them in one row: 1, 2 -> stage 0, before stage 1
            half = str(int(match[1]) // 2) if "{half}" in replacement else ""
            return match.expand(replacement.replace("{half}", half))
    return name
