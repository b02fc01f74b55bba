import pytest
import torch
from torch import nn

from mdpseg.config import EvalConfig, NetworkConfig
from mdpseg.engine.inference import class_scores
from mdpseg.engine.quick_convolutions import quick_atrous, quick_pointwise
from mdpseg.network import SegmentationNetwork
from tests import tiny


def image(height=50, width=70):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def dilations_met(network, images):
    """Those that torch meets in 1x1 convolutions while the network runs."""
    met = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            layer._conv_forward = lambda maps, *rest, layer=layer: (
                met.append(layer.dilation) or nn.Conv2d._conv_forward(layer, maps, *rest)
            )
    with torch.no_grad():
        out = network.logits(images)
    return met, out


@pytest.mark.parametrize(
    "count, size, met", [(2, (64, 96), {(2, 2)}), (1, (32, 32), {(1, 1)}), (1, (512, 96), {(1, 1), (2, 2)})]
)
def test_quick_pointwise_changes_no_figure_and_is_undone(count, size, met):
    """Small maps of a single image stay as they are: oneDNN does not get them."""
    made = SegmentationNetwork(NetworkConfig(**tiny.FAST_NETWORK))
    made.set_classifier(3)
    made.eval()
    images = torch.stack([image(*size)] * count)
    before, plain = dilations_met(made, images)
    assert set(before) == {(1, 1)}
    with quick_pointwise(made):
        during, quick = dilations_met(made, images)
    assert set(during) == met
    assert set(dilations_met(made, images)[0]) == {(1, 1)}
    assert torch.allclose(quick, plain, rtol=1e-4, atol=1e-5)


def test_quick_pointwise_is_for_one_thread(monkeypatch):
    made = SegmentationNetwork(NetworkConfig(**tiny.FAST_NETWORK))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with quick_pointwise(made):
        assert not any(map(tiny.swapped, made.modules()))


def atrous(channels=6, dilation=(12, 12), **changes):
    torch.manual_seed(0)
    how = {"padding": dilation, "dilation": dilation, "groups": channels} | changes
    return nn.Conv2d(channels, channels, 3, **how)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(32, 44), (12, 12), (13, 12), (8, 40), (1, 1), (5, 90)])
@pytest.mark.parametrize("dilation", [(8, 8), (12, 12), (36, 9)])
@pytest.mark.parametrize("bias", [True, False])
def test_quick_atrous_is_the_convolution(bias, dilation, size, memory_format):
    layer = atrous(dilation=dilation, bias=bias)
    maps = torch.randn(2, 6, *size).contiguous(memory_format=memory_format)
    plain = layer(maps)
    with quick_atrous(layer), torch.no_grad():
        assert tiny.swapped(layer)
        quick = layer(maps)
    assert not tiny.swapped(layer)
    assert quick.shape == plain.shape
    assert torch.allclose(quick, plain, rtol=1e-5, atol=1e-6)


def test_quick_atrous_takes_kernels_that_are_not_square():
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 4, (3, 5), padding=(9, 18), dilation=9, groups=4)
    maps = torch.randn(1, 4, 30, 50)
    with torch.no_grad():
        plain = layer(maps)
        with quick_atrous(layer):
            assert tiny.swapped(layer)
            assert torch.allclose(layer(maps), plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        atrous(dilation=(7, 7)),
        atrous(dilation=(12, 7)),
        atrous(groups=3),
        atrous(groups=1),
        atrous(stride=2),
        atrous(padding=(11, 12)),
        atrous(padding="same"),
        atrous(padding_mode="reflect"),
        nn.Conv2d(6, 12, 3, padding=12, dilation=12, groups=6),
        nn.Conv2d(1, 1, 3, padding=12, dilation=12),
        nn.Conv2d(6, 6, 2, padding=6, dilation=12, groups=6),
    ],
)
def test_quick_atrous_leaves_other_convolutions_alone(layer):
    with quick_atrous(layer):
        assert not tiny.swapped(layer)


def test_quick_atrous_is_undone_after_an_error():
    layer = atrous()
    with pytest.raises(KeyError), quick_atrous(layer):
        raise KeyError
    assert not tiny.swapped(layer)


def test_quick_atrous_leaves_halves_to_torch():
    layer, maps = atrous(), torch.randn(1, 6, 20, 20).bfloat16()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        plain = layer(maps)
        with quick_atrous(layer):
            assert torch.equal(layer(maps), plain)


def test_quick_atrous_changes_no_figure_of_deeplabv3plus():
    torch.manual_seed(0)
    made = SegmentationNetwork(NetworkConfig(**tiny.FAST_NETWORK | {"decoder": "deeplabv3plus", "output_stride": 16}))
    made.set_classifier(3)
    made.eval()
    plain = class_scores(made, image(200, 240), EvalConfig())
    with quick_atrous(made):
        assert sum(map(tiny.swapped, made.modules())) == 3
        quick = class_scores(made, image(200, 240), EvalConfig())
    assert not any(map(tiny.swapped, made.modules()))
    assert torch.allclose(quick, plain, rtol=1e-4, atol=1e-5)
