import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mdpseg import weights
from mdpseg.config import NetworkConfig
from mdpseg.errors import UserError
from mdpseg.first_stage import start_network
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork
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
        weights.load(path)
    with pytest.raises(UserError, match=r"bad\.safetensors"):
        start_network(str(path), None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_another_size_are_taken(dtype, stored, tmp_path):
    path = shutil.copy(stored[0], tmp_path / "half.safetensors")
    tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in load_file(path).items()}
    rewrite(path, tensors)
    assert weights.load(path).state["mean"].dtype == dtype


@pytest.mark.parametrize("gone", ["prototypes.vectors", "prototypes.present", "prototypes.examples"])
def test_prototypes_that_are_not_whole(gone, stored, tmp_path):
    path = shutil.copy(stored[0], tmp_path / "bad.safetensors")
    added = {"sums": torch.zeros(4, 16), "examples": torch.zeros(4, dtype=torch.int64), "offsets": torch.zeros(4)}
    tensors = load_file(path) | {f"prototypes.{name}": tensor for name, tensor in added.items()}
    rewrite(path, tensors)
    assert set(weights.load(path).added) == set(added)
    del tensors[gone]
    rewrite(path, tensors)
    with pytest.raises(UserError, match=rf"bad\.safetensors does not hold .*: {gone} is missing"):
        weights.load(path)


def test_paths_may_be_texts(stored, tmp_path):
    again = str(tmp_path / "again.safetensors")
    weights.save(again, weights.load(str(stored[0])))
    assert same(load_file(again), load_file(stored[0]))


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(UserError, match="No weights file"):
        weights.load(tmp_path)
