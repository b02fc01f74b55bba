"""A run that was stopped and resumed equals one that was not."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
import yaml

import mdpseg
from mdpseg import weights
from mdpseg.engine import finetune, loop
from mdpseg.engine.optim import learning_rate
from mdpseg.errors import UserError
from mdpseg.history import History
from tests import tiny

STEPS, STOPPED_AT, KEPT = 6, 3, 2  # stopped in the step after 3 steps; the last checkpoint is that of step 2


def recipe(command, out, workers=0, **more):
    common = {"iterations": STEPS, "checkpoint_every": 2, "workers": workers}
    if command == "pretrain":
        return tiny.pretraining(out, **common, **more)
    return tiny.finetuning(out, **common, evaluate_at=[2, 5], **more)


def run(command, content, *overrides):
    return getattr(mdpseg, command)(content, overrides)


def stop_at(monkeypatch, step, error=KeyboardInterrupt):
    def stopping(done, *others):
        if done == step:
            raise error
        return learning_rate(done, *others)

    monkeypatch.setattr(loop, "learning_rate", stopping)


def stopped(command, out, monkeypatch, **more):
    with monkeypatch.context() as patch:
        stop_at(patch, STOPPED_AT)
        with pytest.raises(KeyboardInterrupt):
            run(command, recipe(command, out, **more))
    assert (out / "last.ckpt").is_file()
    assert not (out / "weights.safetensors").exists()
    assert not (out / ".lock").exists()


@pytest.fixture(scope="module", autouse=True)
def without_curves_in_whole_runs(pretrained):
    """As for each test; the run that all tests share is made before, with curves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "draw_curves", lambda run: None)
        yield


@pytest.fixture(scope="module")
def whole_pretraining(tmp_path_factory):
    """The folder of an uninterrupted pretraining; read only."""
    return run("pretrain", recipe("pretrain", tmp_path_factory.mktemp("whole") / "pretraining")).out


@pytest.fixture(scope="module")
def whole_finetuning(tmp_path_factory):
    """An uninterrupted fine-tuning; read only."""
    return run("finetune", recipe("finetune", tmp_path_factory.mktemp("whole") / "finetuning"))


@pytest.fixture(params=["pretrain", "finetune"])
def whole(request, whole_pretraining, whole_finetuning):
    """A command and the folder of its uninterrupted run."""
    return request.param, whole_pretraining if request.param == "pretrain" else whole_finetuning.out


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(whole, workers, tmp_path, monkeypatch):
    command, expected = whole
    out = tmp_path / "run"
    stopped(command, out, monkeypatch, workers=workers)
    assert max(record["step"] for record in tiny.losses(out)) == STOPPED_AT
    result = run(command, recipe(command, out, workers), "resume=true")
    assert tiny.same(tiny.tensors(out), tiny.tensors(expected))
    assert tiny.losses(out) == tiny.losses(expected)
    assert "resumed at step 2" in (out / "log.txt").read_text()
    assert "other settings" not in (out / "log.txt").read_text()
    assert result.weights == out / "weights.safetensors"


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
@pytest.mark.parametrize("afterwards", ["gone", "of another history"])
def test_a_resumed_run_does_not_look_at_what_it_started_from(command, afterwards, pretrained, tmp_path, monkeypatch):
    whole, out, init = tmp_path / "whole", tmp_path / "run", tmp_path / "init.safetensors"
    shutil.copy(pretrained / "weights.safetensors", init)
    more = {"init": str(init), "network": None}
    run(command, recipe(command, whole, **more))
    stopped(command, out, monkeypatch, **more)
    init.unlink()
    if afterwards == "of another history":
        stored = weights.load(pretrained / "weights.safetensors")
        weights.save(init, dataclasses.replace(stored, history=History(start="elsewhere", stages=[])))
    run(command, recipe(command, out, **more), "resume=true")
    assert tiny.same(tiny.tensors(out), tiny.tensors(whole))
    assert tiny.losses(out) == tiny.losses(whole)
    found, expected = (weights.load(folder).history for folder in (out, whole))
    assert found == expected
    assert [stage.kind for stage in found.stages][:1] == ["pretraining"]


