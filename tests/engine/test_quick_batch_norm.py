import copy

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d
from torch import nn

from mdpseg.config import EvalConfig, NetworkConfig
from mdpseg.engine.inference import class_scores
from mdpseg.engine.quick_batch_norm import quick_batch_norm
from mdpseg.engine.quick_inference import quick_inference
from mdpseg.network import SegmentationNetwork
from tests import tiny

# Behind each convolution a norm; a norm with its activation; norms in front of convolutions, whose inputs shortcuts
# need as well; a norm beside convolutions, of the same input.
ENCODERS = ["resnet10t", "tf_efficientnet_lite0", "mobilenetv3_small_050", "resnetv2_18d", "densenet121", "repvgg_a0"]


def trained(network):
    """Statistics and weights that are not those of the start."""
    source = torch.Generator().manual_seed(0)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values, low in (
                (norm.running_mean, -0.3),
                (norm.running_var, 0.5),
                (norm.weight, 0.5),
                (norm.bias, -1),
            ):
                values.data.uniform_(low, low + 1, generator=source)
    return network.eval()


def hooks(network):
    return sum(len(layer._forward_hooks) for layer in network.modules())


@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_no_figure_of_an_encoder_changes(name):
    torch.manual_seed(0)
    model = trained(timm.create_model(name, features_only=True))
    model.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 96)
    plain = model(images)
    with quick_batch_norm(model):
        assert any(map(tiny.swapped, model.modules()))
        quick = model(images)
    assert not any(map(tiny.swapped, model.modules()))
    assert not hooks(model)
    for one, other in zip(quick, plain, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_no_figure_of_a_whole_network_changes():
    torch.manual_seed(0)
    made = SegmentationNetwork(NetworkConfig(**tiny.FAST_NETWORK))
    made.set_classifier(3)
    trained(made).to(memory_format=torch.channels_last)
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain = class_scores(made, image, EvalConfig())
    with quick_inference(made):
        quick = class_scores(made, image, EvalConfig())
    assert not any(map(tiny.swapped, made.modules()))
    assert torch.allclose(quick, plain, rtol=1e-4, atol=1e-5)


class Block(nn.Module):
    """A convolution, a norm, and what the test does with them."""

    def __init__(self, norm=nn.BatchNorm2d, **options):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(4, 6, 3, padding=1)
        self.norm = norm(6, **options)

    def forward(self, maps):
        self.made = self.convolution(maps)
        return self.norm(self.made)


def channels_last(*size):
    return torch.randn(size).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, BatchNormAct2d])
@torch.no_grad()
def test_the_output_takes_the_place_of_the_convolutions(norm):
    block, maps = trained(Block(norm)), channels_last(2, 4, 8, 9)
    plain = block(maps)
    with quick_batch_norm(block):
        quick = block(maps)
        assert quick.data_ptr() == block.made.data_ptr()
        again = block(maps)
    assert torch.allclose(quick, plain, atol=1e-6)
    assert torch.equal(again, quick)


@torch.no_grad()
def test_maps_that_are_stored_otherwise_are_left_to_torch():
    block, maps = trained(Block()), torch.randn(2, 4, 8, 9)
    plain = block(maps)
    with quick_batch_norm(block):
        quick = block(maps)
        assert quick.data_ptr() != block.made.data_ptr()
    assert torch.equal(quick, plain)


class PreActivation(Block):
    """The norm stands behind the convolution and is used before it, on what the shortcut needs."""

    def forward(self, maps):
        shortcut = torch.cat([maps, maps[:, :2]], 1)
        return shortcut + self.convolution(F.relu(self.norm(shortcut))[:, :4])


class Twice(Block):
    """The convolution's output is normalised, and then something else that a shortcut needs."""

    def forward(self, maps):
        first = self.norm(self.convolution(maps))
        return first + self.norm(first)


@pytest.mark.parametrize("kind", [PreActivation, Twice])
@torch.no_grad()
def test_what_a_shortcut_needs_is_left_alone(kind):
    block, maps = trained(kind()), channels_last(2, 4, 8, 9)
    plain = block(maps)
    with quick_batch_norm(block):
        assert torch.allclose(block(maps), plain, atol=1e-5)
        assert torch.allclose(block(maps), plain, atol=1e-5)


def test_with_gradients_it_is_torchs_own():
    block, maps = trained(Block()), channels_last(2, 4, 8, 9)
    block(maps).square().sum().backward()
    expected = block.convolution.weight.grad.clone()
    block.zero_grad()
    with quick_batch_norm(block):
        block(maps).square().sum().backward()
    assert torch.equal(block.convolution.weight.grad, expected)


@torch.no_grad()
def test_halves_are_left_to_torch():
    block, maps = trained(Block()), channels_last(2, 4, 8, 9)
    with torch.autocast("cpu", torch.bfloat16):
        plain = block(maps)
        with quick_batch_norm(block):
            assert torch.equal(block(maps), plain)


@pytest.mark.parametrize(
    "block", [Block().train(), Block(affine=False).eval(), Block(track_running_stats=False).eval()], ids=range(3)
)
def test_norms_that_go_by_the_batch_or_have_no_weights_are_left_alone(block):
    with quick_batch_norm(block):
        assert not any(map(tiny.swapped, block.modules()))


def test_it_is_undone_after_an_error():
    block = trained(Block())
    before = copy.deepcopy(block.state_dict())
    with pytest.raises(KeyError), quick_batch_norm(block):
        raise KeyError
    assert not any(map(tiny.swapped, block.modules()))
    assert not hooks(block)
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())
