import importlib
import sys
from functools import partial
from importlib.util import find_spec
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

from mdpseg import weights
from mdpseg.config import NetworkConfig
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork

CLASSES = ["road", "tree", "sky"]


def normalised(network, images):
    return (images / 255 - network.mean) / network.std


def images(*size):
    return 255 * torch.rand(size, generator=torch.Generator().manual_seed(0))


def store(path, encoder, decoder="fpn", head="classifier", **more):
    """Writes a network with weights that are not the first ones; returns its file and itself."""
    torch.manual_seed(0)
    if decoder not in ("unet", "unetplusplus", "linknet"):  # these have several widths
        more = {"decoder_channels": 32, **more}
    network = SegmentationNetwork(NetworkConfig(encoder=encoder, decoder=decoder, embedding_dim=16, **more))
    if head == "classifier":
        network.set_classifier(len(CLASSES))
    else:
        network.set_projection()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)  # 0 at the end of timm's ResNet blocks: unseen if wrong
            nn.init.normal_(module.bias, std=0.1)
    for name, parameter in network.named_parameters():
        if name.endswith(".gamma"):  # 1e-6 in ConvNeXt's blocks: unseen if wrong
            nn.init.uniform_(parameter, 0.1, 0.5)
    path.parent.mkdir()
    space = LabelSpace.concatenate({"street": CLASSES})
    weights.save(path, weights.Weights(network.config, network.state_dict(), space, head))
    return path, network.eval()


@pytest.fixture
def stored(tmp_path):
    return partial(store, tmp_path / "run" / "weights.safetensors")


def registry_of_mmseg():
    """MMSegmentation's models; None where it is not importable."""
    if find_spec("mmseg") is None or find_spec("mmcv") is None:
        return None
    try:
        importlib.import_module("mmcv.ops")
    except ImportError:  # mmcv-lite: without compiled operators, of which the ResNets use none
        sys.modules["mmcv.ops"] = MagicMock()
    importlib.import_module("mmseg.models")
    return importlib.import_module("mmseg.registry").MODELS


@pytest.fixture
def mmseg_models():
    found = registry_of_mmseg()
    if found is None:
        pytest.skip("mmseg is not importable; docs/export.md says how to install it")
    return found
