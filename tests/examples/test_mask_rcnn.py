import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mdpseg.errors import UserError
from tests.export.conftest import images, normalised, stored  # noqa: F401 (a fixture)

FILE = Path(__file__).parents[2] / "examples" / "mask_rcnn.py"


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("mask_rcnn", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_an_encoder_of_ours_trains_in_mask_rcnn(stored, example):  # noqa: F811
    path, _ = stored("resnet18")
    losses = example.main(path.parent)
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[1] < losses[0]  # the same two images again


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["resnet18", "resnet34.a1_in1k", "resnet50", "resnext50_32x4d"])
def test_the_run_s_own_encoder_is_the_body(encoder, stored, example):  # noqa: F811
    path, network = stored(encoder)
    body = example.build(path.parent, 2).eval().backbone.body
    pixels = normalised(network, images(2, 3, 96, 64))
    with torch.no_grad():
        for found, expected in zip(body(pixels).values(), network.encoder.model(pixels)[1:], strict=True):
            assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder, decoder, message",
    [
        ("test_efficientnet", "fpn", r"test_efficientnet has no counterpart in torchvision; .* takes resnet18"),
        ("resnet18", "deeplabv3", r"deeplabv3 has resnet18 dilated .* such as fpn"),
        ("resnet50", "deeplabv3plus", r"deeplabv3plus has resnet50 dilated.* such as fpn"),
    ],
)
def test_other_encoders_and_dilated_ones_are_refused(encoder, decoder, message, stored, example):  # noqa: F811
    path, _ = stored(encoder, decoder)
    with pytest.raises(UserError, match=message):
        example.build(path.parent, 2)


@pytest.mark.slow
def test_the_user_sees_a_line(stored):  # noqa: F811
    path, _ = stored("test_efficientnet")
    done = subprocess.run([sys.executable, FILE, path.parent], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Encoder test_efficientnet has no counterpart in torchvision")
    assert done.stderr.count("\n") == 1
