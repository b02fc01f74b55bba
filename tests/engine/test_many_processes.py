"""Runs of several processes, as torchrun starts them: the same run as one process's, and one end for all."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch

import mdpseg
from mdpseg.config import PretrainConfig
from mdpseg.engine.runtime import make_training_fabric, rank_of
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests import processes, tiny

# No norms in the encoder, group norms in the decoder: a batch norm's statistics are those of a process's own images;
# a layer norm makes something of the last bits of a patch that is flat and grey.
NETWORK = {"encoder": "test_nfnet", "decoder": "fpn", "decoder_channels": 64, "embedding_dim": 16}
NETWORK |= {"projection": "linear"}  # the published one has a batch norm, whose statistics are each process's own
# Group norms turn maps of one value, or of one grey, into the noise of their last bits: so no crop of 32, no padding.
CROP = {"crop": 64, "short_side": 64, "scale": [1.0, 1.5]}
STEPS = 20
RATE = 0.001  # at 0.003 training itself makes a last bit grow a hundredfold in three steps


def pretraining(out, **more):
    settings = {"iterations": STEPS, "network": NETWORK, "optim": {"lr": RATE, "clip": 4.0}, "augment": CROP}
    return tiny.pretraining(out, **{**settings, **more})


def run(count, command, content, root, *overrides, before=processes.without_chance):
    """Runs ``count`` processes to their end: exit codes and what each said."""
    file = tiny.write_recipe(root / "recipe.yaml", content)
    stderr = root / f"stderr-of-{count}"
    started = processes.start_ranks(count, command, file, *overrides, stderr=stderr, before=before)
    codes = [processes.finish(process) for process in started]
    return codes, said(root, count)


def said(root, count):
    files = [root / f"stderr-of-{count}-{rank}" for rank in range(count)]
    return [file.read_text() if file.exists() else "" for file in files]


def largest_difference(one, other):
    """Of everything in two metric logs."""
    assert [record.keys() for record in one] == [record.keys() for record in other]
    return max(abs(a[name] - b[name]) for a, b in zip(one, other, strict=True) for name in a)


METHODS = {
    "defaults": {"mixing": "both", "mixing_probability": 0.7},
    "published": {"scheme": "mdp-paper", "momentum": 0.99, "bank_size": 64},
    "regions": {"bank": "region", "bank_size": 64, "momentum": 0.99},
    "multihead": {"objective": "multihead"},
    "auxiliary": {"auxiliary_weight": 0.4},
    "mined": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_are_one(method, tmp_path):
    """The same images, mixed across processes too: the same losses and prototypes over 20 steps."""
    more = {"method": METHODS[method], "batch_size": 6}
    if method == "mined":
        more["datasets"] = [tiny.toy("coarse"), tiny.bare_images(tmp_path / "bare"), tiny.toy("fine")]
    codes, _ = run(1, "pretrain", pretraining(tmp_path / "one", **more), tmp_path)
    assert codes == [0]
    codes, texts = run(2, "pretrain", pretraining(tmp_path / "two", **more), tmp_path)
    assert codes == [0, 0], texts
    one, two = (tiny.losses(tmp_path / name) for name in ("one", "two"))
    difference = largest_difference(one, two)
    weights = [tiny.tensors(tmp_path / name) for name in ("one", "two")]
    far = {name: float((weights[0][name].float() - weights[1][name].float()).abs().max()) for name in weights[0]}
    print(f"{method}: losses differ by {difference:.1e}, prototypes {far.get('prototypes.vectors', 0):.1e}")
    assert len(one) == STEPS
    assert difference < 5e-6
    assert far.get("prototypes.vectors", 0) < 1e-5
    assert max(far.values()) < 1e-4
    assert len((tmp_path / "two" / "log.txt").read_text().splitlines()) == len(
        (tmp_path / "one" / "log.txt").read_text().splitlines()
    )


@pytest.mark.slow
def test_fine_tuning_and_its_evaluation(tmp_path):
    more = {"network": NETWORK, "augment": CROP, "evaluate_at": [2, 5], "iterations": 5, "batch_size": 5}
    for count, name in ((1, "one"), (2, "two")):
        content = tiny.finetuning(tmp_path / name, **more, val=tiny.toy("things", split="val", count=5))
        codes, texts = run(count, "finetune", content, tmp_path)
        assert codes == [0] * count, texts
    assert largest_difference(*(tiny.losses(tmp_path / name) for name in ("one", "two"))) < 1e-4
    assert {file.name for file in (tmp_path / "one").iterdir()} == {file.name for file in (tmp_path / "two").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("before, after", [(2, 2), (2, 1), (1, 2)])
def test_resumed_with_as_many_or_others(before, after, tmp_path):
    content = pretraining(
        tmp_path / "run", method={"momentum": 0.99}, optim={"lr": RATE, "schedule": "constant", "warmup": 0.0}
    )
    whole = {**content, "out": str(tmp_path / "whole")}
    assert run(before, "pretrain", content, tmp_path, "iterations=8")[0] == [0] * before
    assert len(torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["random"]) == before
    assert run(after, "pretrain", content, tmp_path, "resume=true")[0] == [0] * after
    assert run(before, "pretrain", whole, tmp_path)[0] == [0] * before
    logs, text = [tiny.losses(tmp_path / name) for name in ("run", "whole")], (tmp_path / "run/log.txt").read_text()
    if before == after:
        assert tiny.same(tiny.tensors(tmp_path / "run"), tiny.tensors(tmp_path / "whole"))
        assert logs[0] == logs[1]
        assert "resumed by" not in text
    else:
        # sums in another order: the last bit for the first steps after resuming at 8, and what steps make of it later
        assert largest_difference(*(log[:13] for log in logs)) < 3e-6
        assert largest_difference(*logs) < 1e-4
        assert f"resumed by {after} processes, before there were {before}" in text


@pytest.fixture
def endless(tmp_path):
    """Starts a run of two processes that would take long, waits for its first steps, and cleans up after it."""
    started = []

    def start(**more):
        content = pretraining(tmp_path / "run", iterations=100000, checkpoint_every=100000, rank_timeout=5, **more)
        file = tiny.write_recipe(tmp_path / "recipe.yaml", content)
        started.extend(processes.start_ranks(2, "pretrain", file, stderr=tmp_path / "stderr-of-2"))
        metrics = tmp_path / "run" / "metrics.jsonl"
        processes.wait_for(lambda: metrics.is_file() and metrics.read_bytes().count(b"\n") > 2, started[0])
        return started

    yield start
    for process in started:
        if process.is_alive():
            process.kill()
        process.join()


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0, 1])
def test_one_that_is_killed_ends_the_other(dead, endless, tmp_path):
    started = endless()
    os.kill(started[dead].pid, signal.SIGKILL)
    began = time.monotonic()
    assert processes.finish(started[1 - dead]) == 2
    assert time.monotonic() - began < 10
    message = said(tmp_path, 2)[1 - dead].strip().splitlines()[-1]
    assert message.startswith(f"mdpseg: Process {1 - dead} of 2 ended: another process is gone")
    assert "Traceback" not in said(tmp_path, 2)[1 - dead]


@pytest.mark.slow
def test_one_that_hangs_ends_the_other_after_the_timeout(endless, tmp_path):
    started = endless()
    os.kill(started[1].pid, signal.SIGSTOP)
    began = time.monotonic()
    assert processes.finish(started[0]) == 2
    assert 3 < time.monotonic() - began < 15
    assert "mdpseg: Process 0 of 2 ended: another process is gone or does not answer" in said(tmp_path, 2)[0]


@pytest.mark.slow
def test_one_that_meets_a_bad_file_ends_the_other_with_its_message(tmp_path):
    """Four images a step, two of them a process's own; the folder that is made is removed again."""
    entry = tiny.image_folder(tmp_path / "data", count=30)
    for number in range(12, 30):
        (tmp_path / f"data/images/train/{number}.jpg").write_bytes(b"no picture")
    content = pretraining(tmp_path / "run", datasets=[entry], iterations=100)
    codes, texts = run(2, "pretrain", content, tmp_path)
    assert codes == [2, 2]
    messages = [text.strip().splitlines()[-1] for text in texts]
    assert all(message.startswith("mdpseg: ") and ".jpg" in message for message in messages), messages
    assert "Traceback" not in "".join(texts)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_skipped_file_is_told_once_whichever_process_met_it(tmp_path):
    entry = tiny.image_folder(tmp_path / "data", count=110)
    (tmp_path / "data/images/train/7.jpg").write_bytes(b"no picture")
    content = pretraining(tmp_path / "run", datasets=[entry], iterations=60, on_bad_file="skip")
    codes, texts = run(2, "pretrain", content, tmp_path)
    assert codes == [0, 0], texts
    assert (tmp_path / "run" / "log.txt").read_text().count("skipped, another image takes its place") == 1
    assert texts[1] == ""


