import random

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

import mdpseg
from mdpseg import lite0, weights
from mdpseg.engine.history import history_of
from mdpseg.errors import UserError
from mdpseg.history import History, Stage, StageData
from tests import tiny


def datasets(history):
    return [(stage.kind, [dataset.name for dataset in stage.datasets]) for stage in history.stages]


def test_each_run_adds_its_data_to_what_it_started_from(pretrained, finetuned, tmp_path):
    first = [("pretraining", ["coarse", "fine"])]
    second = [*first, ("fine-tuning", ["things"])]
    assert datasets(weights.load(pretrained / "weights.safetensors").history) == first
    assert datasets(weights.load(finetuned / "weights.safetensors").history) == second
    third = tiny.pretraining(tmp_path / "third", init=str(finetuned / "weights.safetensors"), network=None)
    history = weights.load(mdpseg.pretrain(third | {"iterations": 1}).weights).history
    assert datasets(history) == second + first
    assert history.start == "random weights"


def test_what_a_run_is_judged_on_is_not_learned_from(tmp_path):
    history = history_of(tiny.finetuning(tmp_path, val=tiny.toy("fine", split="val")), "resnet18")
    assert datasets(history) == [("fine-tuning", ["things"])]


def test_a_dataset_is_told_without_its_path(tmp_path):
    bare = tiny.bare_images(tmp_path / "secret")
    (tmp_path / "secret" / "LICENCE.txt").write_text("CC0\n")
    history = history_of({"datasets": [tiny.toy("coarse"), bare], "init": "scratch"}, "resnet18")
    assert history.stages[0].datasets[1] == StageData(
        name="bare", reader="folder", split="train", unlabelled=True, licence="CC0"
    )
    assert "secret" not in history.model_dump_json()


@pytest.mark.parametrize("encoder", ["resnet50", "tu-resnet50", "resnet50.a1_in1k"])
def test_imagenet_is_named_with_timms_tag(encoder):
    tag = timm.get_pretrained_cfg("resnet50").tag
    history = history_of({"train": tiny.toy("things"), "init": "imagenet"}, encoder)
    assert history.start == f"timm's ImageNet weights resnet50.{tag}"


@pytest.mark.parametrize("there, source", [(True, "in the package efficientnet-lite0"), (False, "timm's ImageNet")])
def test_lite0s_imagenet_weights_are_the_packages_where_it_is_installed(there, source, monkeypatch):
    monkeypatch.setattr(lite0, "available", lambda: there)
    assert source in history_of({"train": tiny.toy("things"), "init": "imagenet"}, "tf_efficientnet_lite0").start


def test_another_librarys_file_is_named(tmp_path):
    published = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    for name, told in (
        (published.url.rpartition("/")[2], "by its name torchvision's ResNet18_Weights.IMAGENET1K_V1, whose"),
        ("dino.pth", "dino.pth, whose"),
    ):
        torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / name)
        history = history_of({"train": tiny.toy("things"), "init": str(tmp_path / name)}, "resnet18")
        assert history.start.endswith(f"{told} data sets are not known")
        assert str(tmp_path) not in history.start
        assert datasets(history) == [("fine-tuning", ["things"])]


def without_history(run, init, recipe=None):
    """A finished run of version 0.1."""
    run.mkdir()
    tiny.write_recipe(run / "recipe.yaml", recipe or tiny.finetuning(run, init=str(init)))
    return run / "weights.safetensors"


def test_runs_that_name_each_other_come_to_an_end(pretrained, tmp_path):
    stored = weights.load(pretrained / "weights.safetensors")
    a, b = tmp_path / "a", tmp_path / "b"
    for run, other in ((a, b), (b, a)):
        file = without_history(run, other / "weights.safetensors")
        weights.save(file, weights.Weights(stored.network, stored.state, stored.label_space, stored.head))
    history = history_of(tiny.finetuning(tmp_path, init=str(a / "weights.safetensors")), "resnet18", longest=5)
    assert len(history.stages) == 6
    assert history.start == "weights.safetensors, whose data sets are not known"


@pytest.mark.parametrize("recipe", [{"init": "scratch", "datasets": [1]}, {"train": {"name": "x"}}])
def test_a_recipe_that_is_none_leaves_the_data_unknown(recipe, pretrained, tmp_path):
    stored = weights.load(pretrained / "weights.safetensors")
    file = without_history(tmp_path / "run", "", recipe)
    weights.save(file, weights.Weights(stored.network, stored.state, stored.label_space, stored.head))
    history = history_of(tiny.finetuning(tmp_path, init=str(file)), "resnet18")
    assert history.start == "weights.safetensors, whose data sets are not known"


def test_a_history_goes_through_the_file(pretrained, tmp_path):
    stored = weights.load(pretrained / "weights.safetensors")
    data = StageData(name="a", reader="folder", split="train", licence="ü | <b>")
    told = History(start="random weights", stages=[Stage(kind="fine-tuning", datasets=[data])])
    file = tmp_path / "w.safetensors"
    weights.save(file, weights.Weights(stored.network, stored.state, stored.label_space, stored.head, history=told))
    assert weights.load(file).history == told


@pytest.mark.parametrize("history", ["", "[]", "{" * 9000, '{"start": 1, "stages": []}', '{"start": "x", "path": "y"}'])
def test_a_damaged_history_is_refused(history, pretrained, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file

    source, file = pretrained / "weights.safetensors", tmp_path / "w.safetensors"
    with safe_open(source, "pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(source), file, metadata | {"history": history})
    with pytest.raises(UserError, match="has damaged metadata"):
        weights.load(file)


def test_looking_back_draws_no_random_numbers(finetuned, tmp_path):
    """It happens between the seed and the first drawn weights."""
    recipe = tiny.finetuning(tmp_path, init=str(finetuned / "weights.safetensors"))
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    assert len(history_of(recipe, "resnet18").stages) == 3
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (str(np.random.get_state()), random.getstate()) == before[1:]
