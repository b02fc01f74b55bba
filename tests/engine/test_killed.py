"""A run that is killed, told to stop or out of disk leaves a whole checkpoint, and ends with the same weights."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

import mdpseg
from mdpseg.data.workers import leave_signals_to_the_run
from mdpseg.engine import loop
from mdpseg.engine.run_folder import RunFolder
from tests import processes, tiny


def recipe(out, **more):
    return tiny.pretraining(out, **{"iterations": 60, "checkpoint_every": 3, "network": tiny.FAST_NETWORK, **more})


def written_steps(out):
    file = out / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def wait_for_news(out, process):
    """Until a run has cut its metrics, or added to them."""
    before = written_steps(out)
    processes.wait_for(lambda: written_steps(out) != before, process)


def writing(out):
    return any(file.name.endswith("-last.ckpt") for file in out.glob(".tmp-*"))


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path):
    """In its start, in and between its steps, in drawing its curves, in writing a checkpoint."""
    out, random_moment = tmp_path / "run", random.Random(0)
    file = tiny.write_recipe(tmp_path / "recipe.yaml", recipe(out))
    moments = ["start"] * 3 + ["step"] * 10 + ["checkpoint"] * 7
    random_moment.shuffle(moments)
    half_written = 0
    for moment in moments:
        resume = ["--resume"] if (out / "recipe.yaml").is_file() else []
        workers = random_moment.choice([0, 0, 0, 2])
        process = processes.start("pretrain", file, f"workers={workers}", *resume, stderr=tmp_path / "stderr")
        if moment == "start":
            time.sleep(random_moment.uniform(0, 1))
        else:
            wait_for_news(out, process)
            time.sleep(random_moment.uniform(0, 0.2))
        if moment == "checkpoint":
            processes.wait_for(lambda: writing(out), process)
        assert process.is_alive(), (tmp_path / "stderr").read_text()
        os.kill(process.pid, signal.SIGKILL)
        assert processes.finish(process) == -signal.SIGKILL, (tmp_path / "stderr").read_text()
        half_written += writing(out)
    assert not (out / "weights.safetensors").exists()
    assert half_written >= 5, half_written
    assert processes.finish(processes.start("pretrain", file, "--resume", stderr=tmp_path / "stderr")) == 0

    mdpseg.pretrain(recipe(tmp_path / "whole", checkpoint_every=1000))
    assert tiny.same(tiny.tensors(out), tiny.tensors(tmp_path / "whole"))
    assert tiny.losses(out) == tiny.losses(tmp_path / "whole")
    assert not list(out.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "number, code, to_all", [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False), (signal.SIGTERM, 143, True)]
)
def test_a_signal_saves_and_ends_within_ten_seconds(number, code, to_all, workers, tmp_path):
    """Ctrl-C in a terminal and SLURM reach the loader's processes too."""
    out = tmp_path / "run"
    content = recipe(out, iterations=100000, checkpoint_every=100000)
    file = tiny.write_recipe(tmp_path / "recipe.yaml", content)
    process = processes.start("pretrain", file, f"workers={workers}", stderr=tmp_path / "stderr")
    processes.wait_for(lambda: written_steps(out) > 2, process)
    began = time.monotonic()
    (os.killpg if to_all else os.kill)(process.pid, number)
    assert processes.finish(process) == code
    assert time.monotonic() - began < 10
    stderr = (tmp_path / "stderr").read_text()
    assert "Traceback" not in stderr
    step = torch.load(out / "last.ckpt", weights_only=True)["step"]
    assert f"saved after step {step}\n" in stderr
    assert "--resume" in stderr
    assert written_steps(out) == step  # nothing is lost
    assert not list(out.glob(".*"))

    mdpseg.pretrain({**content, "iterations": step + 2, "resume": True})
    assert [record["step"] for record in tiny.losses(out)] == list(range(1, step + 3))


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_real_command_line(number, code, tmp_path):
    file = tiny.write_recipe(tmp_path / "recipe.yaml", recipe(tmp_path / "run", iterations=100000))
    process = subprocess.Popen([sys.executable, "-m", "mdpseg", "pretrain", file], stderr=subprocess.PIPE, text=True)
    processes.wait_for(lambda: written_steps(tmp_path / "run") > 2)
    process.send_signal(number)
    stderr = process.communicate(timeout=10)[1]
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert "saved after step" in stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_equals_uninterrupted(number, tmp_path, monkeypatch):
    """Also for who calls from Python: Ctrl-C is KeyboardInterrupt, SIGTERM is SystemExit."""
    whole, out = tmp_path / "whole", tmp_path / "run"
    mdpseg.finetune(finetuning(whole))
    with monkeypatch.context() as patch:
        rate = loop.learning_rate
        patch.setattr(loop, "learning_rate", lambda done, *more: signal_at(3, number, done) or rate(done, *more))
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
            mdpseg.finetune(finetuning(out))
    assert torch.load(out / "last.ckpt", weights_only=True)["step"] == 4
    mdpseg.finetune(finetuning(out), ["resume=true"])
    assert tiny.same(tiny.tensors(out), tiny.tensors(whole))
    assert tiny.losses(out) == tiny.losses(whole)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def finetuning(out):
    return tiny.finetuning(out, iterations=6, checkpoint_every=100, evaluate_at=[2, 5], network=tiny.FAST_NETWORK)