@pytest.mark.slow
@pytest.mark.parametrize("told", [[0], [1], [0, 1]])
def test_a_signal_to_any_stops_all_after_the_same_step(told, endless, tmp_path):
    started = endless(workers=1)
    for place in told:
        os.kill(started[place].pid, signal.SIGTERM)
    assert [processes.finish(process) for process in started] == [143, 143]
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert len(tiny.losses(tmp_path / "run")) == state["step"]
    assert f"saved after step {state['step']}" in said(tmp_path, 2)[0]
    assert said(tmp_path, 2)[1] == ""


def break_second() -> None:
    from mdpseg import ranks
    from mdpseg.engine.finite import FiniteGuard

    remember, calls = FiniteGuard.remember, []

    def broken(guard):
        remember(guard)
        calls.append(1)
        if len(calls) == 3 and ranks.rank() == 1:
            next(guard.objective.network.parameters()).data.fill_(torch.nan)

    FiniteGuard.remember = broken


@pytest.mark.slow
def test_a_loss_that_is_not_finite_in_one_is_one_message(tmp_path):
    codes, texts = run(2, "pretrain", pretraining(tmp_path / "run"), tmp_path, before=break_second)
    assert codes == [2, 2]
    assert "mdpseg: The loss is nan at step 3" in texts[0]
    assert texts[1] == ""
    found = mdpseg.replay(tmp_path / "run" / "replay-3.pt")
    assert found.culprit.startswith("the weights network.encoder")
    assert len(found.names) >= 2  # the batch of the second process, and what was mixed into it


