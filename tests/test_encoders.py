"""Families of timm encoders at sizes that are not those they were made for."""

import pytest
import timm
import torch
import torch.nn.functional as F

from mdpseg.config import EvalConfig, NetworkConfig
from mdpseg.encoders import TokenPyramid, check_known, traits
from mdpseg.engine.embedder import Embedder
from mdpseg.engine.inference import class_ids, class_scores
from mdpseg.engine.runtime import make_fabric
from mdpseg.errors import UserError
from mdpseg.network import SegmentationNetwork


def network(encoder, decoder="fpn", **more):
    torch.manual_seed(0)
    made = SegmentationNetwork(NetworkConfig(encoder=encoder, decoder=decoder, **more))
    made.set_classifier(3)
    return made


FAST = ["test_vit", "convnext_atto", "test_resnet"]
SLOW = [
    "vit_tiny_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_dinov3",
    "eva02_tiny_patch14_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "pvt_v2_b0",
    "efficientvit_b0",
]


@pytest.mark.parametrize("encoder", FAST + [pytest.param(name, marks=pytest.mark.slow) for name in SLOW])
def test_a_family_trains_and_predicts_at_any_size(encoder):
    made = network(encoder, decoder_channels=32).train()
    for side in (64, 96):
        made(torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())
    with torch.no_grad():
        assert made.eval().logits(torch.zeros(1, 3, 75, 130)).shape == (1, 3, 75, 130)


def test_the_maps_of_an_fpn_are_added_as_they_are_stored():
    merge = network("test_resnet", decoder_channels=32).decoder.merge
    maps = [torch.randn(2, 32, 6, 5).contiguous(memory_format=torch.channels_last) for _ in range(4)]
    total = merge(maps)
    assert total.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(total, torch.stack(maps).sum(0))


@pytest.mark.parametrize("decoder", ["unet", "upernet", "segformer", "deeplabv3", "deeplabv3plus", "pspnet", "linknet"])
def test_a_plain_vit_goes_with_every_decoder(decoder):
    with torch.no_grad():
        assert network("test_vit", decoder).eval().logits(torch.zeros(1, 3, 64, 96)).shape == (1, 3, 64, 96)


class Patches(torch.nn.Module):
    """Four maps of the patches' mean pixels."""

    def forward(self, images):
        return [F.avg_pool2d(images, 14) for _ in range(4)]


def test_maps_lie_where_their_pixels_are():
    """A patch of 14 does not divide 96; yet the cells of the maps are those of 4, 8, 16 and 32 pixels."""
    pyramid = TokenPyramid("vit_small_patch14_dinov2").eval()
    pyramid.model = Patches()
    x = torch.linspace(-1, 1, 96)[None, None, None].expand(1, 1, 96, 96)
    maps = pyramid(torch.cat([x, -x, x * 0], 1))
    assert [m.shape[-1] for m in maps] == [96, 48, 24, 12, 6, 3]
    for stride, found in zip((4, 8, 16, 32), maps[2:], strict=True):
        middles = F.avg_pool2d(x, stride)[0, 0, 0]
        ramp = found[0, 0, 0]  # the norm keeps the sign
        assert bool((ramp.sign()[middles.abs() > 0.2] == middles.sign()[middles.abs() > 0.2]).all())


def test_a_patch_of_16_gives_timm_s_own_tokens():
    made = network("test_vit").eval()
    own = timm.create_model("test_vit", features_only=True, out_indices=made.encoder.model.out_indices)
    assert made.encoder.patch == 16
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        tokens, found = made.encoder.model(pixels)[2], made.encoder(pixels)[4]
    assert torch.allclose(found, F.layer_norm(tokens.permute(0, 2, 3, 1), tokens.shape[1:2]).permute(0, 3, 1, 2))
    assert own.state_dict().keys() == made.encoder.model.state_dict().keys()