def without_its_start(checkpoint):
    """As version 0.1 wrote it."""
    state = torch.load(checkpoint, weights_only=True)
    del state["network"], state["history"]
    torch.save(state, checkpoint)


def test_a_checkpoint_of_version_0_1_takes_network_and_history_from_init(pretrained, tmp_path, monkeypatch):
    whole, out, init = tmp_path / "whole", tmp_path / "run", tmp_path / "init.safetensors"
    shutil.copy(pretrained / "weights.safetensors", init)
    more = {"init": str(init), "network": None}
    run("finetune", recipe("finetune", whole, **more))
    stopped("finetune", out, monkeypatch, **more)
    without_its_start(out / "last.ckpt")
    init.rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"No weights file at .*init\.safetensors"):
        run("finetune", recipe("finetune", out, **more), "resume=true")
    (tmp_path / "away").rename(init)
    run("finetune", recipe("finetune", out, **more), "resume=true")
    assert tiny.same(tiny.tensors(out), tiny.tensors(whole))
    assert weights.load(out).history == weights.load(whole).history
    assert torch.load(out / "last.ckpt", weights_only=True)["history"] is not None


def test_the_earlier_checkpoint_alone_has_the_classifier_too(whole_finetuning, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole_finetuning.out, out)
    (out / "last.ckpt").unlink()
    run("finetune", recipe("finetune", out), "resume=true")
    assert (out / "log.txt").read_text().count("finding each class's prototype") == 1
    assert tiny.same(tiny.tensors(out), tiny.tensors(whole_finetuning.out))


def test_a_resumed_fine_tuning_still_knows_its_earlier_scores(whole_finetuning, tmp_path, monkeypatch):
    out, expected = tmp_path / "run", whole_finetuning.out
    stopped("finetune", out, monkeypatch)
    resumed = run("finetune", recipe("finetune", out), "resume=true")
    assert list(resumed.scores) == [2, 5]
    assert resumed.scores == whole_finetuning.scores
    tables = [(folder / "README.md").read_text().partition("| iteration |")[2] for folder in (out, expected)]
    assert tables[0].partition("Next")[0] == tables[1].partition("Next")[0]


