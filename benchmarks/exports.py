"""How far a network is from itself after `mdpseg export`, loaded by the library that it went to.

    OMP_NUM_THREADS=1 python benchmarks/exports.py

Networks with random weights (seed 0), random images; what an export prints is what loads it. Prints a Markdown table.
"""

import logging
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
import torchvision
from torchvision.models._utils import IntermediateLayerGetter

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.export.conftest import images, normalised, store

from mdpseg.errors import UserError
from mdpseg.export import export

SIZES = ((2, 3, 96, 64), (1, 3, 128, 160))
ANY_SIZES = (*SIZES, (3, 3, 75, 130))
STAGES = {f"layer{number}": str(number) for number in (1, 2, 3, 4)}
ENCODERS = (
    ("resnet18", "fpn"),
    ("resnet18", "deeplabv3"),  # dilated
    ("convnext_atto", "upernet"),
    ("tf_efficientnet_lite0", "fpn"),
)
CASES = {
    ("timm", "encoder"): ENCODERS,
    ("transformers", "encoder"): ENCODERS,
    ("torchvision", "encoder"): ENCODERS[:1],
    ("mmseg", "encoder"): ENCODERS[:1],
    ("smp", "network"): (*ENCODERS, ("tf_efficientnet_lite0", "unet")),
    ("onnx", "network"): (
        *ENCODERS,
        ("tf_efficientnet_lite0", "unet"),
        ("resnet18", "pspnet"),
    ),
    ("safetensors", "encoder"): ENCODERS[-1:],
    ("safetensors", "network"): ENCODERS[-1:],
}
COMPARED = {
    "timm": "every map",
    "transformers": "every map",
    "torchvision": "maps of stages 1 to 4",
    "mmseg": "maps of stages 1 to 4, a ResNet with its names",
    "smp": "logits",
    "onnx": "logits",
    "safetensors": "tensors",
}
LIBRARIES = ("torch", "timm", "transformers", "torchvision", "segmentation_models_pytorch", "onnxruntime")


def outputs(to, made, network, given, space):
    """What the library gives for images of 0 to 255, and what ours gives: two lists of tensors."""
    pixels = normalised(network, given)
    if to == "onnx":
        exec(made.how_to_load, inside := {"images": given.numpy()})
        return [torch.from_numpy(inside["logits"])], [network.logits(given)]
    if to == "smp":
        return [space["model"](pixels)], [network.logits(given)]
    maps = network.encoder.model(pixels)
    if to == "timm":
        return space["encoder"](pixels), maps
    if to == "transformers":
        exec(made.how_to_load, inside := {"pixel_values": pixels})
        return inside["maps"], maps
    return IntermediateLayerGetter(space["model"], STAGES)(pixels).values(), maps[1:]


def loaded(to, made):
    """The names that the printed code makes; {} where it wants the images as well."""
    space = {}
    if to == "mmseg":  # which does not install with current torch
        state = torch.load(made.path, weights_only=True)["state_dict"]
        space["model"] = torchvision.models.resnet18()
        space["model"].fc = torch.nn.Identity()
        space["model"].load_state_dict({name.removeprefix("backbone."): tensor for name, tensor in state.items()})
    elif to not in ("onnx", "transformers"):
        exec(made.how_to_load, space)
    if "model" in space:
        space["model"].eval()
    return space


@torch.no_grad()
def differences(to, part, encoder, decoder, folder):
    """The largest difference and the largest output, over all images."""
    path, network = store(folder / "run" / "weights.safetensors", encoder, decoder)
    made = export(path, to, part)
    space = loaded(to, made)
    if to == "safetensors":
        expected = (network.encoder.model if part == "encoder" else network).state_dict()
        assert space["tensors"].keys() == expected.keys()
        pairs = [(tensor, expected[name]) for name, tensor in space["tensors"].items()]
    else:
        sizes = ANY_SIZES if to == "onnx" else SIZES
        pairs = [pair for size in sizes for pair in zip(*outputs(to, made, network, images(*size), space), strict=True)]
    return max(float((a - b).abs().max()) for a, b in pairs), max(float(b.abs().max()) for _, b in pairs)


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print("| target | part | encoder + decoder | compared with ours | max abs difference | largest output |")
    print("|---|---|---|---|---|---|")
    for (to, part), networks in CASES.items():
        for encoder, decoder in networks:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    difference, largest = differences(to, part, encoder, decoder, Path(folder))
                    figures = f"{difference:.1e} | {largest:.3g}" if difference else f"0 | {largest:.3g}"
                except UserError as error:
                    figures = f"refused: {error} | "
            print(f"| {to} | {part} | {encoder} + {decoder} | {COMPARED[to]} | {figures} |", flush=True)
    print("\n" + ", ".join(f"{name} {version(name)}" for name in LIBRARIES))


if __name__ == "__main__":
    main()
