"""What lightly-train's own packages export starts our encoder. Skipped where it is not installed (extra ``bench``)."""

import pytest
import torch

pytest.importorskip("lightly_train")

from lightly_train._models.dinov2_vit.dinov2_vit_package import DINOV2_VIT_PACKAGE
from lightly_train._models.timm.timm_package import TIMM_PACKAGE
from lightly_train._models.torchvision.torchvision_package import TORCHVISION_PACKAGE

from tests.foreign.test_encoder import difference, donor, pixels, resnet_maps, start, token_maps


def test_timm(tmp_path):
    model = donor(TIMM_PACKAGE.get_model("vit_tiny_patch16_224", load_weights=False))
    TIMM_PACKAGE.export_model(model, tmp_path / "exported_last.pt", log_example=False)
    network = start(tmp_path / "exported_last.pt", "vit_tiny_patch16_224")
    with torch.no_grad():
        assert difference(network, token_maps(model, network, 224), 224) < 1e-5


def test_torchvision(tmp_path):
    model = donor(TORCHVISION_PACKAGE.get_model("resnet18", load_weights=False))
    TORCHVISION_PACKAGE.export_model(model, tmp_path / "exported_last.pt", log_example=False)
    assert difference(start(tmp_path / "exported_last.pt", "resnet18"), resnet_maps(model)) < 1e-5


@pytest.mark.parametrize(
    "theirs, ours", [("vits14-noreg", "vit_small_patch14_dinov2"), ("vits14", "vit_small_patch14_reg4_dinov2")]
)
def test_dinov2(theirs, ours, tmp_path):
    """Facebook's own network, under Facebook's names."""
    torch.manual_seed(0)
    model = DINOV2_VIT_PACKAGE.get_model(theirs, load_weights=False).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    DINOV2_VIT_PACKAGE.export_model(model, tmp_path / "exported_last.pt", log_example=False)
    network = start(tmp_path / "exported_last.pt", ours)
    side = 518 if model.pos_embed.shape[1] == 37 * 37 + 1 else 14 * int((model.pos_embed.shape[1] - 1) ** 0.5)
    with torch.no_grad():
        expected = model.get_intermediate_layers(pixels(side), n=[2, 5, 8, 11], reshape=True, norm=False)
    assert difference(network, list(expected), side) < 1e-5
