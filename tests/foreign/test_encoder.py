"""Another library's own files start our encoder, whose features are then that library's own."""

import argparse
import itertools
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.convnext import CNBlockConfig

from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError
from mdpseg.first_stage import start_network


def start(path, encoder, **more):
    config = NetworkConfig.model_validate({"encoder": encoder, "decoder": "fpn", "decoder_channels": 32})
    return start_network(str(path), config, **more).eval()


def donor(model):
    """With statistics that are not the first ones."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model.eval()


def pixels(side=64):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def difference(network, expected, side=64):
    """The largest, over the encoder's maps, relative to their size."""
    found = network.encoder.model(pixels(side))
    found = found[-len(expected) :]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in zip(found, expected, strict=True))


@torch.no_grad()
def resnet_maps(model):
    names = {f"layer{number}": str(number) for number in (1, 2, 3, 4)}
    return list(IntermediateLayerGetter(model, names)(pixels()).values())


@torch.no_grad()
def token_maps(model, network, side=64):
    return model.forward_intermediates(pixels(side), indices=network.encoder.model.out_indices, intermediates_only=True)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("name", ["test_vit", "resnet18", "test_convnext"])
def test_timm(name, suffix, tmp_path):
    torch.manual_seed(1)
    model, path = donor(timm.create_model(name, num_classes=7)), tmp_path / f"w.{suffix}"
    save_file(model.state_dict(), path) if suffix == "safetensors" else torch.save(model.state_dict(), path)
    network = start(path, name)
    side = 160 if name == "test_vit" else 64  # a timm ViT takes its own size alone
    with torch.no_grad():
        expected = model.forward_intermediates(pixels(side), intermediates_only=True)
    expected = token_maps(model, network, side) if name == "test_vit" else expected
    assert difference(network, expected, side) < 1e-5
    total = len([k for k in network.encoder.model.state_dict() if not k.endswith("num_batches_tracked")])
    assert f"{total} of the encoder's {total} tensors loaded, by timm's names" in network.origin


def test_torchvision_resnet(tmp_path):
    model = donor(torchvision.models.resnet18())
    torch.save(model.state_dict(), tmp_path / "resnet18.pth")
    network = start(tmp_path / "resnet18.pth", "resnet18")
    assert difference(network, resnet_maps(model)) < 1e-5
    assert "2 in the file without a place (fc.weight, fc.bias)" in network.origin


def test_files_without_counters_of_batches_are_whole(tmp_path):
    model = donor(torchvision.models.resnet18())
    old = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "w.pth")
    network = start(tmp_path / "w.pth", "resnet18")
    assert "not in the file" not in network.origin
    assert difference(network, resnet_maps(model)) < 1e-5


def test_torchvision_vit(tmp_path):
    model = torchvision.models.VisionTransformer(224, 16, 12, 3, 192, 768)  # the shape of timm's tiny one
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    torch.save(model.eval().state_dict(), tmp_path / "vit.pth")
    network = start(tmp_path / "vit.pth", "vit_tiny_patch16_224")
    seen = []
    for layer in model.encoder.layers:
        layer.register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.no_grad():
        model(pixels(224))
    expected = [seen[i][:, 1:].mT.unflatten(2, (14, 14)) for i in (2, 5, 8, 11)]
    assert difference(network, expected, 224) < 1e-5
    assert "by torchvision's ViT names" in network.origin


def test_torchvision_convnext(tmp_path):
    widths = [40, 80, 160, 320, None]  # timm's atto
    blocks = [CNBlockConfig(a, b, n) for a, b, n in zip(widths, widths[1:], (2, 2, 6, 2), strict=False)]
    model = torchvision.models.ConvNeXt(blocks).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("layer_scale"):
            nn.init.uniform_(parameter)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    network = start(tmp_path / "w.pth", "convnext_atto")
    stages = [model.features[: end + 1] for end in (1, 3, 5, 7)]
    with torch.no_grad():
        assert difference(network, [stage(pixels()) for stage in stages]) < 1e-5


