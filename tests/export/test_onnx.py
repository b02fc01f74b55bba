"""The graph runs in onnxruntime, at any size and batch, and gives torch's logits."""

import re

import numpy as np
import pytest
import torch
import yaml

from mdpseg.errors import UserError
from mdpseg.export import export
from mdpseg.export.pooling import AdaptiveAverage
from tests import tiny
from tests.export.conftest import CLASSES, images

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")


def check(made, network):
    for size in ((1, 64, 96), (2, 65, 130), (3, 200, 40)):
        given = images(size[0], 3, *size[1:])
        space = {"images": given.numpy()}
        exec(made.how_to_load, space)
        with torch.no_grad():
            expected = network.logits(given).numpy()
        assert space["logits"].shape == expected.shape
        assert np.abs(space["logits"] - expected).max() < 1e-5


@pytest.mark.parametrize("decoder", ["fpn", "deeplabv3", "segformer", "unet", "upernet"])
def test_any_size_and_batch(decoder, stored):
    path, network = stored("test_efficientnet", decoder)
    made = export(path, "onnx")
    check(made, network)
    assert re.search(r"largest difference of a logit to torch's, tried at 3 sizes: \d\.\de-0[5-9]", made.how_to_load)


@pytest.mark.slow
def test_a_plain_vit(stored):
    """A trace cannot resize its positions."""
    path, network = stored("test_vit", "fpn")
    check(export(path, "onnx"), network)


@pytest.mark.slow
def test_a_graph_that_gives_other_logits_is_refused_and_not_left(stored):
    """smp pools in another way while it is exported, for one input size alone."""
    path, _ = stored("test_efficientnet", "pspnet")
    with pytest.raises(UserError, match=r"pspnet does not give torch's own logits.*Other decoders may do: fpn"):
        export(path, "onnx")
    assert not list(path.parent.glob("export/*"))


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (12, 6), (5, 31)])
def test_plain_pooling_is_torch_s(bins, size):
    maps = torch.randn(2, 3, *size)
    assert torch.allclose(AdaptiveAverage(bins)(maps), torch.nn.AdaptiveAvgPool2d(bins)(maps), atol=1e-6)


def test_the_graph_says_what_it_is(stored):
    from mdpseg.export.onnx import read_metadata

    found = read_metadata(export(stored("test_efficientnet")[0], "onnx").path)
    assert found["classes"] == CLASSES
    assert found["network"]["encoder"] == "test_efficientnet"
    assert found["pixels"]["mean"]


def test_int8_with_the_miou_it_costs(finetuned, mdpseg_command, tmp_path):
    recipe = {"weights": "unused", "dataset": tiny.toy("things", split="val", count=3)}
    (tmp_path / "evaluate.yaml").write_text(yaml.safe_dump(recipe))
    out = tmp_path / "network.onnx"
    code, text, err = mdpseg_command(
        "export", finetuned, "--to", "onnx", "--int8", "--data", tmp_path / "evaluate.yaml", "--out", out
    )
    assert (code, err) == (0, "")
    small = out.with_name("network-int8.onnx")
    assert small.stat().st_size < 0.5 * out.stat().st_size
    found = dict(re.findall(r"# (float32|int8): mIoU ([\d.]+)% on 3 images of things", text))
    assert found.keys() == {"float32", "int8"}
    import mdpseg

    ours = mdpseg.evaluate({**recipe, "weights": str(finetuned / "weights.safetensors"), "workers": 0})
    assert float(found["float32"]) == pytest.approx(100 * ours.mean_iou, abs=0.02)
    session = onnxruntime.InferenceSession(small)
    assert session.run(None, {"images": np.zeros((1, 3, 70, 70), np.float32)})[0].shape[2:] == (70, 70)


def test_a_dataset_of_other_classes_is_refused(stored, tmp_path):
    (tmp_path / "e.yaml").write_text(yaml.safe_dump({"weights": "unused", "dataset": tiny.toy("things", count=2)}))
    with pytest.raises(UserError, match=r"'things' has other classes"):
        export(stored("test_efficientnet")[0], "onnx", data=tmp_path / "e.yaml")
