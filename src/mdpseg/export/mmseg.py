"""A ResNet for MMSegmentation: ``ResNet``, or ``ResNetV1c`` for those whose stem has three convolutions."""

from __future__ import annotations

import re
from pathlib import Path

from mdpseg import torch_file
from mdpseg.export.resnet import DEEP_STEM, PLAIN, plain_state
from mdpseg.export.source import Source

# MMSegmentation has no option for the widths of the others
_TAKEN = (*(name for name in PLAIN if name.startswith("resnet")), *DEEP_STEM)


def write(source: Source, path: Path, part: str) -> str:
    """Writes the encoder; returns the setting of a config that loads it.

    Raises:
        UserError: MMSegmentation has no such network, or dilates it otherwise.
    """
    state = plain_state(source, "mmseg", _TAKEN)
    name = source.encoder.split(".")[0]
    deep = name in DEEP_STEM
    content = {
        "meta": {"made_by": "mdpseg", **source.pixels()},
        "state_dict": {f"backbone.{_mm_name(key, deep)}": tensor for key, tensor in state.items()},
    }
    torch_file.write(path, content)
    mean, std = ([round(255 * value, 3) for value in source.pixels()[key]] for key in ("mean", "std"))
    strides, dilations = {
        8: ((1, 2, 1, 1), (1, 1, 2, 4)),
        16: ((1, 2, 2, 1), (1, 1, 1, 2)),
        32: ((1, 2, 2, 2), (1, 1, 1, 1)),
    }[source.stride]
    return f"""data_preprocessor = dict(type="SegDataPreProcessor", mean={mean}, std={std}, bgr_to_rgb=True)
model = dict(
    pretrained=None,  # which a base config may name, and the backbone takes one start only
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type="{"ResNetV1c" if deep else "ResNet"}", depth={re.findall("[0-9]+", name)[0]}, style="pytorch",
        strides={strides}, dilations={dilations}, contract_dilation=True,
        init_cfg=dict(type="Pretrained", checkpoint={str(path)!r}, prefix="backbone."),
    ),
)"""


def _mm_name(name: str, deep: bool) -> str:
    if deep and name.startswith("conv1."):
        return name.replace("conv1.", "stem.", 1)
    return re.sub(r"^bn1\.", "stem.7.", name) if deep else name
