"""The graph runs in onnxruntime, at any size and batch, and gives torch's logits."""

import copy
import json
import re
from typing import get_args

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import yaml

from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError
from mdpseg.export import export
from mdpseg.export.pooling import AdaptiveAverage
from tests import tiny
from tests.export.conftest import CLASSES, images, normalised

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")


DECODERS = get_args(NetworkConfig.model_fields["decoder"].annotation)
SIZES = ((1, 64, 96), (2, 65, 130), (3, 200, 40))


def session_of(made):
    return onnxruntime.InferenceSession(made.path)


def check(made, network, sizes=SIZES):
    for size in sizes:
        given = images(size[0], 3, *size[1:])
        space = {"images": given.numpy()}
        exec(made.how_to_load, space)
        with torch.no_grad():
            ours, exact = network.logits(given).numpy(), exact_logits(network, given).numpy()
        assert space["logits"].shape == ours.shape
        assert np.abs(space["logits"] - exact).max() < 1e-5
        assert np.abs(space["logits"] - ours).max() < 2e-5  # torch's own rounding may be the larger


def exact_logits(network, given):
    """Logits in float64: those of float32 differ from one processor to another by as much as the graph's may."""
    double = copy.deepcopy(network).double()
    padded = double.pad(given).double()
    output = double.head(double.decoder(double.encoder(normalised(double, padded))))
    output = F.interpolate(output, padded.shape[-2:], mode="bilinear", align_corners=False)
    return output[..., : given.shape[-2], : given.shape[-1]]


@pytest.mark.parametrize("decoder", DECODERS)
def test_any_size_and_batch(decoder, stored):
    path, network = stored("test_efficientnet", decoder)
    made = export(path, "onnx")
    check(made, network)
    assert re.search(r"largest difference of a logit to torch's, tried at 3 sizes: \d\.\de-0[5-9]", made.how_to_load)


@pytest.mark.parametrize("decoder", ["fpn", "pan"])
def test_a_pretraining_gives_its_embeddings(decoder, stored):
    path, network = stored("test_efficientnet", decoder, head="projection")
    made = export(path, "onnx")
    assert made.path.name == "network.onnx"
    for batch, *size in SIZES:
        given = images(batch, 3, *size)
        exec(made.how_to_load, space := {"images": given.numpy()})
        found = torch.from_numpy(space["embeddings"])
        with torch.no_grad():
            expected = network(network.pad(given))
        assert found.shape == expected.shape
        assert float((found - expected).abs().max()) < 1e-5
        assert torch.allclose(found.norm(dim=1), torch.ones(()), atol=1e-5)
    assert [output.name for output in session_of(made).get_outputs()] == ["embeddings"]
    assert "its classes" not in made.how_to_load


ALL = [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "encoder, decoder, head, stages",
    [
        ("test_efficientnet", "fpn", "projection", ALL),
        ("test_resnet", "deeplabv3", "classifier", ALL),  # dilated
        ("test_efficientnet", "pspnet", "classifier", [0, 1, 2]),  # the first stages alone
        ("test_convnext", "upernet", "classifier", [1, 2, 3, 4]),
    ],
)
def test_the_encoder_gives_its_maps(encoder, decoder, head, stages, stored):
    path, network = stored(encoder, decoder, head=head)
    made = export(path, "onnx", "encoder")
    assert made.path.name == "encoder.onnx"
    assert [output.name for output in session_of(made).get_outputs()] == [f"stage{stage}" for stage in stages]
    for batch, *size in SIZES:
        given = images(batch, 3, *size)
        exec(made.how_to_load, space := {"images": given.numpy()})
        with torch.no_grad():
            expected = network.encoder(normalised(network, network.pad(given)))
        expected = [expected[stage + 1] for stage in stages]
        assert [output.shape for output in space["maps"]] == [tuple(output.shape) for output in expected]
        for output, ours in zip(space["maps"], expected, strict=True):
            assert np.abs(output - ours.numpy()).max() < 1e-5 * max(1, ours.abs().max())


def test_network_and_encoder_lie_side_by_side(stored):
    path, network = stored("test_efficientnet")
    made = export(path, "onnx")
    assert export(path, "onnx", "encoder").path != made.path
    check(made, network, SIZES[:1])


