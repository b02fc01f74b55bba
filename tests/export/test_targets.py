"""Each export, loaded by the library that it is for, by the very code that the export prints."""

import dataclasses
import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file
from torchvision.models._utils import IntermediateLayerGetter

from mdpseg import weights
from mdpseg.errors import UserError
from mdpseg.export import export
from mdpseg.export.command import _TARGETS
from tests.export.conftest import CLASSES, images, normalised
from tests.foreign.test_encoder import ResNetV1c


def run(code):
    space = {}
    exec(code, space)
    return space


@torch.no_grad()
def difference(found, expected):
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


@torch.no_grad()
def maps(network, pixels):
    return network.encoder.model(normalised(network, pixels))


TIMM_CASES = [
    ("resnet18", "fpn"),
    ("resnet18", "deeplabv3"),  # dilated
    ("test_efficientnet", "pspnet"),  # the first stages alone
    ("test_vit", "fpn"),
    ("convnext_atto", "upernet"),
]


@pytest.mark.parametrize("encoder, decoder", TIMM_CASES)
def test_timm(encoder, decoder, stored):
    path, network = stored(encoder, decoder)
    made = export(path, "timm")
    assert made.path == path.parent / "export" / "timm.safetensors"
    encoder = run(made.how_to_load)["encoder"]
    pixels = images(2, 3, 96, 64)
    with torch.no_grad():
        assert difference(encoder(normalised(network, pixels)), maps(network, pixels)) < 1e-5


@pytest.mark.parametrize("encoder, decoder", TIMM_CASES)
def test_transformers(encoder, decoder, stored):
    pytest.importorskip("transformers")
    path, network = stored(encoder, decoder)
    made = export(path.parent, "transformers")
    pixels = images(2, 3, 96, 64)
    space = {"pixel_values": normalised(network, pixels)}
    with torch.no_grad():
        exec(made.how_to_load, space)
        assert difference(space["maps"], maps(network, pixels)) < 1e-5


@pytest.mark.parametrize("encoder, decoder", [("resnet18", "fpn"), ("resnet50", "deeplabv3")])
def test_torchvision(encoder, decoder, stored):
    path, network = stored(encoder, decoder)
    model = run(export(path, "torchvision").how_to_load)["model"].eval()
    layers = {f"layer{number}": str(number) for number in (1, 2, 3, 4)}
    pixels = images(2, 3, 96, 64)
    with torch.no_grad():
        found = IntermediateLayerGetter(model, layers)(normalised(network, pixels))
    assert difference(found.values(), maps(network, pixels)[1:]) < 1e-5


@pytest.mark.parametrize("encoder, donor", [("resnet18", torchvision.models.resnet18), ("resnet50c", ResNetV1c)])
def test_mmseg(encoder, donor, stored):
    """Without mmseg, which not every environment has: a plain ResNet under MMSegmentation's names."""
    path, network = stored(encoder)
    made = export(path, "mmseg")
    model, content = donor().eval(), torch.load(made.path, weights_only=True)
    state = {name.removeprefix("backbone."): tensor for name, tensor in content["state_dict"].items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name.split(".")[0] for name in missing} <= {"fc"}
    model.conv1 = getattr(model, "conv1", None) or model.stem
    layers = {f"layer{number}": str(number) for number in (1, 2, 3, 4)}
    pixels = images(2, 3, 96, 64)
    with torch.no_grad():
        found = IntermediateLayerGetter(model, layers)(normalised(network, pixels))
    assert difference(found.values(), maps(network, pixels)[1:]) < 1e-5
    settings = run(made.how_to_load)
    assert settings["model"]["backbone"]["type"] == ("ResNetV1c" if encoder.endswith("c") else "ResNet")
    assert settings["data_preprocessor"]["mean"] == pytest.approx([123.675, 116.28, 103.53], abs=0.01)


def test_mmseg_is_told_of_dilated_stages(stored):
    text = export(stored("resnet50", "deeplabv3")[0], "mmseg").how_to_load
    assert "strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True" in text


@pytest.mark.parametrize(
    "encoder, decoder",
    [
        ("resnet18", "fpn"),
        ("resnet34", "unet"),
        ("resnet50", "deeplabv3"),
        ("resnet50", "deeplabv3plus"),
        ("resnet50c", "deeplabv3"),
    ],
)
def test_mmseg_itself(encoder, decoder, stored, mmseg_models):
    """The printed setting, built by MMSegmentation's own registry."""
    path, network = stored(encoder, decoder)
    backbone = mmseg_models.build(run(export(path, "mmseg").how_to_load)["model"]["backbone"])
    backbone.init_weights()
    backbone.eval()  # which returns None
    pixels = images(2, 3, 96, 64)
    with torch.no_grad():
        found = backbone(normalised(network, pixels))
    assert difference(found, maps(network, pixels)[1:]) < 1e-5