@pytest.mark.slow
def test_a_decoder_that_leaves_layers_of_its_encoder_unused(tmp_path):
    network = {"encoder": "test_efficientnet", "decoder": "pspnet", "embedding_dim": 16}
    codes, texts = run(2, "pretrain", pretraining(tmp_path / "run", network=network, iterations=3), tmp_path)
    assert codes == [0, 0], texts
    assert texts[1] == ""


@pytest.mark.slow
def test_processes_that_slurm_started(tmp_path):
    """As far as its variables go; there is no SLURM here."""
    content = pretraining(tmp_path / "run", iterations=2, device="cpu", devices=2)
    file = tiny.write_recipe(tmp_path / "recipe.yaml", content)
    common = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODEID": "0",
        "SLURM_JOB_NODELIST": "localhost",
        "SRUN_CPUS_PER_TASK": "1",
        "MASTER_PORT": str(processes.free_port()),
        "MASTER_ADDR": "127.0.0.1",
    }
    started = [
        processes.start(
            *("pretrain", file),
            stderr=tmp_path / f"stderr-of-2-{rank}",
            environment={**common, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
        )
        for rank in range(2)
    ]
    assert [processes.finish(process) for process in started] == [0, 0], said(tmp_path, 2)
    assert len(torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["random"]) == 2


@pytest.mark.slow
def test_our_own_launcher(tmp_path):
    content = pretraining(tmp_path / "run", iterations=2, device="cpu")
    done = tiny.command("pretrain", tiny.write_recipe(tmp_path / "recipe.yaml", content), "--devices", 2)
    assert done.returncode == 0, done.stderr
    assert len(tiny.losses(tmp_path / "run")) == 2
    assert load(tmp_path / "run" / "recipe.yaml", PretrainConfig).devices == 2
    assert done.stderr.count("pretraining on") == 1
    assert "Warning" not in done.stderr
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert len(state["random"]) == 2


@pytest.mark.parametrize(
    "settings, named",
    [
        ({"sync_batchnorm": True}, ["sync_batchnorm", "CUDA only", "group or layer norm"]),
        ({"devices": 8}, ["batch_size is 4", "8 processes"]),
        ({"devices": 2, "nodes": 4}, ["batch_size is 4", "8 processes"]),
    ],
    ids=str,
)
def test_what_does_not_go_together(settings, named, tmp_path, mdpseg_command):
    content = pretraining(tmp_path / "run", device="cpu", **settings)
    code, _, stderr = mdpseg_command("pretrain", tiny.write_recipe(tmp_path / "r.yaml", content))
    assert code == 2
    assert len(stderr.strip().splitlines()) == 1
    for part in named:
        assert part in stderr
    assert not (tmp_path / "run").exists()


def test_torchrun_s_processes_are_taken(tmp_path, monkeypatch):
    started = {"LOCAL_WORLD_SIZE": 2, "WORLD_SIZE": 6, "RANK": 5, "LOCAL_RANK": 1, "GROUP_RANK": 2}
    for name, value in {"TORCHELASTIC_RUN_ID": "x", **started}.items():
        monkeypatch.setenv(name, str(value))
    content = pretraining(tmp_path / "run", device="cpu", batch_size=6)
    fabric = make_training_fabric(PretrainConfig.model_validate(content))
    assert fabric.world_size == 6
    assert rank_of(fabric) == 5
    make_training_fabric(PretrainConfig.model_validate({**content, "devices": 2, "nodes": 3}))
    with pytest.raises(UserError, match="torchrun started 2 processes on each of 3 machines"):
        make_training_fabric(PretrainConfig.model_validate({**content, "devices": 4}))
