import pytest
import timm
import torch

from mdpseg import first_stage, weights
from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError
from mdpseg.first_stage import start_network
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.finetune import Finetune
from tests.tiny import NETWORK

CONFIG = NetworkConfig.model_validate(NETWORK)


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(3)
    network = SegmentationNetwork(CONFIG)
    network.set_projection()
    space = LabelSpace.concatenate({"a": ["p", "q"], "b": ["p", "r"]})
    whole = weights.Weights(CONFIG, network.state_dict(), space, "projection")
    weights.save(tmp_path / "weights.safetensors", whole)
    return tmp_path / "weights.safetensors", whole


def test_scratch_needs_nothing_and_has_the_small_network_by_default():
    assert start_network("scratch", None).config == NetworkConfig()
    assert start_network("scratch", CONFIG).config == CONFIG


@pytest.mark.parametrize("config", [None, CONFIG])
def test_from_a_pretraining_encoder_and_decoder_are_kept_exactly(config, stored):
    path, whole = stored
    made = start_network(str(path), config)
    body = {name: tensor for name, tensor in whole.state.items() if not name.startswith("head.")}
    assert set(made.state_dict()) == set(body)
    assert all(torch.equal(tensor, body[name]) for name, tensor in made.state_dict().items())
    assert isinstance(made.head, torch.nn.Identity)
    assert all(p.requires_grad for p in made.parameters())


def test_the_classifier_of_a_fine_tuning_is_fresh(stored):
    path, whole = stored
    space = LabelSpace.concatenate({"t": ["x", "y", "z"]})
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        network = start_network(str(path), None)
        Finetune(network, space)
        heads.append(torch.cat([p.flatten() for p in network.head.parameters()]))
        assert network.head[-1].out_channels == 3
        assert all(
            torch.equal(t, whole.state[name]) for name, t in network.encoder.state_dict(prefix="encoder.").items()
        )
        assert all(
            torch.equal(t, whole.state[name]) for name, t in network.decoder.state_dict(prefix="decoder.").items()
        )
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize(
    "other", [{"encoder": "resnet18"}, {"decoder": "unet"}, {"decoder": "deeplabv3", "output_stride": 16}]
)
def test_another_architecture_is_refused(other, stored):
    setting, value = next(iter(other.items()))
    with pytest.raises(UserError, match=f"weights.safetensors.*{setting}.*{value}"):
        start_network(str(stored[0]), NetworkConfig.model_validate({**NETWORK, **other}))


def test_another_embedding_is_no_other_architecture(stored):
    assert start_network(str(stored[0]), CONFIG.model_copy(update={"embedding_dim": 32}))


@pytest.mark.parametrize("content", [None, b"junk, of no format at all", b""])
def test_a_wrong_init_is_told_what_may_stand_there(content, tmp_path):
    path = tmp_path / "some.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"some\.pth.*weights\.safetensors of a run.*torch file \(\.pth, \.pt, \.ckpt"):
        start_network(str(path), CONFIG)
    with pytest.raises(UserError) as error:  # predict, evaluate, export: only our own
        weights.load(path)
    assert ".ckpt" not in str(error.value)


@pytest.mark.parametrize("init", ["scratch", "imagenet", "nothere.pth"])
def test_an_unknown_encoder_is_answered_with_the_nearest(init):
    with pytest.raises(UserError, match=r"timm has no encoder 'resnet_50'; did you mean resnet50 or"):
        start_network(init, NetworkConfig(encoder="tu-resnet_50"))


def test_imagenet_without_a_network_says_what_to_do(monkeypatch):
    def offline(*_, **__):
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(first_stage.timm, "create_model", offline)
    monkeypatch.setattr(first_stage, "SegmentationNetwork", SimpleNetwork)
    with pytest.raises(UserError, match=r"mobilenetv3_small_050.*lite0") as error:
        start_network("imagenet", CONFIG)
    assert "\n" not in str(error.value)


def test_imagenet_for_a_decoder_that_leaves_the_last_stages_out(monkeypatch):
    made, donors = timm.create_model, []

    def without_download(*names, pretrained=False, **options):
        donors.append(made(*names, **options))
        return donors[-1]

    monkeypatch.setattr(first_stage.timm, "create_model", without_download)
    network = start_network("imagenet", NetworkConfig(encoder="resnet18", decoder="pspnet"))
    found, given = network.encoder.model.state_dict(), donors[-1].state_dict()
    assert len(found) < len(given)
    assert all(torch.equal(tensor, given[name]) for name, tensor in found.items())


class SimpleNetwork:
    def __init__(self, config):
        self.config, self.encoder = config, None


def test_the_seed_fixes_the_start():
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(start_network("scratch", CONFIG).state_dict())
    same = [all(torch.equal(made[0][name], other[name]) for name in other) for other in made]
    assert same == [True, True, False]


def test_a_run_s_folder_stands_for_its_weights(stored):
    path, whole = stored
    network = start_network(str(path.parent), CONFIG)
    assert all(torch.equal(tensor, whole.state[name]) for name, tensor in network.state_dict().items())