def test_mmseg_s_own_base_config(stored, mmseg_models, tmp_path):
    """Which starts from weights of theirs, and normalises in a way of its own."""
    from mmengine.config import Config
    from mmseg.utils import register_all_modules

    path, network = stored("resnet50c", "deeplabv3")
    [base] = Path(find_spec("mmseg").origin).parent.glob(".mim/configs/_base_/models/deeplabv3_r50-d8.py")
    (tmp_path / "config.py").write_text(f"_base_ = [{str(base)!r}]\n{export(path, 'mmseg').how_to_load}\n")
    register_all_modules()
    model = mmseg_models.build(Config.fromfile(tmp_path / "config.py").model)
    model.init_weights()
    model.eval()
    pixels = images(2, 3, 96, 64)
    given = model.data_preprocessor({"inputs": list(pixels.flip(1))})["inputs"]  # theirs are BGR
    assert difference([given], [normalised(network, pixels)]) < 1e-5
    with torch.no_grad():
        found = model.backbone(normalised(network, pixels))
    assert difference(found, maps(network, pixels)[1:]) < 1e-5


@pytest.mark.parametrize("to", ["mmseg", "torchvision"])
@pytest.mark.parametrize(
    "encoder, decoder, more",
    [
        ("resnet18", "deeplabv3", {}),
        ("resnet34", "deeplabv3plus", {}),
        ("resnet18", "deeplabv3plus", {"output_stride": 8}),
        ("resnet18", "pan", {}),
    ],
)
def test_dilated_basic_blocks_are_refused(to, encoder, decoder, more, stored):
    """As neither has them: the maps of stages 3 and 4 were others, without a word."""
    path, _ = stored(encoder, decoder, **more)
    with pytest.raises(UserError, match=rf"{decoder} has {encoder} dilated .*{to} does not.*--to timm.*--to smp"):
        export(path, to)
    assert not list(path.parent.glob("export/*"))


@pytest.mark.parametrize("decoder, last", [("deeplabv3", "True, True"), ("deeplabv3plus", "False, True")])
def test_torchvision_warns_of_dilated_stages(decoder, last, stored):
    text = export(stored("resnet50", decoder)[0], "torchvision").how_to_load
    assert f"# WARNING: {decoder} had its last stages dilated." in text
    assert text.count(f"replace_stride_with_dilation=[False, {last}]") == 2  # in the warning, and in the code


def test_torchvision_without_dilated_stages_warns_of_nothing(stored):
    assert "WARNING" not in export(stored("resnet18")[0], "torchvision").how_to_load


DECODERS = ["fpn", "unet", "deeplabv3", "deeplabv3plus", "upernet", "segformer", "pspnet", "linknet", "pan"]


@pytest.mark.parametrize("decoder", DECODERS)
def test_smp(decoder, stored):
    path, network = stored("test_efficientnet", decoder)
    model = run(export(path, "smp").how_to_load)["model"]
    pixels = images(2, 3, 128, 128)
    with torch.no_grad():
        assert float((model(normalised(network, pixels)) - network.logits(pixels)).abs().max()) < 1e-5


@pytest.mark.skipif(not timm.is_model("test_coatnet"), reason="this timm has no test_coatnet")
def test_smp_takes_an_encoder_of_one_size(stored):
    path, network = stored("test_coatnet")
    made = export(path, "smp")
    assert made.how_to_load.splitlines()[-1].endswith("; 160 x 160 pixels")
    pixels = images(1, 3, 160, 160)
    with torch.no_grad():
        found = run(made.how_to_load)["model"](normalised(network, pixels))
        # 1e-5 on some processors, 1.5e-5 on others: attention over one size adds up in another order
        assert float((found - network.logits(pixels)).abs().max()) < 2e-5


def test_smp_takes_a_pretraining_without_its_head(stored):
    path, network = stored("resnet18", head="projection", decoder_channels=None)
    model = run(export(path, "smp").how_to_load)["model"].eval()
    pixels = images(1, 3, 64, 64)
    with torch.no_grad():
        found = model.decoder(model.encoder(normalised(network, pixels)))
        assert float((found - network.features(pixels)).abs().max()) < 1e-5


@pytest.mark.parametrize("part", ["network", "encoder"])
def test_safetensors(part, stored):
    path, network = stored("test_vit")
    made = export(path, "safetensors", part)
    space = run(made.how_to_load)
    expected = network.encoder.model.state_dict() if part == "encoder" else network.state_dict()
    assert space["tensors"].keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in space["tensors"].items())
    assert json.loads(space["metadata"]["classes"]) == CLASSES
    assert json.loads(space["metadata"]["network"])["encoder"] == "test_vit"


def test_safetensors_of_the_encoder_leave_those_of_the_network(stored):
    path, network = stored("test_efficientnet")
    whole = export(path, "safetensors")
    encoder = export(path, "safetensors", "encoder")
    assert (whole.path.name, encoder.path.name) == ("plain.safetensors", "plain-encoder.safetensors")
    assert run(whole.how_to_load)["tensors"].keys() == network.state_dict().keys()
    assert run(encoder.how_to_load)["tensors"].keys() == network.encoder.model.state_dict().keys()


