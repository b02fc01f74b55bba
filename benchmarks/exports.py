"""How far a network is from itself after `mdpseg export`, loaded by the library that it went to.

    OMP_NUM_THREADS=1 python benchmarks/exports.py

Networks with random weights (seed 0), random images; what an export prints is what loads it. Prints a Markdown table.
MMSegmentation is measured where it is importable (docs/export.md says how). A second table tells whose rounding the
largest difference of ONNX is: torch's and onnxruntime's logits beside those of the same network in float64.
"""

import copy
import logging
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import onnxruntime
import torch
import torch.nn.functional as F
from torchvision.models._utils import IntermediateLayerGetter

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.export.conftest import images, normalised, registry_of_mmseg, store

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
RESNETS = (("resnet18", "fpn"), ("resnet50", "deeplabv3"))  # basic blocks, and dilated bottlenecks
CASES = {
    ("timm", "encoder"): ENCODERS,
    ("transformers", "encoder"): ENCODERS,
    ("torchvision", "encoder"): RESNETS,
    ("mmseg", "encoder"): RESNETS,
    ("smp", "network"): (*ENCODERS, ("tf_efficientnet_lite0", "unet")),
    ("onnx", "network"): (
        *ENCODERS,
        ("tf_efficientnet_lite0", "unet"),
        ("resnet18", "pspnet"),
    ),
    ("onnx", "network of a pretraining"): ENCODERS,
    ("onnx", "encoder"): ENCODERS,
    ("safetensors", "encoder"): ENCODERS[-1:],
    ("safetensors", "network"): ENCODERS[-1:],
}
COMPARED = {
    "timm": "every map",
    "transformers": "every map",
    "torchvision": "maps of stages 1 to 4",
    "mmseg": "maps of stages 1 to 4",
    "smp": "logits",
    "onnx": "logits",
    "safetensors": "tensors",
}
COMPARED_PARTS = {("onnx", "network of a pretraining"): "embeddings", ("onnx", "encoder"): "every map"}
LIBRARIES = ("torch", "timm", "transformers", "torchvision", "segmentation_models_pytorch", "onnxruntime")


def outputs(to, made, network, given, space):
    """What the library gives for images of 0 to 255, and what ours gives: two lists of tensors."""
    pixels = normalised(network, given)
    if to == "onnx":
        exec(made.how_to_load, inside := {"images": given.numpy()})
        if "maps" in inside:
            maps = network.encoder(normalised(network, network.pad(given)))[1:]
            return [torch.from_numpy(output) for output in inside["maps"]], [one for one in maps if one.shape[1]]
        if "embeddings" in inside:
            return [torch.from_numpy(inside["embeddings"])], [network(network.pad(given))]
        return [torch.from_numpy(inside["logits"])], [network.logits(given)]
    if to == "smp":
        return [space["model"](pixels)], [network.logits(given)]
    maps = network.encoder.model(pixels)
    if to == "timm":
        return space["encoder"](pixels), maps
    if to == "transformers":
        exec(made.how_to_load, inside := {"pixel_values": pixels})
        return inside["maps"], maps
    if to == "mmseg":
        return space["model"](pixels), maps[1:]
    return IntermediateLayerGetter(space["model"], STAGES)(pixels).values(), maps[1:]


def loaded(to, made):
    """The names that the printed code makes; {} where it wants the images as well."""
    space = {}
    if to == "mmseg":
        models = registry_of_mmseg()
        if models is None:
            raise UserError("mmseg is not importable")
        exec(made.how_to_load, setting := {})
        space["model"] = models.build(setting["model"]["backbone"])
        space["model"].init_weights()
    elif to not in ("onnx", "transformers"):
        exec(made.how_to_load, space)
    if "model" in space:
        space["model"].eval()
    return space


@torch.no_grad()
def differences(to, part, encoder, decoder, folder):
    """The largest difference and the largest output, over all images."""
    head = "projection" if "pretraining" in part else "classifier"
    path, network = store(folder / "run" / "weights.safetensors", encoder, decoder, head)
    made = export(path, to, part.split()[0])
    space = loaded(to, made)
    if to == "safetensors":
        expected = (network.encoder.model if part == "encoder" else network).state_dict()
        assert space["tensors"].keys() == expected.keys()
        pairs = [(tensor, expected[name]) for name, tensor in space["tensors"].items()]
    else:
        sizes = ANY_SIZES if to == "onnx" else SIZES
        pairs = [pair for size in sizes for pair in zip(*outputs(to, made, network, images(*size), space), strict=True)]
    return max(float((a - b).abs().max()) for a, b in pairs), max(float(b.abs().max()) for _, b in pairs)


def logits_in_float64(network, given):
    """As `network.logits`, whose first line casts to float32."""
    double = copy.deepcopy(network).double()
    padded = network.pad(given).double()
    logits = double.head(double.decoder(double.encoder((padded / 255 - double.mean) / double.std)))
    logits = F.interpolate(logits, padded.shape[-2:], mode="bilinear", align_corners=False)
    return logits[..., : given.shape[-2], : given.shape[-1]]


def onnx_logits(path, given, level):
    """One thread, and as much of onnxruntime's optimisation as `level` says."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.graph_optimization_level = 1, level
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"images": given.numpy()})[0])


@torch.no_grad()
def whose_rounding(encoder, decoder, folder):
    """Largest differences of logits over all images, by name."""
    path, network = store(folder / "run" / "weights.safetensors", encoder, decoder)
    made, levels = export(path, "onnx"), onnxruntime.GraphOptimizationLevel
    rows = {}
    for size in ANY_SIZES:
        given = images(*size)
        found = {"float64": logits_in_float64(network, given), "torch": network.logits(given)}
        with torch.backends.mkldnn.flags(enabled=False):
            found["torch without oneDNN"] = network.logits(given)
        found["onnxruntime"] = onnx_logits(made.path, given, levels.ORT_ENABLE_ALL)
        found["onnxruntime, no optimisation"] = onnx_logits(made.path, given, levels.ORT_DISABLE_ALL)
        for name, logits in found.items():
            distances = [float((logits - found[other]).abs().max()) for other in ("float64", "torch")]
            rows[name] = [max(pair) for pair in zip(rows.get(name, (0, 0)), distances, strict=True)]
    return rows


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
                    figures = f"not measured: {error} | "
            compared = COMPARED_PARTS.get((to, part), COMPARED[to])
            print(f"| {to} | {part} | {encoder} + {decoder} | {compared} | {figures} |", flush=True)
    print("\n| tf_efficientnet_lite0 + unet, logits by | from float64 | from torch |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, distances in whose_rounding("tf_efficientnet_lite0", "unet", Path(folder)).items():
            print(f"| {name} | " + " | ".join(f"{one:.1e}" if one else "0" for one in distances) + " |")
    print("\n" + ", ".join(f"{name} {version(name)}" for name in LIBRARIES))


if __name__ == "__main__":
    main()
