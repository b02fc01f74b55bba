import importlib.util
import math
from pathlib import Path

import pytest
import torch

from tests.export.conftest import stored  # noqa: F401 (a fixture)

FILE = Path(__file__).parents[2] / "examples" / "mask_rcnn.py"


@pytest.mark.slow
def test_an_encoder_of_ours_trains_in_mask_rcnn(stored):  # noqa: F811
    path, network = stored("resnet18")
    spec = importlib.util.spec_from_file_location("mask_rcnn", FILE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    body = example.build(path.parent, "resnet18", 2).backbone.body
    assert torch.equal(body.layer4[1].conv2.weight, network.encoder.model.layer4[1].conv2.weight)
    assert torch.equal(body.bn1.running_mean, network.encoder.model.bn1.running_mean)
    losses = example.main(path.parent)
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[1] < losses[0]  # the same two images again
