import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdpseg.config import EvalConfig
from mdpseg.engine import inference
from mdpseg.engine.blocks import Block
from mdpseg.engine.inference import class_ids, class_scores, enlarged_argmax
from tests.tiny import TinyNetwork


class Local(nn.Module):
    """Logits of a pixel that follow from the pixel alone: windows cannot change them."""

    def logits(self, images: Tensor) -> Tensor:
        return images * 0.1


class Ramp(nn.Module):
    """Logits that depend on the place in the picture: a mirrored view has other ones."""

    def logits(self, images: Tensor) -> Tensor:
        return images * 0.01 + torch.linspace(-1, 1, images.shape[-1]) * torch.tensor([1.0, 0, -1])[:, None, None]


def image(height=50, width=70):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = TinyNetwork().eval()
    made.set_classifier(3)
    return made


def test_whole_image_is_the_networks_logits(network):
    assert torch.equal(class_scores(network, image(), EvalConfig()), network.logits(image()[None])[0].detach())


@pytest.mark.parametrize("window", [70, 71, 1000])
def test_a_window_that_covers_everything_is_the_whole_image(window, network):
    whole = class_scores(network, image(), EvalConfig())
    assert torch.equal(class_scores(network, image(), EvalConfig(window=window)), whole)


@pytest.mark.parametrize("window, stride", [(32, None), (32, 32), (32, 20), (5, 5), (50, 7), (60, 60), (69, 69)])
@pytest.mark.parametrize("size", [(50, 70), (70, 50), (20, 90), (33, 33)])
def test_windows_cover_every_pixel_and_are_averaged(window, stride, size):
    scores = class_scores(Local(), image(*size), EvalConfig(window=window, stride=stride))
    assert scores.shape == (3, *size)
    assert torch.allclose(scores, image(*size) * 0.1, atol=1e-5)


def test_a_large_image_is_taken_block_by_block_as_in_prediction(network, monkeypatch):
    picture, config = image(70, 90), EvalConfig()

    def in_blocks(height, width):
        for left in (0, 64):
            inner = slice(0, height), slice(left, min(left + 64, width))
            yield Block(inner, (slice(0, height), slice(max(0, left - 32), min(left + 96, width))))

    with torch.no_grad():
        parts = [network.logits(picture[None, ..., :90]), network.logits(picture[None, ..., 32:90])]
    expected = torch.cat([parts[0].argmax(1)[0][:, :64], parts[1].argmax(1)[0][:, 32:]], dim=1)
    monkeypatch.setattr(inference, "blocks", in_blocks)
    assert torch.equal(class_ids(network, picture, config), expected)


def test_a_sliding_window_by_hand(network):
    picture = image(32, 48)
    scores = class_scores(network, picture, EvalConfig(window=32, stride=16))
    with torch.no_grad():
        left, right = network.logits(picture[None, :, :, :32])[0], network.logits(picture[None, :, :, 16:])[0]
    expected = torch.cat([left[..., :16], (left[..., 16:] + right[..., :16]) / 2, right[..., 16:]], dim=-1)
    assert torch.allclose(scores, expected, atol=1e-5)


def test_flip_averages_with_the_mirrored_image_mirrored_back():
    scores = class_scores(Ramp(), image(), EvalConfig(flip=True))
    straight = Ramp().logits(image()[None].float()).softmax(1)[0]
    mirrored = Ramp().logits(image()[None].float().flip(-1)).softmax(1)[0].flip(-1)
    assert not torch.allclose(straight, mirrored, atol=1e-2)
    assert torch.allclose(scores, (straight + mirrored) / 2, atol=1e-5)


def test_flip_makes_the_prediction_symmetric(network):
    config = EvalConfig(flip=True)
    one = class_scores(network, image(64, 64), config)
    two = class_scores(network, image(64, 64).flip(-1), config).flip(-1)
    assert torch.allclose(one, two, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        {"scales": [0.5]},
        {"scales": [0.5, 1.0, 1.5]},
        {"scales": [0.75, 1.25], "flip": True},
        {"scales": [0.5, 2.0], "window": 40},
        {"scales": [0.001]},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(50, 70), (31, 33), (1, 1)])
def test_averages_of_views_are_probabilities_of_the_image_s_size(config, size, network):
    scores = class_scores(network, image(*size), EvalConfig(**config))
    assert scores.shape == (3, *size)
    assert scores.dtype == torch.float32
    assert torch.allclose(scores.sum(0), torch.ones(size), atol=1e-5)
    assert scores.min() >= 0


def test_scales_by_hand(network):
    picture = image(64, 64)
    scores = class_scores(network, picture, EvalConfig(scales=[1.0, 0.5]))
    with torch.no_grad():
        small = F.interpolate(picture[None].float(), (32, 32), mode="bilinear", antialias=True)
        half = F.interpolate(network.logits(small), (64, 64), mode="bilinear")
        expected = (network.logits(picture[None]).softmax(1) + half.softmax(1)) / 2
    assert torch.allclose(scores, expected[0], atol=1e-4)


def test_one_view_has_the_same_prediction_as_no_view(network):
    plain = class_scores(network, image(), EvalConfig()).argmax(0)
    assert torch.equal(class_scores(network, image(), EvalConfig(scales=[1.0, 1.0])).argmax(0), plain)


@pytest.mark.parametrize(
    "config", [{}, {"flip": True}, {"scales": [0.5, 1.0]}, {"window": 40}, {"window": 200}], ids=str
)
@pytest.mark.parametrize("size", [(50, 70), (64, 64), (31, 33), (1, 1)])
def test_class_ids_are_the_argmax_of_the_scores(config, size, network):
    config = EvalConfig(**config)
    assert torch.equal(class_ids(network, image(*size), config), class_scores(network, image(*size), config).argmax(0))


def maps(kind, classes, height, width):
    """Logits: noise, two areas as of a trained network, all equal, or huge."""
    source = torch.Generator().manual_seed(classes + height)
    noise = torch.randn(1, classes, height, width, generator=source)
    match kind:
        case "noise":
            return noise
        case "areas":
            down = torch.linspace(0, 5, height)[:, None]
            noise[:, 0], noise[:, min(3, classes - 1)] = 9 - down, 9 + down
            return noise
        case "equal":
            return torch.zeros_like(noise)
        case "huge":
            return 1e30 * noise
    raise ValueError(kind)


@pytest.mark.parametrize("kind", ["noise", "areas", "equal", "huge"])
@pytest.mark.parametrize(
    "classes, height, width", [(1, 4, 5), (2, 9, 7), (40, 12, 16), (7, 1, 6), (7, 6, 1), (7, 1, 1)]
)
@pytest.mark.parametrize("times", [1, 4, 3.3])
def test_enlarged_argmax(kind, classes, height, width, times):
    logits = maps(kind, classes, height, width)
    size = round(height * times), round(width * times)
    expected = F.interpolate(logits, size, mode="bilinear", align_corners=False).argmax(1)
    assert torch.equal(enlarged_argmax(logits, size), expected)


def test_enlarged_argmax_enlarges_only_what_can_win(monkeypatch):
    enlarged = []

    def spy(logits, *rest, plain=F.interpolate, **more):
        enlarged.append(logits.shape[1])
        return plain(logits, *rest, **more)

    monkeypatch.setattr(F, "interpolate", spy)
    enlarged_argmax(maps("areas", 40, 12, 16), (48, 64))
    assert enlarged == [2]


def test_enlarged_argmax_of_no_numbers_does_not_fail():
    assert enlarged_argmax(torch.full((1, 3, 4, 4), torch.nan), (8, 8)).shape == (1, 8, 8)
