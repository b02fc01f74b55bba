import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from mdpseg.config import NetworkConfig
from mdpseg.engine.quick_depthwise import quick_depthwise
from mdpseg.network import SegmentationNetwork
from tests import tiny


def depthwise(kernel=5, kind=nn.Conv2d, channels=6, **changes):
    torch.manual_seed(0)
    return kind(channels, channels, kernel, **({"groups": channels} | changes))


def gradients(layer, maps):
    maps = maps.clone().requires_grad_()
    made = layer(maps)
    weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(1))
    (made * weights).sum().backward()
    found = [made.detach(), maps.grad, *(parameter.grad for parameter in layer.parameters())]
    layer.zero_grad()
    return found, made.grad_fn.name()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(3, 3), (1, 1), (2, 5), (9, 7), (12, 12)])
@pytest.mark.parametrize(
    "layer",
    [
        depthwise(padding=2),
        depthwise(padding=2, bias=False, stride=2),
        depthwise(7, padding=3),
        depthwise((3, 9), padding=(1, 4), stride=(1, 2)),
        depthwise(padding=6, stride=3),
        depthwise(padding=0, kind=Conv2dSame, stride=2),
        depthwise(kind=Conv2dSame),
    ],
    ids=["5x5", "stride 2", "7x7", "3x9", "far padding", "same, stride 2", "same"],
)
def test_quick_depthwise_has_the_gradients_of_the_convolution(layer, size, memory_format):
    maps = torch.randn(2, 6, *size).contiguous(memory_format=memory_format)
    plain, _ = gradients(layer, maps)
    with quick_depthwise(layer):
        assert tiny.swapped(layer)
        quick, name = gradients(layer, maps)
    assert name == "_DepthwiseBackward"
    assert not tiny.swapped(layer)
    for ours, theirs in zip(quick, plain, strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_quick_depthwise_agrees_with_finite_differences():
    layer = depthwise(channels=2, padding=2, stride=2).double()
    maps = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    with quick_depthwise(layer):
        assert torch.autograd.gradcheck(lambda m, w, b: layer(m), (maps, layer.weight, layer.bias))


@pytest.mark.parametrize(
    "layer",
    [
        depthwise(3),
        depthwise(groups=1),
        depthwise(groups=3),
        depthwise(dilation=2),
        depthwise(padding="same"),
        depthwise(padding=2, padding_mode="reflect"),
        nn.Conv2d(6, 12, 5, groups=6),
        nn.Conv2d(1, 1, 5),
    ],
)
def test_quick_depthwise_leaves_other_convolutions_alone(layer):
    with quick_depthwise(layer):
        assert not tiny.swapped(layer)


@pytest.mark.parametrize("kind", [nn.Conv2d, Conv2dSame])
def test_quick_depthwise_leaves_large_maps_to_torch(kind):
    layer, maps = depthwise(kind=kind, padding=0), torch.randn(1, 6, 20, 20)
    plain, _ = gradients(layer, maps)
    with quick_depthwise(layer):
        quick, name = gradients(layer, maps)
    assert name == "ConvolutionBackward0"
    assert all(map(torch.equal, quick, plain))


def test_quick_depthwise_leaves_halves_and_frozen_weights_to_torch():
    layer, maps = depthwise(padding=2), torch.randn(1, 6, 4, 4, requires_grad=True)
    with quick_depthwise(layer):
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(maps).grad_fn.name() != "_DepthwiseBackward"
        with torch.no_grad():
            assert layer(maps).grad_fn is None
        layer.weight.requires_grad_(False)
        assert layer(maps).grad_fn.name() == "ConvolutionBackward0"


def test_quick_depthwise_is_undone_after_an_error():
    layer = depthwise()
    with pytest.raises(KeyError), quick_depthwise(layer):
        raise KeyError
    assert not tiny.swapped(layer)


def test_quick_depthwise_changes_no_gradient_of_efficientnet_lite():
    torch.manual_seed(0)
    made = SegmentationNetwork(NetworkConfig(encoder="tf_efficientnet_lite0", decoder="fpn", decoder_channels=32))
    images = torch.randn(4, 3, 96, 96)
    made.to(memory_format=torch.channels_last).double()
    encoder = made.encoder

    def once():
        made.zero_grad()
        sum(maps.square().mean() for maps in encoder(images.double())).backward()
        return [parameter.grad for parameter in encoder.parameters()]

    plain = once()
    with quick_depthwise(made):
        assert sum(map(tiny.swapped, made.modules())) == 9
        quick = once()
    assert all(torch.allclose(ours, theirs, rtol=1e-8, atol=1e-12) for ours, theirs in zip(quick, plain, strict=True))
