"""Same seed, same run."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import mdpseg
from mdpseg.config import PretrainConfig
from mdpseg.engine.random_state import random_state, seed_everything, set_random_state
from mdpseg.engine.runtime import make_training_fabric
from tests import tiny

CPU = torch.device("cpu")


def run(command, out, **more):
    make = tiny.pretraining if command == "pretrain" else tiny.finetuning
    getattr(mdpseg, command)(make(out, **{"iterations": 4, "network": tiny.FAST_NETWORK, **more}))
    return out


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_two_runs_agree_bit_for_bit(command, tmp_path):
    """Whatever the random states were before, and whatever reads the images."""
    first = run(command, tmp_path / "first")
    torch.rand(7), random.random(), np.random.rand(3)
    second = run(command, tmp_path / "second", workers=2)
    assert tiny.same(tiny.tensors(first), tiny.tensors(second))
    assert tiny.losses(first) == tiny.losses(second)
    states = [torch.load(out / "last.ckpt", weights_only=True) for out in (first, second)]
    assert tiny.same(*(state["objective"] for state in states))
    assert states[0]["random"][0]["python"] == states[1]["random"][0]["python"]

    other = run(command, tmp_path / "other", seed=1)
    assert not tiny.same(tiny.tensors(first), tiny.tensors(other))


@pytest.mark.slow
def test_in_a_process_of_its_own(tmp_path):
    first = run("pretrain", tmp_path / "first")
    content = tiny.pretraining(tmp_path / "second", iterations=4, network=tiny.FAST_NETWORK)
    done = tiny.command("pretrain", tiny.write_recipe(tmp_path / "r.yaml", content))
    assert done.returncode == 0, done.stderr
    assert tiny.same(tiny.tensors(first), tiny.tensors(tmp_path / "second"))


def test_deterministic_asks_torch_for_it(tmp_path):
    plain = run("pretrain", tmp_path / "plain")
    try:
        asked = run("pretrain", tmp_path / "asked", deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert tiny.same(tiny.tensors(plain), tiny.tensors(asked))
    make_training_fabric(PretrainConfig.model_validate(tiny.pretraining(tmp_path / "x")))
    assert not torch.are_deterministic_algorithms_enabled()


def drawn():
    return random.random(), np.random.rand(), float(torch.rand(1)), random.gauss(0, 1), np.random.randn()


def test_every_random_state_is_kept():
    before = random_state(CPU)
    try:
        seed_everything(3)
        drawn()
        state = random_state(CPU)
        expected = drawn()
        assert drawn() != expected
        set_random_state(state, CPU)
        assert drawn() == expected
        seed_everything(3)
        first = drawn()
        seed_everything(3, rank=1)
        assert not set(drawn()) & set(first)
        seed_everything(2**40)  # more than numpy takes
    finally:
        set_random_state(before, CPU)


def test_a_device_of_another_kind_keeps_its_own_state(monkeypatch):
    set_to = []
    monkeypatch.setattr(torch.mps, "set_rng_state", set_to.append)
    state = {**random_state(CPU), "device": torch.zeros(16, dtype=torch.uint8), "device_type": "cuda"}
    set_random_state(state, torch.device("mps"))
    assert not set_to
    set_random_state({**state, "device_type": "mps"}, torch.device("mps"))
    assert len(set_to) == 1
