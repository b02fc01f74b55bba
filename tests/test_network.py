from typing import get_args

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError
from mdpseg.network import Projection, PrototypeClassifier, SegmentationNetwork, momentum_copy, update_momentum
from tests.tiny import NETWORK, TinyNetwork

DECODERS = get_args(NetworkConfig.model_fields["decoder"].annotation)
STRIDES = {"deeplabv3": 8, "unet": 1, "unetplusplus": 1, "linknet": 1, "pspnet": 8}  # others: 4


def network(**settings):
    torch.manual_seed(0)
    return SegmentationNetwork(NetworkConfig.model_validate({**NETWORK, **settings}))


def images(*size):
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", ["resnet18", "mobilenetv3_small_100", "tf_efficientnet_lite0"])
def test_every_decoder_goes_with_every_encoder(encoder, decoder):
    made = network(encoder=encoder, decoder=decoder).eval()
    side = 128 if decoder == "pan" else 64  # PAN pools its last map three times
    stride = STRIDES.get(decoder, 4)
    made.set_projection()
    with torch.no_grad():
        embeddings = made(images(2, 3, side, side))
        assert embeddings.shape == (2, 16, side // stride, side // stride)
        assert torch.allclose(embeddings.norm(dim=1), torch.ones(1), atol=1e-5)
        made.set_classifier(5)
        assert made(images(2, 3, side, side)).shape == (2, 5, side // stride, side // stride)
        assert made.logits(images(2, 3, side, side)).shape == (2, 5, side, side)


def test_pan_refuses_small_crops_and_pads_small_images():
    made = network(decoder="pan").eval()
    made.set_classifier(5)
    with pytest.raises(UserError, match=r"pan takes no image under 128 x 128 .* 128 x 96; set augment.crop=128"):
        made.features(images(1, 3, 128, 96))
    with torch.no_grad():
        assert made.logits(images(1, 3, 50, 200)).shape == (1, 5, 50, 200)
        assert made.pad(images(1, 3, 50, 200)).shape == (1, 3, 128, 224)


OWN_WIDTHS = ("unet", "unetplusplus", "linknet")


@pytest.mark.parametrize("decoder", [d for d in DECODERS if d not in OWN_WIDTHS])
def test_decoder_channels_are_those_of_the_features(decoder):
    made = network(decoder=decoder, decoder_channels=32).eval()
    with torch.no_grad():
        assert made.features(images(1, 3, 128, 128)).shape[1] == made.feature_channels == 32


@pytest.mark.parametrize("channels, given, dim", [(32, None, 32), (256, None, 128), (32, 64, 64), (256, 200, 200)])
def test_embeddings_have_128_dimensions_or_what_a_narrow_decoder_has(channels, given, dim):
    made = network(decoder_channels=channels, embedding_dim=given).eval()
    made.set_projection()
    with torch.no_grad():
        assert made(images(1, 3, 64, 64)).shape[1] == made.embedding_dim == dim


@pytest.mark.parametrize("decoder", OWN_WIDTHS)
def test_decoder_channels_are_refused_where_each_stage_has_its_own(decoder):
    with pytest.raises(UserError, match=f"decoder_channels.*{decoder}"):
        network(decoder=decoder, decoder_channels=32)


def test_a_number_of_channels_that_a_decoder_does_not_take_is_named():
    with pytest.raises(UserError, match=r"^decoder_channels=48, decoder fpn and encoder \S+ do not go together: .*48"):
        network(decoder="fpn", decoder_channels=48)


@pytest.mark.parametrize("decoder, stride, side", [("deeplabv3", 8, 8), ("deeplabv3", 16, 4)])
def test_output_stride_is_that_of_the_last_map(decoder, stride, side):
    made = network(decoder=decoder, output_stride=stride).eval()
    with torch.no_grad():
        assert made.encoder(images(1, 3, 64, 64).float())[-1].shape[-2:] == (side, side)
        assert made.features(images(1, 3, 64, 64)).shape[-2:] == (side, side)


@pytest.mark.parametrize("stride, side", [(8, 8), (16, 4)])
def test_output_stride_of_deeplabv3plus(stride, side):
    made = network(decoder="deeplabv3plus", output_stride=stride).eval()
    with torch.no_grad():
        assert made.encoder(images(1, 3, 64, 64).float())[-1].shape[-2:] == (side, side)
        assert made.features(images(1, 3, 64, 64)).shape[-2:] == (16, 16)


@pytest.mark.parametrize("decoder", [d for d in DECODERS if not d.startswith("deeplab")])
def test_output_stride_is_refused_elsewhere(decoder):
    with pytest.raises(UserError, match=f"output_stride.*{decoder}"):
        network(decoder=decoder, output_stride=8)


def test_an_unknown_encoder_is_answered_with_names():
    with pytest.raises(UserError, match="resnet18"):
        network(encoder="resnet18x")
    with pytest.raises(UserError, match="resnet50"):
        network(encoder="resnet5")
    with pytest.raises(UserError, match="list_models"):
        network(encoder="zzzz")


def test_an_encoder_without_feature_maps_is_a_user_s_error():
    with pytest.raises(UserError, match="mixer_s32_224"):
        network(encoder="mixer_s32_224")


def test_smp_s_prefix_is_allowed():
    assert type(network(encoder="tu-resnet18").encoder) is type(network(encoder="resnet18").encoder)


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenetv3_small_100", "tf_efficientnet_lite0"])
def test_each_encoder_brings_its_normalisation(encoder):
    made, known = network(encoder=encoder), timm.get_pretrained_cfg(encoder)
    assert made.mean.flatten().tolist() == pytest.approx(known.mean)
    assert made.std.flatten().tolist() == pytest.approx(known.std)
    assert {"mean", "std"} <= set(made.state_dict())
    if encoder == "tf_efficientnet_lite0":
        assert made.mean.flatten().tolist() == made.std.flatten().tolist() == [0.5, 0.5, 0.5]


def test_the_encoder_sees_normalised_pixels():
    made = network(encoder="resnet18").eval()
    seen = []
    made.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        made.features(images(1, 3, 64, 64))
    expected = (images(1, 3, 64, 64).float() / 255 - made.mean) / made.std
    assert torch.allclose(seen[0], expected)


def test_the_encoder_computes_what_timm_s_does():
    made = network(encoder="tf_efficientnet_lite0").eval()
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    reference.load_state_dict(made.encoder.model.state_dict())
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(made.encoder(pixels)[-1], reference(pixels)[-1], atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (33, 70), (1, 1), (31, 65)])
def test_logits_have_the_size_of_their_image(size):
    made = network().eval()
    made.set_classifier(3)
    with torch.no_grad():
        logits = made.logits(images(2, 3, *size))
    assert logits.shape == (2, 3, *size)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_logits_are_the_enlarged_output_and_padding_lies_below_and_right():
    made = network().eval()
    made.set_classifier(3)
    with torch.no_grad():
        whole = made.logits(images(1, 3, 64, 96))
        assert torch.allclose(whole, F.interpolate(made(images(1, 3, 64, 96)), (64, 96), mode="bilinear"), atol=1e-6)
        padded = F.pad(images(1, 3, 50, 80).float(), (0, 16, 0, 14), value=float(made.mean.mean() * 255))
        expected = made.logits(padded)[..., :50, :80]
        assert torch.allclose(made.logits(images(1, 3, 50, 80)), expected, atol=1e-6)


def test_uint8_and_float_pixels_mean_the_same():
    made = network().eval()
    with torch.no_grad():
        assert torch.equal(made.features(images(1, 3, 64, 64)), made.features(images(1, 3, 64, 64).float()))


@pytest.mark.parametrize("kind, parameters", [("mlp", 12 * 12 + 24 + 12 * 8 + 8), ("linear", 12 * 8 + 8)])
def test_projection(kind, parameters):
    head = Projection(12, 8, kind)
    assert sum(p.numel() for p in head.parameters()) == parameters
    out = head(torch.randn(2, 12, 5, 6).bfloat16().float())
    assert out.shape == (2, 8, 5, 6)
    assert out.dtype == torch.float32
    assert torch.allclose(out.norm(dim=1), torch.ones(1), atol=1e-5)


def test_a_classifier_does_not_mind_the_features_scale():
    """Layer norm: a contrast of unit vectors leaves the scale of the features open."""
    made = TinyNetwork()
    made.set_classifier(4)
    features = torch.randn(1, 12, 4, 4)
    assert torch.allclose(made.head(features), made.head(100 * features), atol=1e-3)


def test_a_fresh_head_replaces_the_old_one():
    made = network()
    made.set_projection()
    made.set_classifier(3)
    first = made.state_dict()
    made.set_classifier(3)
    assert any(not torch.equal(first[name], t) for name, t in made.state_dict().items() if name.startswith("head."))
    assert not any("layers" in name for name in first)


def test_momentum():
    made = TinyNetwork()
    made.set_projection()
    follower = momentum_copy(made)
    assert not any(p.requires_grad for p in follower.parameters())
    assert all(p.requires_grad for p in made.parameters())
    buffers = {name: b.clone() for name, b in follower.named_buffers()}
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter))
    made.encoder[1].running_mean.add_(1)
    expected = [0.7 * a + 0.3 * b for a, b in zip(follower.parameters(), made.parameters(), strict=True)]
    update_momentum(follower, made, 0.7)
    for a, b in zip(follower.parameters(), expected, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert all(torch.equal(b, buffers[name]) for name, b in follower.named_buffers())


@pytest.mark.slow
@pytest.mark.parametrize("stride, side", [(None, 8), (16, 4)])
def test_the_network_of_the_paper(stride, side):
    made = network(encoder="resnet50", decoder="deeplabv3", output_stride=stride, embedding_dim=128).eval()
    made.set_projection()
    with torch.no_grad():
        assert made(images(1, 3, 64, 64)).shape == (1, 128, side, side)
    assert "resnet" in type(made.encoder.model).__name__.lower() or hasattr(made.encoder.model, "layer4")
    assert not any("aux" in name for name, _ in made.named_modules())


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_embeddings_are_float32_in_mixed_precision_too(kind):
    with torch.autocast("cpu", torch.bfloat16):
        out = Projection(12, 8, kind)(torch.randn(2, 12, 5, 6))
    assert out.dtype == torch.float32
    assert torch.allclose(out.norm(dim=1), torch.ones(1), atol=1e-5)


def test_a_vector_of_zeros_stays_0_with_a_finite_gradient():
    head, features = Projection(12, 8, "linear"), torch.zeros(1, 12, 2, 2, requires_grad=True)
    torch.nn.init.zeros_(head.layers.bias)
    out = head(features)
    out.sum().backward()
    assert not out.any()
    assert torch.isfinite(features.grad).all()


def test_images_that_were_given_are_not_changed():
    given = images(1, 3, 64, 64).float()
    TinyNetwork().features(given)
    assert torch.equal(given, images(1, 3, 64, 64).float())


def test_an_image_of_the_only_size_that_an_encoder_takes_is_not_padded():
    class OneSize(TinyNetwork):
        least_side = 50  # not a multiple of the stride

    assert OneSize().pad(images(1, 3, 50, 50)).shape == (1, 3, 50, 50)
    assert OneSize().pad(images(1, 3, 40, 51)).shape == (1, 3, 50, 64)


def test_prototypes_that_are_alike_are_told_apart_under_autocast():
    """Logits of 8 and more are 1/16 apart in bfloat16."""
    vectors = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.01]]), dim=1)
    classifier = PrototypeClassifier(nn.Identity(), vectors, torch.ones(2, dtype=torch.bool), 0.07, torch.zeros(2))
    features = vectors[1].reshape(1, 2, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        scores = classifier(features)
    assert torch.equal(scores, classifier(features))
    assert scores[0, 1] > scores[0, 0]
