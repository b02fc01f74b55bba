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


@pytest.fixture
def stored(tmp_path):
    """Writes a network with weights that are not the first ones; returns its file and itself."""

    def write(encoder, decoder="fpn", head="classifier", **more):
        torch.manual_seed(0)
        network = SegmentationNetwork(NetworkConfig(encoder=encoder, decoder=decoder, embedding_dim=16, **more))
        if head == "classifier":
            network.set_classifier(len(CLASSES))
        else:
            network.set_projection()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
        path = tmp_path / "run" / "weights.safetensors"
        path.parent.mkdir()
        space = LabelSpace.concatenate({"street": CLASSES})
        weights.save(path, weights.Weights(network.config, network.state_dict(), space, head))
        return path, network.eval()

    return write