@pytest.mark.parametrize("option", ["--int8", "--data"])
@pytest.mark.parametrize(
    "head, part, message",
    [
        ("projection", "network", "embeddings and no classes; {} needs a classifier"),
        ("classifier", "encoder", "{} is for the whole network"),
    ],
)
def test_what_is_judged_by_classes_is_refused_without(option, head, part, message, stored, mdpseg_command):
    path, _ = stored("test_efficientnet", head=head)
    arguments = [option] if option == "--int8" else [option, "evaluate.yaml"]
    code, out, err = mdpseg_command("export", path, "--to", "onnx", "--part", part, *arguments)
    assert (code, out) == (2, "")
    assert message.format(option) in err
    assert not list(path.parent.glob("export/*"))


@pytest.mark.slow
def test_a_plain_vit(stored, capfd):
    """A trace cannot resize its positions; that it was tried first is not to be seen."""
    path, network = stored("test_vit", "fpn")
    check(export(path, "onnx"), network)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.skipif(not timm.is_model("test_coatnet"), reason="this timm has no test_coatnet")
def test_an_encoder_of_one_size_takes_images_up_to_it(stored):
    path, network = stored("test_coatnet", decoder_channels=None)
    made = export(path, "onnx")
    assert "one size: images of at most 160 x 160 pixels" in made.how_to_load
    check(made, network, ((1, 160, 160), (2, 40, 61)))
    for size in ((1, 3, 160, 224), (1, 3, 320, 320)):
        with pytest.raises(Exception, match="broadcast"):  # onnxruntime's errors have no common base
            session_of(made).run(["logits"], {"images": images(*size).numpy()})


@pytest.mark.parametrize("there", ["a.onnx", "a-int8.onnx"])
def test_neither_of_two_files_is_overwritten(there, stored, tmp_path):
    path, _ = stored("test_efficientnet")
    (tmp_path / there).write_bytes(b"mine")
    with pytest.raises(UserError, match=f"{there} exists; choose another --out"):
        export(path, "onnx", out=tmp_path / "a.onnx", int8=True)
    assert (tmp_path / there).read_bytes() == b"mine"


@pytest.mark.slow
def test_a_graph_that_gives_other_logits_is_refused_in_a_line_and_not_left(stored, monkeypatch, capfd):
    """As smp's pooling does, which is exported for one input size alone."""
    monkeypatch.setattr("mdpseg.export.onnx.with_plain_pooling", lambda network: network)
    path, _ = stored("test_efficientnet", "pspnet")
    with pytest.raises(UserError, match=r"pspnet does not give torch's own logits at 192 x 128 pixels") as refused:
        export(path, "onnx")
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
    assert not list(path.parent.glob("export/*"))


def test_a_network_that_no_exporter_takes_is_refused_in_a_line(stored, monkeypatch, capfd):
    class Moody(torch.nn.Module):
        def forward(self, features):
            raise RuntimeError("not while exported\nand much advice")

    path, _ = stored("test_efficientnet")
    monkeypatch.setattr("mdpseg.export.onnx.with_plain_pooling", lambda whole: Moody())
    with pytest.raises(UserError) as refused:
        export(path, "onnx")
    assert str(refused.value) == (
        "torch cannot export test_efficientnet + fpn to ONNX (not while exported). Another encoder may do; "
        "--to safetensors takes any network."
    )
    assert capfd.readouterr() == ("", "")
    assert not list(path.parent.glob("export/*"))


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (12, 6), (5, 31)])
def test_plain_pooling_is_torch_s(bins, size):
    maps = torch.randn(2, 3, *size)
    assert torch.allclose(AdaptiveAverage(bins)(maps), torch.nn.AdaptiveAvgPool2d(bins)(maps), atol=1e-6)


def test_the_graph_says_what_it_is(stored):
    found = session_of(export(stored("test_efficientnet")[0], "onnx")).get_modelmeta().custom_metadata_map
    assert json.loads(found["classes"]) == CLASSES
    assert json.loads(found["network"])["encoder"] == "test_efficientnet"
    assert json.loads(found["pixels"])["mean"]


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
    path, _ = stored("test_efficientnet")
    with pytest.raises(UserError, match=r"'things' has other classes"):
        export(path, "onnx", data=tmp_path / "e.yaml")
    assert not list(path.parent.glob("export/*"))