@pytest.mark.parametrize(
    "method",
    [
        pytest.param({"momentum": 0.0, "bank": "region"}, marks=pytest.mark.slow),
        {"prototypes": "learned", "denominator": "own_dataset"},
        pytest.param({"bank_policy": "per_class", "prototypes": "mixed"}, marks=pytest.mark.slow),
        {"objective": "supervised"},
    ],
    ids=str,
)
def test_every_part_of_the_state_is_resumed(method, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "run"
    more = {"method": {"bank_size": 64, **method}, "optim": {"optimiser": "adamw", "lr": 1e-3}}
    run("pretrain", recipe("pretrain", whole, **more))
    stopped("pretrain", out, monkeypatch, **more)
    run("pretrain", recipe("pretrain", out, **more), "resume=true")
    assert tiny.same(tiny.tensors(out), tiny.tensors(whole))
    assert tiny.losses(out) == tiny.losses(whole)


def test_with_unlabelled_images_and_merged_label_sets(tmp_path, monkeypatch):
    (tmp_path / "merge.yaml").write_text("sky: [coarse/sky, fine/sky]\n")
    whole, out = tmp_path / "whole", tmp_path / "run"
    more = {
        "datasets": [tiny.bare_images(tmp_path / "bare"), tiny.toy("coarse"), tiny.toy("fine")],
        "merge": str(tmp_path / "merge.yaml"),
        "sampling": "equal",
        "method": {"bank_size": 64, "pseudo_label_threshold": 0.0},
    }
    run("pretrain", recipe("pretrain", whole, **more))
    stopped("pretrain", out, monkeypatch, **more)
    run("pretrain", recipe("pretrain", out, **more), "resume=true")
    assert tiny.same(tiny.tensors(out), tiny.tensors(whole))
    assert tiny.losses(out) == tiny.losses(whole)
    assert any(record["mined"] > 0 for record in tiny.losses(out))


def test_a_finished_run_can_be_resumed_and_stays_as_it_is(whole, tmp_path):
    command, expected = whole
    out = tmp_path / "run"
    shutil.copytree(expected, out)
    result = run(command, recipe(command, out), "resume=true")
    assert tiny.same(tiny.tensors(out), tiny.tensors(expected))
    assert tiny.losses(out) == tiny.losses(expected)
    if command == "finetune":
        assert list(result.scores) == [2, 5]
        assert "Not evaluated" not in (out / "README.md").read_text()


def test_more_iterations_continue_a_finished_run(whole_pretraining, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole_pretraining, out)
    run("pretrain", recipe("pretrain", out), "resume=true", "iterations=8")
    assert [record["step"] for record in tiny.losses(out)] == list(range(1, 9))
    assert yaml.safe_load((out / "recipe.yaml").read_text())["iterations"] == 8
    assert "other settings from here on: iterations 8 (before: 6)" in (out / "log.txt").read_text()


@pytest.mark.parametrize(
    "override, named",
    [
        ("seed=5", "seed"),
        ("batch_size=2", "batch_size"),
        ("network.decoder=upernet", "network"),
        ("method.prototypes=learned", "method"),
        ("method.prototypes=bank", "method"),
        ("method.objective=supervised", "method"),
        ("optim.optimiser=adamw", "optim"),
    ],
)
def test_a_run_is_not_resumed_as_another_one(override, named, tmp_path, pretrained):
    out = tmp_path / "run"
    shutil.copytree(pretrained, out)
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.name != "log.txt"}
    with pytest.raises(UserError, match=named) as error:
        run("pretrain", tiny.pretraining(out), "resume=true", "iterations=5", override)
    assert "\n" not in str(error.value)
    assert {file.name: file.read_bytes() for file in out.iterdir() if file.name != "log.txt"} == before


def test_a_run_is_not_resumed_with_another_stride(tmp_path):
    """Which changes no tensor's name or shape."""
    content = tiny.pretraining(
        tmp_path / "run", network={**tiny.NETWORK, "decoder": "deeplabv3plus", "output_stride": 16}
    )
    run("pretrain", content, "iterations=1")
    before = (tmp_path / "run" / "recipe.yaml").read_bytes()
    with pytest.raises(UserError, match=r"has network\.output_stride 16, the recipe 8; resume with the same"):
        run("pretrain", content, "resume=true", "iterations=2", "network.output_stride=8")
    assert (tmp_path / "run" / "recipe.yaml").read_bytes() == before


def test_a_run_is_not_resumed_to_fewer_steps_than_it_has(tmp_path, pretrained):
    content = tiny.pretraining(tmp_path / "run")
    shutil.copytree(pretrained, tmp_path / "run")
    before = (tmp_path / "run" / "recipe.yaml").read_bytes()
    with pytest.raises(UserError, match=r"is at step 3, and the recipe has iterations 2"):
        run("pretrain", content, "resume=true", "iterations=2")
    assert (tmp_path / "run" / "recipe.yaml").read_bytes() == before
    run("pretrain", content, "resume=true", "iterations=4")


def test_supervised_is_not_resumed_as_multihead(tmp_path):
    """Their tensors have the same names and shapes."""
    content = tiny.pretraining(tmp_path / "run", method={"objective": "supervised"})
    run("pretrain", content)
    with pytest.raises(UserError, match=r"has method.objective supervised, the recipe multihead"):
        run("pretrain", content, "resume=true", "iterations=5", "method.objective=multihead")


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_other_settings_of_the_optimiser_hold_from_there_on(optimiser, tmp_path):
    content = tiny.finetuning(tmp_path / "run", optim={"optimiser": optimiser})
    run("finetune", content)
    more = ["optim.weight_decay=0.5", "optim.head_lr=7", *(["optim.momentum=0.1"] if optimiser == "sgd" else [])]
    run("finetune", content, "resume=true", "iterations=5", *more)
    groups = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["optimizer"]["param_groups"]
    assert {group["weight_decay"] for group in groups} == {0.0, 0.5}
    assert {group["rate"] for group in groups} == {1.0, 7.0}
    if optimiser == "sgd":
        assert {group["momentum"] for group in groups} == {0.1}


