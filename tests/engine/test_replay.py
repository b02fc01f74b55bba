"""A loss or gradient that is not finite: one message, a file, and the same batch once more."""

from __future__ import annotations

import math

import pytest
import torch

import mdpseg
from mdpseg.engine import finite, loop
from mdpseg.engine.replay import replay
from mdpseg.errors import UserError
from mdpseg.network import SegmentationNetwork
from tests import tiny


def pretraining(out, **more):
    return tiny.pretraining(out, **{"iterations": 6, "network": tiny.FAST_NETWORK, **more})


def break_weights(monkeypatch, step, value=math.nan, find=".decoder."):
    """Before step ``step`` one weight of the network turns into ``value``."""
    remember, calls = finite.FiniteGuard.remember, []

    def broken(guard):
        calls.append(1)
        remember(guard)
        if len(calls) == step:
            parameters = {f".{name}": p for name, p in guard.objective.network.named_parameters()}
            name = next(name for name in parameters if find in name and parameters[name].ndim == 4)
            parameters[name].data[0, 0, 0, 0] = value

    monkeypatch.setattr(finite.FiniteGuard, "remember", broken)


@pytest.mark.parametrize("objective", ["mdp", "supervised", "multihead", "finetune"])
def test_the_message_and_the_replay(objective, tmp_path, monkeypatch):
    out = tmp_path / "run"
    break_weights(monkeypatch, 3)
    run, content = mdpseg.pretrain, pretraining(out, method={"objective": objective})
    if objective == "finetune":
        run, content = mdpseg.finetune, tiny.finetuning(out, network=tiny.FAST_NETWORK)
    with pytest.raises(UserError) as error:
        run(content)
    message = str(error.value)
    file = out / "replay-3.pt"
    assert "\n" not in message
    for part in ["nan at step 3", "gradient norm", f"mdpseg replay {file}", "optim.lr", "optim.clip"]:
        assert part in message
    found = replay(file)
    assert found.step == 3
    assert len(found.names) == 4
    assert all(name in message for name in found.names)
    assert found.recorded.keys() == found.now.keys()
    assert math.isnan(found.now["loss"])
    assert found.culprit.startswith("the weights network.decoder.")
    assert not (out / "weights.safetensors").exists()
    assert (out / "recipe.yaml").is_file()
    assert not list(out.glob(".*"))


@pytest.mark.parametrize(
    "method",
    [
        {"bank_size": 16, "momentum": 0.99, "prototypes": "bank"},
        {"bank": "region", "momentum": 0.0, "mixing": "both", "mixing_probability": 1.0},
        {"bank": "none", "momentum": 0.9},
    ],
    ids=str,
)
def test_a_replay_gives_the_same_bits(method, tmp_path, monkeypatch):
    """Bank, running statistics and dropout are as they were before the step, though the step had changed them."""
    check, seen = finite.FiniteGuard.check, {}

    def once(guard, step, batch, losses, norm):
        if step != 4:
            return check(guard, step, batch, losses, norm)
        seen.update({name: float(value.detach()) for name, value in losses.items()}, norm=float(norm))
        return check(guard, step, batch, losses, torch.tensor(torch.inf))

    monkeypatch.setattr(finite.FiniteGuard, "check", once)
    datasets = [tiny.toy("coarse"), tiny.toy("fine"), tiny.bare_images(tmp_path / "bare")]
    datasets = datasets[: 2 if method["bank"] == "none" else 3] if "bank" in method else datasets
    with pytest.raises(UserError, match="gradient norm inf"):
        mdpseg.pretrain(pretraining(tmp_path / "run", method=method, datasets=datasets, optim={"clip": None}))
    monkeypatch.undo()
    found = replay(tmp_path / "run" / "replay-4.pt")
    norm = seen.pop("norm")
    assert found.now.pop("gradient norm") == pytest.approx(norm, rel=1e-5)  # its sum has another order
    assert found.now == seen
    assert found.culprit == ""


