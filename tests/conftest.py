"""Shared fixtures. Idle threads sleep and torch has one: the cores may be busy with other work."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import mdpseg
from mdpseg import cli
from mdpseg.engine.curves import draw_curves
from tests import tiny

torch.set_num_threads(1)

# A shell's background job ignores Ctrl-C, and so do the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, and no database beside the repository.
settings.register_profile("mdpseg", deadline=None, derandomize=True, database=None, max_examples=100)
settings.load_profile("mdpseg")


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power; those that kill have processes of their own."""
    monkeypatch.setattr(os, "fsync", lambda number: None)


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than most runs here. The runs that tests share, and those of processes, draw theirs."""
    monkeypatch.setattr("mdpseg.engine.loop.draw_curves", lambda run: None)


@contextmanager
def with_curves() -> Iterator[None]:
    """Whichever test asks first for a run that is shared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdpseg.engine.loop.draw_curves", draw_curves)
        yield


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished tiny pretraining on two toy worlds; read only."""
    with with_curves():
        return mdpseg.pretrain(tiny.pretraining(tmp_path_factory.mktemp("pretrained") / "run")).out


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory: pytest.TempPathFactory, pretrained: Path) -> Path:
    """The folder of a finished tiny fine-tuning on the third world; read only."""
    out = tmp_path_factory.mktemp("finetuned") / "run"
    with with_curves():
        return mdpseg.finetune(tiny.finetuning(out, init=str(pretrained / "weights.safetensors"), network=None)).out


@pytest.fixture(scope="session")
def segmenting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short pretraining on two embedded worlds that tells some of their classes apart; read only."""
    out = tmp_path_factory.mktemp("segmenting") / "worlds"
    worlds = [tiny.toy(world, count=200) for world in ("coarse", "fine")]
    recipe = tiny.pretraining(out, datasets=worlds, iterations=150, batch_size=8, network=tiny.FAST_NETWORK)
    recipe |= {"augment": {"crop": 64, "scale": [0.8, 1.25]}, "log_every": 50}
    return mdpseg.pretrain(recipe).out


@pytest.fixture(scope="session")
def segmenting_model(segmenting: Path):
    """What :func:`segmenting` has learned."""
    from mdpseg.model import SegmentationModel

    return SegmentationModel.from_run(segmenting, "cpu")


@pytest.fixture(scope="session")
def server(segmenting: Path, tmp_path_factory: pytest.TempPathFactory):
    """A real server of :func:`segmenting`, see tests/serving.py."""
    from tests.serving import served

    with served(segmenting, tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the documents as a site; a warning of mkdocs is an error."""
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def mdpseg_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: arguments -> exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mdpseg", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run