def signal_at(step, number, done):
    if done == step:
        os.kill(os.getpid(), number)


def test_what_the_shell_told_it_to_ignore_is_ignored(tmp_path, monkeypatch, request):
    """As for `mdpseg pretrain ... &` in a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    rate = loop.learning_rate
    monkeypatch.setattr(
        loop, "learning_rate", lambda done, *more: signal_at(3, signal.SIGINT, done) or rate(done, *more)
    )
    mdpseg.finetune(finetuning(tmp_path / "run"))
    assert (tmp_path / "run" / "weights.safetensors").exists()


def test_a_signal_in_an_evaluation_does_not_wait_for_its_end(tmp_path, monkeypatch):
    from mdpseg.engine import finetune

    whole, out = tmp_path / "whole", tmp_path / "run"
    expected = mdpseg.finetune(finetuning(whole))
    score = finetune.score_network

    def slow(*more):
        os.kill(os.getpid(), signal.SIGTERM)
        return score(*more)

    with monkeypatch.context() as patch:
        patch.setattr(finetune, "score_network", slow)
        with pytest.raises(SystemExit):
            mdpseg.finetune(finetuning(out))
    assert torch.load(out / "last.ckpt", weights_only=True)["step"] == 2
    assert mdpseg.finetune(finetuning(out), ["resume=true"]).scores == expected.scores
    assert tiny.losses(out) == tiny.losses(whole)


def test_a_step_that_does_not_end_is_not_waited_for(tmp_path, monkeypatch):
    from mdpseg.engine import stopping

    out = tmp_path / "run"
    rate = loop.learning_rate

    def hangs(done, *more):
        if done == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        return rate(done, *more)

    monkeypatch.setattr(stopping, "PATIENCE", 0.2)
    monkeypatch.setattr(loop, "learning_rate", hangs)
    began = time.monotonic()
    with pytest.raises(SystemExit):
        mdpseg.pretrain(recipe(out, checkpoint_every=2))
    assert time.monotonic() - began < 30
    assert torch.load(out / "last.ckpt", weights_only=True)["step"] == 2
    assert "continues from the last checkpoint" in (out / "log.txt").read_text()


def test_a_signal_does_not_cut_a_checkpoint_that_takes_its_time(tmp_path, monkeypatch):
    """It is followed by one more step, and by a checkpoint of that."""
    from mdpseg.engine import stopping

    out, saved = tmp_path / "run", []
    save = RunFolder.save_checkpoint

    def slow(run, state):
        if state["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2.5)
        save(run, state)
        saved.append(state["step"])

    monkeypatch.setattr(stopping, "PATIENCE", 2)
    monkeypatch.setattr(RunFolder, "save_checkpoint", slow)
    with pytest.raises(SystemExit):
        mdpseg.pretrain(recipe(out, checkpoint_every=2))
    assert saved == [2, 3]
    assert "saved after step 3" in (out / "log.txt").read_text()


SLOW_TO_SAVE = """
import sys, time
import torch
import mdpseg

if __name__ == "__main__":
    save = torch.save
    torch.save = lambda *given, **more: (more or time.sleep(8), save(*given, **more))[-1]
    mdpseg.pretrain(sys.argv[1], ["devices=2"])