@pytest.mark.parametrize(
    "name, hint",
    [
        ("resnet_50", "did you mean resnet50 or"),
        ("ResNet18", "did you mean resnet18 or"),
        ("tu-efficientnet-b0", "'efficientnet-b0'; did you mean efficientnet_b0 or"),
        ("resnet5.a1_in1k", "did you mean resnet50 or"),
        ("mobilenetv3_smal_100", "did you mean mobilenetv3_small_100 or"),
        ("swin", "did you mean swin_"),
        ("resnet18.", "did you mean resnet18 or resnet18."),
        ("tu-resnet18.a1_in1", "'resnet18.a1_in1'; did you mean resnet18 or resnet18.a1_in1k or"),
        ("vit_base_r26_s32_224.x", "did you mean vit_base_r26_s32_224?"),
        ("convnext_tiny_in22ft1k", "did you mean convnext_tiny"),  # of long ago
        ("zzzz", "list_models"),
        ("", "list_models"),
        ("[*?", "list_models"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, hint):
    with pytest.raises(UserError, match="timm has no encoder") as error:
        check_known(name)
    assert hint in str(error.value)
    for suggested in str(error.value).partition("did you mean ")[2].rstrip("?").split(" or "):
        assert not suggested or timm.is_model(suggested)


@pytest.mark.parametrize("name", ["resnet18", "tu-resnet18", "resnet18.a1_in1k", "vit_base_r26_s32_224.untrained"])
def test_known_names(name):
    assert check_known(name) is None


def test_swin_cannot_be_dilated():
    with pytest.raises(UserError, match=r"swin_tiny.*does not go with decoder deeplabv3.*choose fpn, upernet"):
        network("swin_tiny_patch4_window7_224", "deeplabv3")


@pytest.mark.parametrize("encoder, decoder", [("dla34", "deeplabv3"), ("vovnet39a", "pan"), ("vgg11", "deeplabv3plus")])
def test_what_timm_asserts_to_be_undilated_cannot_be(encoder, decoder):
    with pytest.raises(UserError, match=rf"^Encoder {encoder} does not go with decoder {decoder}: it cannot be d"):
        network(encoder, decoder)


@pytest.mark.parametrize("text, told", [("of 2 blocks", "of 2 blocks"), ("", "AssertionError")])
def test_another_assertion_is_told_as_it_is(text, told, monkeypatch):
    def create_model(*_, **__):
        raise AssertionError(text)

    monkeypatch.setattr("segmentation_models_pytorch.create_model", create_model)
    with pytest.raises(UserError, match=f"^Encoder test_resnet does not go with decoder fpn: {told}$"):
        network("test_resnet")


@pytest.mark.skipif(not timm.is_model("test_coatnet"), reason="this timm has no test_coatnet")
def test_an_encoder_of_one_size_says_so():
    made = network("test_coatnet").eval()
    assert traits("test_coatnet").fixed == 160
    with torch.no_grad():
        assert made(torch.zeros(1, 3, 160, 160)).shape == (1, 3, 40, 40)
        with pytest.raises(
            UserError, match=r"made for 160 x 160 pixels and did not take 64 x 64; set augment.crop=160"
        ):
            made(torch.zeros(1, 3, 64, 64))
        with pytest.raises(UserError, match=r"did not take 160 x 416; .*eval.window=160"):
            made.logits(torch.zeros(1, 3, 100, 400))


@pytest.mark.skipif(not timm.is_model("test_coatnet"), reason="this timm has no test_coatnet")
def test_an_encoder_of_one_size_takes_smaller_images_and_windows():
    made = network("test_coatnet").eval()
    image = torch.randint(0, 256, (3, 100, 400), dtype=torch.uint8)
    padded = F.pad(image[None, :, :, :160].float(), (0, 0, 0, 60), value=float(made.mean.mean() * 255))
    with torch.no_grad():
        expected = F.interpolate(made(padded), (160, 160), mode="bilinear")[0, :, :100]
        assert torch.allclose(made.logits(image[None, :, :, :160])[0], expected, atol=1e-5)
    config = EvalConfig(window=160, stride=120)
    scores = class_scores(made, image, config)
    assert torch.allclose(scores[:, :, :120], expected[:, :, :120], atol=1e-5)  # where no other window is
    assert torch.equal(class_ids(made, image, config), scores.argmax(0))
    embedder = Embedder(made, make_fabric("cpu", "fp32"))
    assert embedder.stride == 4
    assert embedder(image[:, :, :130]).shape[1:] == (25, 33)
