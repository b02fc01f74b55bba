"""A ResNet for torchvision, without its classifier."""

from __future__ import annotations

from pathlib import Path

from mdpseg import torch_file
from mdpseg.export.resnet import PLAIN, plain_state
from mdpseg.export.source import Source


def write(source: Source, path: Path, part: str) -> str:
    """Writes the encoder; returns the code that loads it.

    Raises:
        UserError: torchvision has no such network, or does not dilate it.
    """
    state = plain_state(source, "torchvision", PLAIN)
    torch_file.write(path, state)
    name = source.encoder.split(".")[0]
    dilated = {
        8: "replace_stride_with_dilation=[False, True, True]",
        16: "replace_stride_with_dilation=[False, False, True]",
    }
    argument = dilated.get(source.stride, "")
    warning = (
        f"# WARNING: {source.network.config.decoder} had its last stages dilated. The file's names and shapes do not "
        f"say so:\n# wherever else it is loaded, pass {argument} there too, or the maps are others\n"
        if argument
        else ""
    )
    return f"""import torch, torchvision

{warning}model = torchvision.models.{name}({argument})
model.fc = torch.nn.Identity()  # the file has no classifier
model.load_state_dict(torch.load({str(path)!r}, weights_only=True))
# its input: pixels from 0 to 1, minus {source.pixels()["mean"]}, divided by {source.pixels()["std"]}"""