"""


@pytest.mark.slow
def test_the_other_processes_of_a_launcher_wait_for_a_checkpoint(tmp_path):
    """Whoever starts `devices` kills what is left, 5 seconds after one of them ended."""
    out = tmp_path / "run"
    (tmp_path / "script.py").write_text(SLOW_TO_SAVE)
    file = tiny.write_recipe(tmp_path / "recipe.yaml", recipe(out, iterations=100000, checkpoint_every=100000))
    command = [sys.executable, tmp_path / "script.py", file]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    processes.wait_for(lambda: written_steps(out) > 2)
    process.terminate()
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 143, stderr
    assert f"saved after step {torch.load(out / 'last.ckpt', weights_only=True)['step']}\n" in stderr
    assert not list(out.glob(".*"))


SLOW_TO_CLOSE = """
import sys, time, mdpseg
from mdpseg.engine import finite, loggers

if __name__ == "__main__":
    close = loggers.Loggers.close
    loggers.Loggers.close = lambda *given: (time.sleep(8), close(*given))[-1]
    if len(sys.argv) > 2:
        check = finite.FiniteGuard.check
        finite.FiniteGuard.check = lambda guard, step, batch, losses, norm: check(
            guard, step, batch, losses, norm if step < 3 else norm * float("nan")
        )
    mdpseg.pretrain(sys.argv[1], ["devices=2"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["signal", "nan"])
def test_the_other_processes_of_a_launcher_wait_until_the_run_is_closed(how, tmp_path):
    """Loggers take their time, and the message comes after them."""
    out = tmp_path / "run"
    (tmp_path / "script.py").write_text(SLOW_TO_CLOSE)
    file = tiny.write_recipe(tmp_path / "recipe.yaml", recipe(out, iterations=100000, checkpoint_every=100000))
    command = [sys.executable, tmp_path / "script.py", file, *(["nan"] if how == "nan" else [])]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    if how == "signal":
        processes.wait_for(lambda: written_steps(out) > 2)
        process.terminate()
    stderr = process.communicate(timeout=120)[1]
    code, said = {
        "signal": (143, "stopped; --resume continues"),
        "nan": (1, "or those of another of 2 processes). Lower optim.lr"),
    }[how]
    assert process.returncode == code, stderr
    assert said in stderr
    assert not list(out.glob(".*"))


def test_a_run_stopped_before_its_first_step_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "batches", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        mdpseg.pretrain(recipe(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_loader_s_process_ignores_what_is_meant_for_the_run():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        leave_signals_to_the_run(0)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.alarm(0) > 10  # but not for ever
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a small file system at a folder: megabytes -> the folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def mount(megabytes):
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this system does not let us mount a small disk: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    if shutil.which("mount") is None:
        pytest.skip("there is no mount command here")
    yield mount
    for path in mounted:
        subprocess.run(["umount", path], check=True)


def test_a_full_disk_is_one_message_and_leaves_the_last_checkpoint_whole(small_disk, tmp_path, mdpseg_command):
    mdpseg.pretrain(recipe(tmp_path / "whole", iterations=6))
    size = (tmp_path / "whole" / "last.ckpt").stat().st_size / 2**20
    out = small_disk(round(2.6 * size)) / "run"  # for two checkpoints, not for three
    file = tiny.write_recipe(tmp_path / "recipe.yaml", recipe(out, iterations=6, checkpoint_every=1))
    code, _, stderr = mdpseg_command("pretrain", file)
    assert code == 2
    message = stderr.strip().splitlines()[-1]
    assert message.startswith(f"mdpseg: {out / 'last.ckpt'} cannot be written, the disk is full")
    assert "Traceback" not in stderr
    assert not list(out.glob(".*"))
    assert torch.load(out / "last.ckpt", weights_only=True)["step"] == 2

    subprocess.run(["mount", "-o", "remount,size=1g", out.parent], check=True)  # somebody made room
    assert mdpseg_command("pretrain", file, "--resume")[0] == 0
    assert tiny.same(tiny.tensors(out), tiny.tensors(tmp_path / "whole"))
    assert tiny.losses(out) == tiny.losses(tmp_path / "whole")


def test_a_disk_too_small_for_anything(small_disk, tmp_path, mdpseg_command):
    out = small_disk(1) / "run"
    code, _, stderr = mdpseg_command("pretrain", tiny.write_recipe(tmp_path / "r.yaml", recipe(out, iterations=2)))
    assert code == 2
    assert "the disk is full" in stderr.strip().splitlines()[-1]
    assert not out.exists()