def test_a_bank_goes_into_the_checkpoint_and_keeps_its_size(tmp_path):
    banked = tiny.pretraining(tmp_path / "run", method={"prototypes": "bank", "bank_size": 64})
    run("pretrain", banked)
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert {"bank.regions", "bank.classes", "bank.position"} <= set(state["objective"])
    with pytest.raises(UserError, match="method"):
        run("pretrain", banked, "resume=true", "iterations=5", "method.bank_size=32")


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_its_time_is_that_of_all_its_parts(command, tmp_path, monkeypatch):
    out = tmp_path / "run"
    stopped(command, out, monkeypatch)
    state = torch.load(out / "last.ckpt", weights_only=True)
    assert 0 < state["seconds"] < 1000
    torch.save({**state, "seconds": state["seconds"] + 1000}, out / "last.ckpt")
    seconds = run(command, recipe(command, out), "resume=true").seconds
    assert state["seconds"] + 1000 < seconds < 2000
    assert f"; {seconds:.0f} s with torch" in (out / "README.md").read_text()
    assert f"done in {seconds:.0f} s: " in (out / "log.txt").read_text()


def test_a_damaged_checkpoint_is_named_and_kept(tmp_path, pretrained):
    out = tmp_path / "run"
    shutil.copytree(pretrained, out)
    (out / "last.ckpt").write_bytes((out / "last.ckpt").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"last\.ckpt"):
        run("pretrain", tiny.pretraining(out), "resume=true")
    assert (out / "weights.safetensors").is_file()


def test_a_half_written_last_line_of_metrics_does_not_stop_a_resumption(whole_pretraining, tmp_path, monkeypatch):
    out = tmp_path / "run"
    stopped("pretrain", out, monkeypatch)
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # the power went
    run("pretrain", recipe("pretrain", out), "resume=true")
    assert tiny.losses(out) == tiny.losses(whole_pretraining)


