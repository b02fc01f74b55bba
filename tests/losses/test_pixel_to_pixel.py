import pytest
import torch

from mdpseg.losses import pixel_to_pixel, reduction

from . import reference
from .reference import assert_close_to, assert_matches, integers, unit, value_and_gradients

TAU, B, D, H, W, K = 0.07, 2, 5, 3, 4, 3


def case(name):
    inputs = {"embeddings": unit(B, D, H, W, seed=1, dim=1), "keys": unit(B, D, H, W, seed=2, dim=1)}
    targets = integers(-1, K, (B, H, W), seed=3)
    if name == "no pixels":
        inputs = {key: torch.zeros(B, D, 0, W) for key in inputs}
        targets = torch.zeros(B, 0, W, dtype=torch.int64)
    elif name == "all ignored":
        targets[:] = -1
    elif name == "one class":
        targets[:] = 2
    elif name == "one class in each image":
        targets[:] = torch.arange(B)[:, None, None]
    elif name == "one image ignored":
        targets[0] = -1
    elif name == "class 0 and others":
        targets = targets.clamp_min(0)
    elif name == "huge logits":
        inputs["embeddings"] = 1e4 * inputs["embeddings"]
    return inputs, {"targets": targets, "temperature": TAU}


NOTHING = ["no pixels", "all ignored", "one class", "one class in each image"]
SOMETHING = ["random", "one image ignored", "class 0 and others", "huge logits"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NOTHING + SOMETHING)
def test_reference(name, dtype):
    inputs, settings = case(name)
    value = assert_matches(pixel_to_pixel, reference.pixel_to_pixel, inputs, dtype, **settings)
    assert (value == 0) if name in NOTHING else (value > 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_no_images_in_half_precision(dtype):
    nothing = torch.zeros(0, 8, 3, 3, dtype=dtype)
    assert pixel_to_pixel(nothing, torch.zeros(0, 3, 3, dtype=torch.int64), nothing, 0.07).item() == 0


def test_no_images():
    embeddings = torch.zeros(0, D, H, W, requires_grad=True)
    loss = pixel_to_pixel(embeddings, torch.zeros(0, H, W, dtype=torch.int64), torch.zeros(0, D, H, W), TAU)
    loss.backward()
    assert (loss.shape, loss.item()) == ((), 0)
    assert embeddings.grad.shape == embeddings.shape


@pytest.mark.parametrize("weights", [torch.linspace(0, 2, B * H * W).view(B, H, W), torch.zeros(B, H, W)])
def test_weights(weights):
    inputs, settings = case("random")
    assert_matches(pixel_to_pixel, reference.pixel_to_pixel, inputs, weights=weights, **settings)


@pytest.mark.parametrize("kind", ["nothing", "the first class only", "neighbours"])
@pytest.mark.parametrize("name", ["random", "one image ignored", "one class in each image"])
def test_denominator(name, kind):
    inputs, settings = case(name)
    denominator = torch.zeros(K, K, dtype=torch.bool)
    if kind == "the first class only":
        denominator[:, 0] = True
    elif kind == "neighbours":  # not one row like another
        denominator[torch.arange(K), (torch.arange(K) + 1) % K] = True
    settings |= {"denominator": denominator, "weights": torch.linspace(0.1, 1, B * H * W).view(B, H, W)}
    value = assert_matches(pixel_to_pixel, reference.pixel_to_pixel, inputs, **settings)
    assert (value == 0) == (kind == "nothing" or name == "one class in each image")


@pytest.mark.parametrize("entries", [1, 5 * H * W])
@pytest.mark.parametrize("name", ["random", "one image ignored"])
def test_chunks(monkeypatch, name, entries):
    inputs, settings = case(name)
    settings["weights"] = torch.linspace(0, 1, B * H * W).view(B, H, W)
    value, gradients = value_and_gradients(pixel_to_pixel, inputs, **settings)
    monkeypatch.setattr(reduction, "CHUNK_ENTRIES", entries)
    chunked, chunked_gradients = value_and_gradients(pixel_to_pixel, inputs, **settings)
    assert_close_to(chunked, value, 1e-6, "value")
    for key in inputs:
        assert_close_to(chunked_gradients[key], gradients[key], 1e-5, key)


def test_images_do_not_see_each_other():
    """Every labelled pixel counts, so images with equally many weigh the same."""
    inputs, settings = case("class 0 and others")
    together = pixel_to_pixel(**inputs, **settings)
    alone = [
        pixel_to_pixel(inputs["embeddings"][i : i + 1], settings["targets"][i : i + 1], inputs["keys"][i : i + 1], TAU)
        for i in range(B)
    ]
    assert together.item() == pytest.approx((sum(alone) / B).item(), rel=1e-5)


def test_channels_last():
    inputs, settings = case("random")
    strided = {key: t.contiguous(memory_format=torch.channels_last) for key, t in inputs.items()}
    assert pixel_to_pixel(**strided, **settings).item() == pytest.approx(pixel_to_pixel(**inputs, **settings).item())


def test_float32_under_autocast():
    inputs, settings = case("random")
    plain = pixel_to_pixel(**inputs, **settings)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = pixel_to_pixel(**inputs, **settings)
    assert autocast.item() == pytest.approx(plain.item(), rel=1e-5)