@pytest.mark.slow
def test_torchvision_swin(tmp_path):
    model = torchvision.models.swin_t().eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    network = start(tmp_path / "w.pth", "swin_tiny_patch4_window7_224")
    with torch.no_grad():
        expected = [model.features[: end + 1](pixels(224)) for end in (1, 3, 5, 7)]
    assert difference(network, expected, 224) < 1e-5
    assert "not in the file" not in network.origin


def test_mmsegmentation_s_resnet(tmp_path):
    model = donor(torchvision.models.resnet18())  # mmseg's plain ResNet has its names
    state = {f"backbone.{name}": t for name, t in model.state_dict().items() if not name.startswith("fc.")}
    state["decode_head.conv_seg.weight"] = torch.zeros(19, 64, 1, 1)
    torch.save({"meta": {"epoch": 3, "cfg": "x"}, "state_dict": state}, tmp_path / "w.pth")
    network = start(tmp_path / "w.pth", "resnet18")
    assert difference(network, resnet_maps(model)) < 1e-5
    assert "decode_head.conv_seg.weight" in network.origin


class ResNetV1c(nn.Module):
    """MMSegmentation's: torchvision's ResNet whose first convolution is three, called ``stem``."""

    def __init__(self):
        super().__init__()
        body = torchvision.models.resnet50()
        widths = [3, 32, 32, 64]
        self.stem = nn.Sequential()
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            self.stem.extend([nn.Conv2d(a, b, 3, 1 if i else 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()])
        self.maxpool = body.maxpool
        for layer in ("layer1", "layer2", "layer3", "layer4"):
            setattr(self, layer, getattr(body, layer))


@pytest.mark.slow
def test_mmsegmentation_s_resnet_v1c(tmp_path):
    model = donor(ResNetV1c())
    torch.save({"state_dict": {f"backbone.{k}": t for k, t in model.state_dict().items()}}, tmp_path / "w.pth")
    assert difference(start(tmp_path / "w.pth", "resnet50c"), resnet_maps(model)) < 1e-5
    with pytest.raises(UserError, match=r"stem has three convolutions.*resnet50c"):
        start(tmp_path / "w.pth", "resnet50")
    torch.save(torchvision.models.resnet50().state_dict(), tmp_path / "plain.pth")
    with pytest.raises(UserError, match=r"its first layer, conv1.0.weight, is not there"):
        start(tmp_path / "plain.pth", "resnet50c")


@pytest.mark.parametrize("who", ["teacher", "student"])
def test_dino_s_checkpoints(who, tmp_path):
    model = timm.create_model("vit_tiny_patch16_224").eval()
    state = {f"module.backbone.{k}": v for k, v in model.state_dict().items() if not k.startswith("head.")}
    state["module.head.last_layer.weight_g"] = torch.ones(8, 1)
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    content = {"student": state} if who == "student" else {"student": other, "teacher": state}
    torch.save({**content, "epoch": 3, "args": argparse.Namespace(arch="vit_tiny")}, tmp_path / "checkpoint.pth")
    network = start(tmp_path / "checkpoint.pth", "vit_tiny_patch16_224")
    assert difference(network, token_maps(model, network, 224), 224) < 1e-5


@pytest.mark.slow
def test_dinov2_with_registers_and_chunks(tmp_path):
    model = timm.create_model("vit_small_patch14_reg4_dinov2", img_size=56).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    state = dict(model.state_dict())
    # facebook's names: the class token's position apart, registers without, blocks in four chunks
    position = torch.randn(1, 1, 384)
    state["pos_embed"] = torch.cat([position, state["pos_embed"]], 1)
    state["cls_token"] = state["cls_token"] - position
    state["register_tokens"], state["mask_token"] = state.pop("reg_token"), torch.zeros(1, 384)
    chunked = {}
    for name, tensor in state.items():
        parts = name.split(".")
        chunked[".".join(["blocks", str(int(parts[1]) // 3), *parts[1:]]) if parts[0] == "blocks" else name] = tensor
    torch.save({"teacher": {f"backbone.{k}": v for k, v in chunked.items()}}, tmp_path / "teacher_checkpoint.pth")
    network = start(tmp_path / "teacher_checkpoint.pth", "vit_small_patch14_reg4_dinov2")
    whole = timm.create_model(
        "vit_small_patch14_reg4_dinov2", dynamic_img_size=True
    ).eval()  # positions as timm resamples them
    whole.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(dict(model.state_dict()), whole))
    with torch.no_grad():
        inner = network.encoder.model.model
        assert torch.allclose(inner.pos_embed, whole.pos_embed, atol=1e-5)
        assert torch.allclose(inner.cls_token, model.cls_token, atol=1e-5)
        assert difference(network, token_maps(whole, network, 84), 84) < 1e-5


def test_positions_of_another_size_are_resampled_as_timm_does(tmp_path):
    donor = timm.create_model("test_vit", img_size=96, dynamic_img_size=True)
    torch.save(donor.state_dict(), tmp_path / "w.pth")
    network = start(tmp_path / "w.pth", "test_vit")
    overlay = {"file": str(tmp_path / "w.pth"), "custom_load": False}
    theirs = timm.create_model("test_vit", pretrained=True, pretrained_cfg_overlay=overlay)
    ours = network.encoder.model.model
    assert ours.pos_embed.shape != donor.pos_embed.shape
    assert torch.allclose(ours.pos_embed, theirs.pos_embed, atol=1e-6)


def test_too_little_is_refused_unless_allowed(tmp_path):
    state = torchvision.models.resnet18().state_dict()
    half = {name: tensor for name, tensor in state.items() if not name.startswith(("layer3", "layer4"))}
    half["layer1.0.conv1.weight"] = torch.zeros(64, 64, 1, 1)
    torch.save(half, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"less than 90%.*not in the file \(layer3.*64, 64, 1, 1\] instead of") as error:
        start(tmp_path / "w.pth", "resnet18")
    assert "init_allow_partial" in str(error.value)
    network = start(tmp_path / "w.pth", "resnet18", allow_partial=True)
    assert torch.equal(network.encoder.model.layer2[0].conv1.weight, state["layer2.0.conv1.weight"])
    assert "not in the file" in network.origin


def test_another_architecture_is_refused(tmp_path):
    torch.save(torchvision.models.mobilenet_v2().state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w.pth does not fit encoder resnet18.*Set network.encoder"):
        start(tmp_path / "w.pth", "resnet18")


def test_nothing_at_all_is_refused_in_any_case(tmp_path):
    torch.save({"somebody.s": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="less than 90%"):
        start(tmp_path / "w.pth", "resnet18", allow_partial=True)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda tensor: tensor.to("meta"), "without values"),
        (lambda tensor: tensor.to_sparse(), "sparse"),
        (lambda tensor: tensor.long(), "as int64"),
        (lambda tensor: tensor.to(torch.complex64), "as complex64"),
        (lambda tensor: tensor * torch.nan, "not finite"),
        pytest.param(
            lambda tensor: torch.zeros(tensor.shape, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
            "as float4",
            marks=pytest.mark.skipif(not hasattr(torch, "float4_e2m1fn_x2"), reason="this torch has no such numbers"),
        ),
    ],
    ids=["meta", "sparse", "integers", "complex", "nan", "4 bits"],
)
def test_tensors_that_are_no_weights_are_refused(change, said, tmp_path):
    state = torchvision.models.resnet18().state_dict()
    torch.save({**state, "conv1.weight": change(state["conv1.weight"])}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"conv1.weight .*{said}"):
        start(tmp_path / "w.pth", "resnet18")


def test_a_file_that_holds_itself_comes_to_an_end(tmp_path):
    content = {}
    content["state_dict"] = content
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match="no named tensors"):
        start(tmp_path / "w.pth", "resnet18")


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_code_is_not_run(tmp_path, capsys):
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}, "meta": Evil()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"without running code"):
        start(tmp_path / "w.pth", "resnet18")
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_torch_s_old_format_is_refused_with_the_way_out(name, tmp_path):
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, tmp_path / name, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"old format.*weights_only=True"):
        start(tmp_path / name, "resnet18")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_cannot_be_opened_is_named(name, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(b"PK")

    def closed(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", closed)  # root opens whatever its mode says
    with pytest.raises(UserError, match=rf"{name} cannot be read \(Permission denied\)"):
        start(tmp_path / name, "resnet18")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(1)], {"state_dict": {"a": 3}}])
def test_files_without_tensors_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"no named tensors"):
        start(tmp_path / "w.pth", "resnet18")