def test_a_gradient_alone_does_not_reach_the_weights(tmp_path, monkeypatch):
    out = tmp_path / "run"
    forward = SegmentationNetwork.decode

    class Breaks(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * math.inf

    steps = []

    def decode(network, maps):
        steps.append(1)
        features = forward(network, maps)
        return Breaks.apply(features) if len(steps) == 3 else features

    monkeypatch.setattr(SegmentationNetwork, "decode", decode)
    with pytest.raises(UserError, match="at step 3"):
        mdpseg.pretrain(pretraining(out, method={"momentum": 0.0}, checkpoint_every=2))
    state = torch.load(out / "last.ckpt", weights_only=True)
    assert state["step"] == 2
    assert all(torch.isfinite(t).all() for t in state["objective"].values() if t.is_floating_point())


def test_it_is_looked_at_in_every_step(tmp_path, monkeypatch):
    """Not only where losses are logged; no checkpoint holds a network that is not finite."""
    out = tmp_path / "run"
    break_weights(monkeypatch, 3)
    with pytest.raises(UserError, match="step 3"):
        mdpseg.pretrain(pretraining(out, iterations=9, log_every=9, checkpoint_every=2))
    state = torch.load(out / "last.ckpt", weights_only=True)
    assert state["step"] == 2
    assert all(torch.isfinite(t).all() for t in state["objective"].values() if t.is_floating_point())


def test_a_large_batch_is_named_in_part(tmp_path, monkeypatch):
    break_weights(monkeypatch, 1)
    with pytest.raises(UserError, match="and 4 more"):
        mdpseg.pretrain(pretraining(tmp_path / "run", batch_size=20))
    assert len(replay(tmp_path / "run" / "replay-1.pt").names) == 20


def test_by_the_command_line(tmp_path, monkeypatch, mdpseg_command):
    out = tmp_path / "run"
    break_weights(monkeypatch, 2, find=".encoder.")
    code, _, stderr = mdpseg_command("pretrain", tiny.write_recipe(tmp_path / "r.yaml", pretraining(out)))
    assert code == 2
    assert stderr.strip().splitlines()[-1].startswith("mdpseg: The loss is nan at step 2")
    code, stdout, _ = mdpseg_command("replay", out / "replay-2.pt", "--device", "cpu")
    assert code == 0
    for part in ("step 2: ", "gradient norm", "nan", "first not finite: the weights network.encoder."):
        assert part in stdout


def test_a_layer_is_named(tmp_path, monkeypatch):
    """All weights are finite, and so are the gradients of nothing: the output of one layer is too large."""
    break_weights(monkeypatch, 2, value=3e38, find=".encoder.")
    with pytest.raises(UserError):
        mdpseg.pretrain(pretraining(tmp_path / "run"))
    assert replay(tmp_path / "run" / "replay-2.pt").culprit.startswith("the output of network.encoder.")


@pytest.mark.parametrize(
    "content, named",
    [
        (None, "No file"),
        (b"hello", "cannot be read"),
        ({"a": 1}, "no replay file"),
        ({"format": "mdpseg-replay-1", "kind": "pretrain"}, "damaged"),
    ],
    ids=str,
)
def test_other_files(content, named, tmp_path, mdpseg_command):
    file = tmp_path / "replay-1.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        torch.save(content, file)
    code, _, stderr = mdpseg_command("replay", file)
    assert code == 2
    assert named in stderr
    assert str(file) in stderr
    assert len(stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def replay_file(tmp_path_factory):
    """A file as a run writes it; read only."""
    out = tmp_path_factory.mktemp("replay") / "run"
    with pytest.MonkeyPatch.context() as patch:
        break_weights(patch, 1)
        with pytest.raises(UserError):
            mdpseg.pretrain(pretraining(out))
    return out / "replay-1.pt"


def test_a_whole_file_that_one_process_cannot_run_is_not_called_damaged(replay_file, tmp_path, monkeypatch):
    """Of a run whose processes had one image each, and means over all of them."""

    def refuse(*arguments, **more):
        raise UserError("one value a channel")

    content = torch.load(replay_file, weights_only=True)
    content["recipe"]["sync_batchnorm"] = True
    torch.save(content, tmp_path / "replay-1.pt")
    monkeypatch.setattr("mdpseg.engine.replay.refuse_lone_values", refuse)
    with pytest.raises(UserError, match=r"^one value a channel$"):
        replay(tmp_path / "replay-1.pt")


KEYS = ("kind", "recipe", "step", "names", "parts", "objective", "random", "batch", "label_space", "network")


@pytest.mark.parametrize("key", KEYS)
def test_files_that_lack_a_part(key, replay_file, tmp_path):
    content = torch.load(replay_file, weights_only=True)
    del content[key]
    torch.save(content, tmp_path / "replay-1.pt")
    with pytest.raises(UserError, match=rf"replay-1\.pt is damaged \(its {key} is missing\); expected"):
        replay(tmp_path / "replay-1.pt")


def one_image(content):
    """Fewer than a batch norm needs at the encoder's stride."""
    batch = content["batch"]
    content["batch"] = {
        name: value[:1] if isinstance(value, torch.Tensor | tuple) else value for name, value in batch.items()
    }
    content["batch"] |= {name: torch.zeros(1, dtype=torch.int64) for name in ("region_partners", "pixel_partners")}
    content["batch"]["own"] = 1


def of_batch(name, change):
    return lambda content: content["batch"].update({name: change(content["batch"][name])})


@pytest.mark.parametrize(
    "damage, named",
    [
        (lambda content: content.update(random={"torch": 5}), "random"),
        (lambda content: content.update(names=[1]), "names"),
        (lambda content: content.update(parts={"loss": "x"}), "parts"),
        (lambda content: content.update(label_space="[" * 10**5), "recursion"),
        (lambda content: content.update(objective={"a": 1}), "objective"),
        (lambda content: content["objective"]["bank.classes"].fill_(20), "bank"),
        (of_batch("pixel_partners", lambda partners: partners + 99), "pixel_partners outside 0 to 3"),
        (of_batch("region_partners", lambda partners: partners - 9), "region_partners outside 0 to 3"),
        (of_batch("targets", lambda targets: targets.fill_(999)), "targets outside -1 to 19"),
        (of_batch("targets", lambda targets: targets.fill_(-2)), "targets outside -1 to 19"),
        (of_batch("targets", torch.Tensor.int), r"targets should be torch.int64 of shape \[4, 32, 32\]"),
        (of_batch("images", torch.Tensor.float), "images should be torch.uint8"),
        (of_batch("images", lambda images: images[..., :31]), r"of shape \[4, 3, 32, 32\]"),
        (of_batch("images", lambda images: 5), "len"),
        (of_batch("boxes", lambda boxes: boxes[:, :3]), "boxes"),
        (of_batch("boxes", lambda boxes: None), "boxes"),
        (of_batch("datasets", lambda datasets: datasets + 2), "datasets outside 0 to 1"),
        (of_batch("lam", lambda lam: lam * math.nan), "lam outside 0 to 1"),
        (of_batch("own", lambda own: 0), "0 of its own"),
        (of_batch("own", lambda own: 99), "99 of its own"),
        (of_batch("names", lambda names: 5), "names"),
        (lambda content: content["batch"].update(more=1), "more"),
        (one_image, "single value"),
    ],
)
def test_files_of_other_content(damage, named, replay_file, tmp_path):
    content = torch.load(replay_file, weights_only=True)
    damage(content)
    torch.save(content, tmp_path / "replay-1.pt")
    with pytest.raises(UserError, match=rf"replay-1\.pt is damaged \(.*{named}.*\); expected a replay-STEP") as error:
        replay(tmp_path / "replay-1.pt")
    assert "\n" not in str(error.value)


def test_the_guard_changes_nothing(tmp_path, monkeypatch):
    mdpseg.pretrain(pretraining(tmp_path / "with"))
    monkeypatch.setattr(finite.FiniteGuard, "remember", lambda guard: None)
    monkeypatch.setattr(finite.FiniteGuard, "check", lambda *_: None)
    mdpseg.pretrain(pretraining(tmp_path / "without"))
    assert tiny.same(tiny.tensors(tmp_path / "with"), tiny.tensors(tmp_path / "without"))
    assert loop.FiniteGuard is finite.FiniteGuard
