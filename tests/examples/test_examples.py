"""The examples run as a user runs them, on toy worlds, and their losses fall."""

import importlib.util
import statistics
from pathlib import Path

import pytest

from tests import tiny

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def falls(losses):
    return statistics.mean(losses[-5:]) < 0.9 * statistics.mean(losses[:5])


@pytest.mark.slow
def test_the_loss_of_the_bare_loop_falls():
    assert falls(load("bare_loop").train(40))


@pytest.mark.slow
def test_the_loss_of_the_lightning_module_falls():
    pytest.importorskip("lightning")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    assert falls(load("lightning_module").train(30, **quiet))


@pytest.mark.slow
def test_a_sweep_of_two_trials(tmp_path):
    pytest.importorskip("optuna")
    small = {"network": tiny.FAST_NETWORK, "iterations": 2}
    pretraining = tiny.write_recipe(tmp_path / "p.yaml", tiny.pretraining(tmp_path / "unused", **small))
    recipe = tiny.finetuning(tmp_path / "unused", iterations=2)
    recipe["network"] = None
    finetuning = tiny.write_recipe(tmp_path / "f.yaml", recipe)
    sweep = load("sweep").sweep
    study = sweep(pretraining, finetuning, 1, tmp_path / "out", [])
    study = sweep(pretraining, finetuning, 1, tmp_path / "out", ["workers=0"])  # goes on
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]
    assert set(study.best_params) == {"optim.lr", "method.temperature", "method.supervised_share"}
    assert 0 <= study.best_value <= 1
    assert (tmp_path / "out" / "1" / "finetune" / "weights.safetensors").is_file()
    assert not (tmp_path / "unused").exists()


def test_the_document_shows_the_bare_loop_as_it_is():
    document = Path(__file__).parents[2] / "docs" / "python.md"
    assert (EXAMPLES / "bare_loop.py").read_text() in document.read_text()
