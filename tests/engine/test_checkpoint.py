"""Checkpoints that can be read and hold something else: one message, before anything is changed."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import torch

import mdpseg
from mdpseg.engine.checkpoint_content import check_random
from mdpseg.engine.random_state import random_state
from mdpseg.errors import UserError
from tests import tiny

KEYS = (
    *("step", "next_draw", "metrics_bytes", "objective", "optimizer", "random", "recipe", "classes", "sizes"),
    *("optimizer.state", "optimizer.param_groups", "random.0.torch", "random.0.numpy", "random.0.device"),
)
OTHER = {
    "step": ["3", -1],
    "next_draw": [None, 2**63],
    "objective": [[], {"network.mean": 1}, {1: torch.zeros(1)}],
    "optimizer": [[1], {"state": {0: {"momentum_buffer": 1}}, "param_groups": []}, {"state": {}, "param_groups": [1]}],
    "random": [{}, [1], [{"torch": 5}]],
    "random.0.torch": [torch.zeros(3), torch.zeros(3, dtype=torch.uint8)],
    "random.0.python": [(3, (1, 2), None), "x"],
    "random.0.numpy.state.pos": [10**6, -1, "x"],
    "random.0.numpy.state.key": [[1], [-1] * 624],
    "random.0.device": [5],
    "recipe": [[], {"seed": torch.zeros(2)}, {1: 0}],
    "classes": ["ab", [1]],
    "sizes": [["8"]],
    "network": ["x", {"decoder": "none"}],
    "history": [{"start": 1, "stages": []}],
    "seconds": ["x", -1.0, float("nan")],
}


@pytest.fixture
def out(tmp_path, pretrained):
    """The folder of a finished run of 3 steps, to be changed."""
    shutil.copytree(pretrained, tmp_path / "run")
    return tmp_path / "run"


def content(out):
    return torch.load(out / "last.ckpt", weights_only=True)


def place(state, path):
    """The dictionary or list that holds a part, and the part's key there."""
    *names, last = (int(name) if name.isdigit() else name for name in path.split("."))
    for name in names:
        state = state[name]
    return state, last


def refused(out, state, match, **more):
    """Resuming is refused by one message, and changes nothing."""
    torch.save(state, out / "last.ckpt")
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.name != "log.txt"}
    with pytest.raises(UserError, match=match) as error:
        mdpseg.pretrain(tiny.pretraining(out, resume=True, **{"iterations": 5, **more}))
    assert "\n" not in str(error.value)
    assert {file.name: file.read_bytes() for file in out.iterdir() if file.name != "log.txt"} == before


@pytest.mark.parametrize("state", [[1, 2], torch.zeros(3), None, {"format": torch.zeros(2)}], ids=str)
def test_what_is_no_state(state, out):
    refused(out, state, r"last\.ckpt cannot be read \(it holds no state of a run\); start again in a new folder")


@pytest.mark.parametrize("key", KEYS)
def test_what_lacks_a_part(key, out):
    state = content(out)
    holder, last = place(state, key)
    del holder[last]
    refused(out, state, r"last\.ckpt cannot be read \(its .* is .*\); start again in a new folder")


@pytest.mark.parametrize("key, value", [(key, value) for key, values in OTHER.items() for value in values])
def test_what_has_another_part(key, value, out):
    state = content(out)
    holder, last = place(state, key)
    holder[last] = value
    refused(out, state, rf"last\.ckpt cannot be read \(its {key.partition('.')[0]}[^ ]* is not .*\); start again")


@pytest.mark.parametrize("encoder", ["test_efficientnet", "test_convnext"])
def test_a_network_that_its_tensors_are_not_of_takes_no_memory(encoder, out):
    state = content(out)
    state["network"] |= {"encoder": encoder, "decoder_channels": 2**16}
    refused(out, state, "names a network that is not the one it holds; start again", network=None)


@pytest.mark.parametrize(
    "change",
    [
        lambda moments: moments.pop("exp_avg"),
        lambda moments: moments.update(exp_avg_sq=torch.zeros(7)),
    ],
    ids=["missing", "of another shape"],
)
def test_moments_that_no_step_can_use(change, tmp_path):
    more = {"optim": {"optimiser": "adamw"}}
    mdpseg.pretrain(tiny.pretraining(tmp_path / "run", **more))
    state = content(tmp_path / "run")
    change(state["optimizer"]["state"][0])
    refused(tmp_path / "run", state, "another network or method", **more)


def test_a_bank_of_classes_that_there_are_not(out):
    state = content(out)
    state["objective"]["bank.classes"][0] = 20
    refused(out, state, "another network or method")


def test_the_checkpoint_before_is_taken_instead(out):
    state = content(out)
    (out / "last.ckpt").rename(out / "previous.ckpt")
    torch.save({**state, "optimizer": [1]}, out / "last.ckpt")
    mdpseg.pretrain(tiny.pretraining(out, resume=True, iterations=5))
    log = (out / "log.txt").read_text()
    assert (
        "last.ckpt cannot be read (its optimizer is not that of a run); going back to previous.ckpt, of step 3" in log
    )
    assert content(out)["step"] == 5


@pytest.mark.parametrize("fits", [True, False])
def test_looking_at_random_states_draws_nothing(fits):
    other = random_state(torch.device("cpu"))
    torch.rand(1), random.random(), np.random.rand()
    before = random_state(torch.device("cpu"))
    if fits:
        check_random(other)
    else:
        with pytest.raises(ValueError, match="random"):
            check_random({**other, "numpy": {}})
    after = random_state(torch.device("cpu"))
    assert torch.equal(before.pop("torch"), after.pop("torch"))
    assert before == after