def test_a_run_stopped_before_its_first_checkpoint_leaves_nothing(tmp_path, monkeypatch):
    stop_at(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        run("pretrain", recipe("pretrain", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


# without evaluations one step is as another
@pytest.mark.parametrize(
    "whole, step",
    [("pretrain", 1), ("pretrain", 5), *(("finetune", step) for step in (1, 2, 4, 5))],
    indirect=["whole"],
)
def test_stopped_at_any_step(whole, step, tmp_path, monkeypatch):
    """Each step has its checkpoint; before, in and after an evaluation."""
    (command, expected), out = whole, tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(KeyboardInterrupt):
            run(command, {**recipe(command, out), "checkpoint_every": 1})
    run(command, {**recipe(command, out), "checkpoint_every": 1}, "resume=true")
    assert tiny.same(tiny.tensors(out), tiny.tensors(expected))
    assert tiny.losses(out) == tiny.losses(expected)


def test_stopped_in_an_evaluation(whole_finetuning, tmp_path, monkeypatch):
    """The step's checkpoint is there already; the evaluation is done when the run goes on."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(finetune, "write_scores", lambda path, scores: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run("finetune", {**recipe("finetune", out), "checkpoint_every": 100})
    assert run("finetune", recipe("finetune", out), "resume=true").scores == whole_finetuning.scores
    assert tiny.losses(out) == tiny.losses(whole_finetuning.out)


def test_a_damaged_last_checkpoint_costs_the_steps_since_the_one_before(whole_pretraining, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            run("pretrain", recipe("pretrain", out))
    (out / "last.ckpt").write_bytes((out / "last.ckpt").read_bytes()[:-1000])
    run("pretrain", recipe("pretrain", out), "resume=true")
    text = (out / "log.txt").read_text()
    assert "last.ckpt cannot be read" in text
    assert "resumed at step 2" in text
    assert tiny.same(tiny.tensors(out), tiny.tensors(whole_pretraining))
    assert tiny.losses(out) == tiny.losses(whole_pretraining)


def test_a_run_killed_before_its_first_checkpoint_starts_over(whole_pretraining, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(whole_pretraining / "recipe.yaml", out)
    (out / "metrics.jsonl").write_text('{"step": 1, "loss": 9.0}\n')
    run("pretrain", recipe("pretrain", out), "resume=true")
    assert "starting at step 0" in (out / "log.txt").read_text()
    assert tiny.losses(out) == tiny.losses(whole_pretraining)
    assert tiny.same(tiny.tensors(out), tiny.tensors(whole_pretraining))


def test_a_checkpoint_of_an_older_version(tmp_path, pretrained):
    out = tmp_path / "run"
    shutil.copytree(pretrained, out)
    state = torch.load(out / "last.ckpt", weights_only=True)
    del state["format"]
    torch.save(state, out / "last.ckpt")
    with pytest.raises(UserError, match="another version"):
        run("pretrain", tiny.pretraining(out), "resume=true")


def test_other_settings_and_images_are_told(tmp_path):
    entry = tiny.image_folder(tmp_path / "data", count=4)
    content = tiny.pretraining(tmp_path / "run", datasets=[entry])
    run("pretrain", content)
    tiny.image_folder(tmp_path / "data", count=6)
    run("pretrain", content, "resume=true", "iterations=5", "method.temperature=0.2", "workers=0", "log_every=2")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "other settings from here on: iterations 5 (before: 3), method.temperature 0.2 (before: 0.07)" in log
    assert "other images from here on: [6] in the datasets (before: [4])" in log
    assert "workers" not in log


def test_files_beside_the_scores_do_not_stop_a_resumption_and_damaged_ones_do_at_once(whole_finetuning, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole_finetuning.out, out)
    (out / "scores-best.json").write_text("mine")
    assert list(run("finetune", recipe("finetune", out), "resume=true").scores) == [2, 5]
    (out / "scores-2.json").write_text("[]")
    with pytest.raises(UserError, match=r"scores-2\.json does not hold the scores"):
        run("finetune", recipe("finetune", out), "resume=true", "iterations=7")


def test_a_finished_run_takes_up_no_setting_of_training_and_keeps_its_recipe(tmp_path):
    content = tiny.finetuning(tmp_path / "run")
    run("finetune", content)
    recipe_before = (tmp_path / "run" / "recipe.yaml").read_text()
    with pytest.raises(UserError, match=r"done all of its 3 iterations, so it cannot take up optim\.lr"):
        run("finetune", content, "resume=true", "optim.lr=0.5")
    assert (tmp_path / "run" / "recipe.yaml").read_text() == recipe_before
    run("finetune", content, "resume=true", "eval.flip=true", "workers=0", "on_bad_file=skip")


def test_a_run_that_was_stopped_may_end_where_it_is(tmp_path, monkeypatch):
    out = tmp_path / "run"
    stopped("pretrain", out, monkeypatch)
    run("pretrain", recipe("pretrain", out), "resume=true", "iterations=2")
    assert (out / "weights.safetensors").is_file()
    assert yaml.safe_load((out / "recipe.yaml").read_text())["iterations"] == 2


def test_other_classes_are_refused(tmp_path):
    entry = tiny.image_folder(tmp_path / "data", count=4)
    content = tiny.pretraining(tmp_path / "run", datasets=[entry])
    run("pretrain", content)
    classes = tmp_path / "data" / "classes.txt"
    first, *others = classes.read_text().splitlines()
    classes.write_text("\n".join(["unicorn", *others]) + "\n")
    with pytest.raises(UserError, match=f"class 'mine/{first}' where the data now has 'mine/unicorn'"):
        run("pretrain", content, "resume=true", "iterations=5")