def test_no_two_exports_have_one_name():
    names = [name for names in _TARGETS.values() for name in names.values()]
    assert len(set(names)) == len(names) >= len(_TARGETS)


@pytest.mark.parametrize("to", ["torchvision", "mmseg"])
def test_encoders_that_a_library_lacks_are_refused_with_what_takes_them(to, stored):
    path, _ = stored("test_efficientnet")
    with pytest.raises(UserError, match=rf"test_efficientnet.*--to {to} takes resnet18.*--to timm"):
        export(path, to)


def test_half_a_resnet_is_refused(stored):
    path, _ = stored("resnet18", "pspnet")
    with pytest.raises(UserError, match=r"first stages of resnet18 alone"):
        export(path, "torchvision")


def test_smp_refuses_plain_vits(stored):
    path, _ = stored("test_vit")
    with pytest.raises(UserError, match=r"no pyramid of a plain ViT.*--to onnx"):
        export(path, "smp")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--to", "timm", "--part", "network"],
            "--to timm takes the encoder alone; for the network: --to smp, onnx, saf",
        ),
        (["--to", "smp", "--part", "encoder"], "--to smp takes the network alone"),
        (["--to", "timm", "--int8"], "are for --to onnx"),
        (["--to", "timm", "--out", "encoder"], "timm knows the format by the name; call it encoder.safetensors"),
        (["--to", "onnx", "--out", "/dev/null/x.onnx"], "/dev/null/x.onnx cannot be written ("),
        (["--to", "transformers", "--out", __file__], "test_targets.py cannot be written (File exists)"),
    ],
)
def test_the_command_refuses(arguments, message, stored, mdpseg_command):
    path, _ = stored("test_efficientnet")
    code, out, err = mdpseg_command("export", path, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_the_command(stored, mdpseg_command, tmp_path):
    path, _ = stored("resnet18")
    code, out, err = mdpseg_command("export", path.parent, "--to", "timm", "--out", tmp_path / "a" / "b.safetensors")
    assert (code, err) == (0, "")
    first, _, snippet = out.partition("\n")
    assert first == str(tmp_path / "a" / "b.safetensors")
    assert re.search(r"minus \[0\.485, 0\.456, 0\.406\]", snippet)
    assert run(snippet)["encoder"](torch.zeros(1, 3, 64, 64))
    with safe_open(first, "pt") as file:
        assert file.metadata()["made_by"] == "mdpseg"


@pytest.mark.parametrize("to", ["torchvision", "mmseg"])
def test_a_name_without_a_suffix(to, stored, tmp_path):
    made = export(stored("resnet18")[0], to, out=tmp_path / "encoder")
    assert torch.load(made.path, weights_only=True)


def test_into_a_folder(stored, tmp_path):
    path, _ = stored("resnet18")
    (tmp_path / "there").mkdir()
    assert export(path, "timm", out=tmp_path / "there").path == tmp_path / "there" / "timm.safetensors"
    made = export(path, "transformers", out=tmp_path / "there")
    assert (made.path / "config.json").is_file()


@pytest.mark.parametrize(
    "to, out, there",
    [
        ("safetensors", "run/weights.safetensors", "run/weights.safetensors"),  # the run's own
        ("timm", "run/last.safetensors", "run/last.safetensors"),
        ("smp", "run", "run/smp.safetensors"),
        ("transformers", "run", "run/config.json"),
        ("transformers", "run", "run/model.safetensors"),
    ],
)
def test_nothing_that_is_there_is_overwritten(to, out, there, stored, mdpseg_command, tmp_path):
    path, _ = stored("test_efficientnet")
    if not (tmp_path / there).exists():
        (tmp_path / there).write_bytes(b"mine")
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    code, out, err = mdpseg_command("export", path.parent, "--to", to, "--out", tmp_path / out)
    assert (code, out) == (2, "")
    assert f"{tmp_path / there} exists; choose another --out" in err
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


def test_an_export_replaces_its_earlier_one_at_the_default_place(stored):
    path, _ = stored("test_efficientnet")
    for to in ("safetensors", "transformers"):
        assert export(path, to) == export(path, to)


def test_exports_of_a_folder_s_other_weights_stand_beside_its_own(stored):
    path, _ = stored("test_efficientnet")
    other = path.with_name("weights-cup-v1.2.safetensors")  # with a dot, as a class may have
    state = {name: tensor + 1 for name, tensor in weights.load(path).state.items()}
    weights.save(other, dataclasses.replace(weights.load(path), state=state))
    for to, name in (("safetensors", "plain.safetensors"), ("transformers", "transformers")):
        one, two = export(path.parent, to), export(other, to)
        assert (one.path.name, two.path.name) == (name, f"weights-cup-v1.2-{name}")
        assert two == export(other, to)
        held = [made.path / "model.safetensors" if made.path.is_dir() else made.path for made in (one, two)]
        first, second = (load_file(file) for file in held)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key] + 1, second[key]) for key in first)
    assert len(list((path.parent / "export").iterdir())) == 4


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no weights.safetensors"):
        export(tmp_path, "timm")
