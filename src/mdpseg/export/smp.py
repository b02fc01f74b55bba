"""The whole network for segmentation-models-pytorch."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from mdpseg.encoders import traits
from mdpseg.errors import UserError
from mdpseg.export.source import Source
from mdpseg.files import write_whole
from mdpseg.network import decoder_options


def write(source: Source, path: Path, part: str) -> str:
    """Writes the network; returns the code that loads it.

    Raises:
        UserError: the encoder is a plain ViT, for which segmentation-models-pytorch has no such pyramid.
    """
    found = traits(source.encoder)
    if found.blocks:
        raise UserError(
            f"segmentation-models-pytorch makes no pyramid of a plain ViT such as {source.encoder}; --to onnx and "
            "--to safetensors take the whole network, --to timm and --to transformers its encoder."
        )
    names = {"encoder.": "encoder.", "decoder.": "decoder."}
    if source.head == "classifier":
        names["head."] = "segmentation_head."
    state = {
        new + name.removeprefix(old): tensor
        for name, tensor in source.state().items()
        for old, new in names.items()
        if name.startswith(old)
    }
    write_whole(path, lambda temporary: save_file(state, temporary, source.metadata()))
    config, channels = source.network.config, source.network.feature_channels
    classes = len(source.classes) if source.head == "classifier" else 1
    options = {"classes": classes, **decoder_options(config), **found.options}
    arguments = ", ".join(f"{name}={value!r}" for name, value in options.items())
    made = (
        f"model = smp.create_model({config.decoder!r}, {'tu-' + source.encoder!r}, encoder_weights=None, {arguments})"
    )
    pixels = source.pixels()
    sides = f"{found.fixed} x {found.fixed} pixels" if found.fixed else "sides multiples of 32"
    last = f"# its input: pixels from 0 to 1, minus {pixels['mean']}, divided by {pixels['std']}; {sides}"
    if source.head != "classifier":
        return f"""import segmentation_models_pytorch as smp
from safetensors.torch import load_file

{made}
missing, unexpected = model.load_state_dict(load_file({str(path)!r}), strict=False)
assert not unexpected and all(name.startswith("segmentation_head.") for name in missing)  # the file has no classifier
{last}"""
    return f"""import segmentation_models_pytorch as smp
from safetensors.torch import load_file
from timm.layers import LayerNorm2d
from torch import nn

{made}
model.segmentation_head = nn.Sequential(  # a norm before the linear map: smp's own head has none
    LayerNorm2d({channels}, affine=False),
    nn.Conv2d({channels}, {classes}, 1),
    nn.Upsample(scale_factor={_stride(source)}, mode="bilinear"),
)
model.load_state_dict(load_file({str(path)!r}))
model.eval()
{last}"""


def _stride(source: Source) -> int:
    """How much larger the images are than the logits."""
    import torch

    side = source.network.least_side or 128
    with torch.no_grad():
        return int(side // source.network(torch.zeros(1, 3, side, side)).shape[-1])
