"""Every process must have the same recipe and data."""

import pytest

from mdpseg import ranks
from mdpseg.config import PretrainConfig
from mdpseg.engine.agreement import refuse_disagreement
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests import tiny

DATA = ["coarse/sky", "fine/cloud"], [8, 8]


def config(*overrides):
    return load(tiny.pretraining("run"), PretrainConfig, overrides)


@pytest.fixture
def judged(monkeypatch):
    """What process 0 thinks of two processes' recipes and data."""

    def judge(first, second):
        held = []
        monkeypatch.setattr(ranks, "count", lambda: 2)
        monkeypatch.setattr(ranks, "objects", lambda own: held.append(own) or [own, own])
        refuse_disagreement(*second)
        monkeypatch.setattr(ranks, "objects", lambda own: [own, held[0]])
        refuse_disagreement(*first)

    return judge


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["out=/scratch/run"],
        ["data_root=/scratch"],
        ["workers=3"],
        ["rank_timeout=5"],
        ["init=/scratch/weights.safetensors"],
    ],
    ids=str,
)
def test_machines_may_have_other_paths(overrides, judged):
    judged((config(), DATA), (config(*overrides), DATA))


@pytest.mark.parametrize(
    "overrides, data, named",
    [
        (["iterations=7"], DATA, "iterations 7, process 0 3"),
        (["log_every=7"], DATA, "log_every 7, process 0 1"),
        (["checkpoint_every=7"], DATA, "checkpoint_every 7, process 0 500"),
        (["resume=true"], DATA, "resume True, process 0 False"),
        (["method.temperature=0.5"], DATA, r"method\.temperature 0\.5, process 0 0\.07"),
        ([], (DATA[0], [8, 7]), r"images in its datasets \[8, 7\], process 0 \[8, 8\]"),
        ([], (["fine/cloud", "coarse/sky"], [8, 8]), "class 0 'fine/cloud', process 0 'coarse/sky'"),
        ([], ([*DATA[0], "fine/sea"], [8, 8]), "number of classes 3, process 0 2"),
    ],
    ids=str,
)
def test_what_would_go_wrong_without_a_word_is_refused(overrides, data, named, judged):
    with pytest.raises(UserError, match=f"^Process 1 of the run has {named}; give every machine the same"):
        judged((config(), DATA), (config(*overrides), data))


def test_alone_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(ranks, "objects", None)
    refuse_disagreement(config(), DATA)
