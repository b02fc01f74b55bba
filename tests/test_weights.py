import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mdpseg import weights
from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.finetune import Finetune
from tests.tiny import NETWORK, same

SPACE = LabelSpace.concatenate({"a": ["p", "ü"], "b": ["p", "rest"]}, catch_alls={"b": "rest"}, catch_all_as="private")
CONFIG = NetworkConfig.model_validate(NETWORK)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    made = SegmentationNetwork(CONFIG)
    made.set_projection()
    for module in made.modules():  # running statistics that are not the initial ones
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return made


@pytest.fixture
def stored(network, tmp_path):
    prototypes = torch.nn.functional.normalize(torch.randn(4, 16), dim=1)
    present = torch.tensor([True, False, True, True])
    whole = weights.Weights(CONFIG, network.state_dict(), SPACE, "projection", prototypes, present)
    weights.save(tmp_path / "weights.safetensors", whole)
    return tmp_path / "weights.safetensors", whole


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("head", ["projection", "classifier"])
def test_a_round_trip_gives_identical_outputs(head, channels_last, network, tmp_path):
    made = SegmentationNetwork(CONFIG)
    if head == "projection":
        made.set_projection()
        made.load_state_dict(network.state_dict())
    else:
        made.set_classifier(4)
    made.eval()
    if channels_last:
        made = made.to(memory_format=torch.channels_last)
    weights.save(tmp_path / "w.safetensors", weights.Weights(CONFIG, made.state_dict(), SPACE, head))
    again = weights.load(tmp_path / "w.safetensors").build()
    assert not again.training
    if channels_last:
        again = again.to(memory_format=torch.channels_last)
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(made(pixels), again(pixels))


def test_everything_comes_back(stored):
    path, whole = stored
    again = weights.load(path)
    assert (again.network, again.label_space, again.head) == (whole.network, whole.label_space, whole.head)
    assert again.label_space.catch_all_as == "private"
    assert again.label_space.names[1] == "a/ü"
    assert torch.equal(again.prototypes, whole.prototypes)
    assert torch.equal(again.present, whole.present)
    assert set(again.state) == set(whole.state)


def test_the_metadata_can_be_read_without_mdpseg(stored):
    with safe_open(stored[0], "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["label_space"])["classes"] == {"a": ["p", "ü"], "b": ["p", "rest"]}
    assert json.loads(metadata["network"])["encoder"] == NETWORK["encoder"]
    assert {"mean", "std"} <= set(load_file(stored[0]))


def test_scratch_needs_nothing_and_has_the_small_network_by_default():
    assert weights.start_network("scratch", None).config == NetworkConfig()
    assert weights.start_network("scratch", CONFIG).config == CONFIG


@pytest.mark.parametrize("config", [None, CONFIG])
def test_from_a_pretraining_encoder_and_decoder_are_kept_exactly(config, stored):
    path, whole = stored
    made = weights.start_network(str(path), config)
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
        network = weights.start_network(str(path), None)
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
        weights.start_network(str(stored[0]), NetworkConfig.model_validate({**NETWORK, **other}))


def test_another_embedding_is_no_other_architecture(stored):
    assert weights.start_network(str(stored[0]), CONFIG.model_copy(update={"embedding_dim": 32}))


def rewrite(path, tensors=None, **metadata):
    with safe_open(path, "pt") as file:
        known = file.metadata()
    save_file(load_file(path) if tensors is None else tensors, path, {**known, **metadata})


@pytest.mark.parametrize(
    "metadata",
    [
        {"format": "mdpseg-0"},
        {"network": "{"},
        {"network": '{"encodr": 1}'},
        {"label_space": "[]"},
        {"label_space": "{}"},
    ],
)
def test_damaged_metadata(metadata, stored, tmp_path):
    path = shutil.copy(stored[0], tmp_path / "bad.safetensors")
    rewrite(path, **metadata)
    with pytest.raises(UserError, match=r"bad\.safetensors") as error:
        weights.load(path)
    assert "\n" not in str(error.value)


def test_tensors_that_do_not_fit_their_architecture(stored, tmp_path):
    path = shutil.copy(stored[0], tmp_path / "bad.safetensors")
    tensors = load_file(path)
    name = next(name for name in tensors if name.startswith("encoder.") and name.endswith("weight"))
    del tensors[name]
    rewrite(path, tensors)
    with pytest.raises(UserError, match=r"bad\.safetensors"):
        weights.start_network(str(path), None)


def test_paths_may_be_texts(stored, tmp_path):
    again = str(tmp_path / "again.safetensors")
    weights.save(again, weights.load(str(stored[0])))
    assert same(load_file(again), load_file(stored[0]))


@pytest.mark.parametrize("content", [None, b"junk, of no format at all", b""])
def test_a_wrong_init_is_told_what_may_stand_there(content, tmp_path):
    path = tmp_path / "some.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"some\.pth.*weights\.safetensors of a run.*torch file \(\.pth, \.pt, \.ckpt"):
        weights.start_network(str(path), CONFIG)
    with pytest.raises(UserError) as error:  # predict, evaluate, export: only our own
        weights.load(path)
    assert ".ckpt" not in str(error.value)


@pytest.mark.parametrize("init", ["scratch", "imagenet", "nothere.pth"])
def test_an_unknown_encoder_is_answered_with_the_nearest(init):
    with pytest.raises(UserError, match=r"timm has no encoder 'resnet_50'; did you mean resnet50 or"):
        weights.start_network(init, NetworkConfig(encoder="tu-resnet_50"))


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(UserError, match="No weights file"):
        weights.load(tmp_path)


def test_imagenet_without_a_network_says_what_to_do(monkeypatch):
    def offline(*_, **__):
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(weights.timm, "create_model", offline)
    monkeypatch.setattr(weights, "SegmentationNetwork", SimpleNetwork)
    with pytest.raises(UserError, match=r"mobilenetv3_small_050.*lite0") as error:
        weights.start_network("imagenet", CONFIG)
    assert "\n" not in str(error.value)


class SimpleNetwork:
    def __init__(self, config):
        self.config, self.encoder = config, None


def test_the_seed_fixes_the_start():
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(weights.start_network("scratch", CONFIG).state_dict())
    same = [all(torch.equal(made[0][name], other[name]) for name in other) for other in made]
    assert same == [True, True, False]
