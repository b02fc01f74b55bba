import contextlib
import importlib.util
import json
import os
import sqlite3
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from PIL import Image

import mdpseg
from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.engine import finetune, loggers, pretrain
from mdpseg.engine.loggers import Loggers
from mdpseg.engine.pictures import draw_similarity
from mdpseg.errors import UserError
from tests import tiny

THERE = [name for name in ("tensorboard", "mlflow", "wandb", "trackio") if importlib.util.find_spec(name)]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """The folder of a fine-tuning with every logger that is installed."""
    folder = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", (folder / "mlflow").as_uri())
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("TRACKIO_DIR", str(folder / "trackio"))
        recipe = tiny.finetuning(folder / "run", loggers=THERE, network=tiny.FAST_NETWORK, evaluate_at=[1.0])
        mdpseg.finetune(recipe)
    return folder


def records(folder):
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def test_nothing_failed(logged):
    assert "failed" not in (logged / "run" / "log.txt").read_text()


def test_tensorboard_holds_the_metrics_and_sample_predictions(logged):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = accumulators.EventAccumulator(str(logged / "run" / "tensorboard"))
    read.Reload()
    losses = {record["step"]: record["loss"] for record in records(logged) if "loss" in record}
    assert {event.step: event.value for event in read.Scalars("loss")} == pytest.approx(losses)
    scores = [record["mean_iou"] for record in records(logged) if "mean_iou" in record]
    assert [event.value for event in read.Scalars("mean_iou")] == pytest.approx(scores)
    (picture,) = read.Images("predictions")
    assert (picture.step, picture.width, picture.height) == (3, 3 * 64, 2 * 64)  # image, prediction, truth of 2 images


def test_mlflow_holds_the_metrics_settings_and_sample_predictions(logged, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient((logged / "mlflow").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("mdpseg").experiment_id])
    losses = {record["step"]: record["loss"] for record in records(logged) if "loss" in record}
    history = client.get_metric_history(run.info.run_id, "loss")
    assert {point.step: point.value for point in history} == pytest.approx(losses)
    assert run.data.params["optim.lr"] == str(FinetuneConfig.model_fields["optim"].default.lr)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run"
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["predictions-3.png"]
    assert (logged / "run" / "mlflow.id").read_text().strip() == run.info.run_id


def test_wandb_writes_an_offline_run(logged):
    pytest.importorskip("wandb")
    (written,) = (logged / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    content = written.read_bytes()
    assert b"mean_iou" in content
    assert b"predictions" in content


def trackio_rows(project):
    """Run name, step and content of each line that trackio stored."""
    folder = importlib.import_module("trackio").TRACKIO_DIR  # what TRACKIO_DIR was when it was first imported
    with contextlib.closing(sqlite3.connect(f"file:{folder}/{project}.db?mode=ro", uri=True)) as stored:
        rows = stored.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
    return [(name, step, json.loads(text)) for name, step, text in rows]


without_trackio = pytest.mark.skipif("trackio" not in THERE, reason="trackio is not installed")


@without_trackio
def test_trackio_holds_the_metrics_and_sample_predictions(logged):
    rows = trackio_rows("mdpseg")
    name = (logged / "run" / "trackio.id").read_text().strip()
    assert {row[0] for row in rows} == {name}
    losses = {record["step"]: record["loss"] for record in records(logged) if "loss" in record}
    assert {step: row["loss"] for _, step, row in rows if "loss" in row} == pytest.approx(losses)
    scores = [record["mean_iou"] for record in records(logged) if "mean_iou" in record]
    assert [row["mean_iou"] for _, _, row in rows if "mean_iou" in row] == pytest.approx(scores)
    ((step, picture),) = [(step, row["predictions"]) for _, step, row in rows if "predictions" in row]
    assert step == 3
    stored = Path(importlib.import_module("trackio").TRACKIO_DIR, "media", picture["file_path"])
    with Image.open(stored) as image:
        assert image.size == (3 * 64, 2 * 64)


@without_trackio
def test_trackio_goes_on_with_a_resumed_run_and_with_no_other_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("TRACKIO_PROJECT", "resumed")
    told = []
    for folder, step in (("a", 1), ("b", 1), ("a", 2)):
        out = tmp_path / folder / "run"
        out.mkdir(parents=True, exist_ok=True)
        opened = Loggers(config(out, ["trackio"]), told.append)
        opened.scalars(step, {"loss": 1.5})
        opened.close(True)
    assert told == []
    first, second, third = trackio_rows("resumed")
    assert first[0] == third[0] != second[0]
    assert [row[1] for row in (first, second, third)] == [1, 1, 2]


def test_a_pretraining_shows_how_similar_its_prototypes_are(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    recipe = tiny.pretraining(tmp_path / "run", loggers=["tensorboard"], network=tiny.FAST_NETWORK, iterations=1)
    mdpseg.pretrain(recipe)
    read = accumulators.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    read.Reload()
    assert read.Tags()["images"] == ["prototypes"]
    assert "contrast" in read.Tags()["scalars"]


def config(out, names):
    return PretrainConfig.model_validate(tiny.pretraining(out, loggers=names))


def test_a_logger_that_fails_is_left_out_and_told_once(tmp_path, monkeypatch):
    class Failing:
        def __init__(self, config, step):
            raise OSError("no route to host")

    class Working:
        def __init__(self, config, step):
            self.seen = seen

        def scalars(self, step, values):
            self.seen.append((step, values))

        def close(self, finished):
            self.seen.append(finished)

    seen, told = [], []
    monkeypatch.setitem(loggers._MAKE, "mlflow", Failing)
    monkeypatch.setitem(loggers._MAKE, "wandb", Working)
    both = Loggers(config(tmp_path, ["mlflow", "wandb"]), told.append)
    both.scalars(1, {"loss": 2.0, "note": "text"})
    both.scalars(2, {"loss": 1})
    both.picture(2, "p", lambda: np.zeros((2, 2, 3), np.uint8))  # Working has none, which fails too
    both.scalars(3, {"loss": 0.5})
    both.close(True)
    assert seen == [(1, {"loss": 2.0}), (2, {"loss": 1.0})]
    assert [line.split(" failed")[0] for line in told] == ["logger mlflow", "logger wandb"]
    assert "no route to host" in told[0]


def test_a_picture_that_cannot_be_drawn_is_left_out_and_the_loggers_go_on(tmp_path, monkeypatch):
    class Working:
        def __init__(self, config, step):
            pass

        def picture(self, step, name, pixels):
            seen.append((step, name))

        def scalars(self, step, values):
            seen.append((step, values))

    def fail():
        raise ValueError("no\nsuch glyph")

    seen, told = [], []
    monkeypatch.setitem(loggers._MAKE, "wandb", Working)
    one = Loggers(config(tmp_path, ["wandb"]), told.append)
    one.picture(1, "p", fail)
    one.picture(2, "p", lambda: np.zeros((2, 2, 3), np.uint8))
    one.scalars(2, {"loss": 2.0})
    assert told == ["picture p of step 1 could not be drawn and is left out (ValueError: no such glyph)"]
    assert seen == [(2, "p"), (2, {"loss": 2.0})]


def test_weights_and_scores_are_written_before_a_picture_is_drawn(tmp_path, monkeypatch):
    """So not even an end of the process while it draws costs them."""
    there = {}

    def look(kind, name):
        there[kind] = (tmp_path / kind / name).is_file()
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setitem(loggers._MAKE, "wandb", lambda config, step: MagicMock())
    monkeypatch.setattr(pretrain, "draw_similarity", lambda *_: look("pretrain", "weights.safetensors"))
    monkeypatch.setattr(finetune, "draw_predictions", lambda *_: look("finetune", "scores-1.json"))
    fast = {"loggers": ["wandb"], "network": tiny.FAST_NETWORK, "iterations": 1}
    mdpseg.pretrain(tiny.pretraining(tmp_path / "pretrain", **fast))
    mdpseg.finetune(tiny.finetuning(tmp_path / "finetune", evaluate_at=[1.0], **fast))
    assert there == {"pretrain": True, "finetune": True}


def test_a_run_outlives_its_logger(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "file" / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    recipe = tiny.pretraining(tmp_path / "run", loggers=["mlflow"], network=tiny.FAST_NETWORK, iterations=2)
    assert mdpseg.pretrain(recipe).weights.is_file()
    assert (tmp_path / "run" / "log.txt").read_text().count("logger mlflow failed") == 1


def test_a_missing_package_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(loggers._PACKAGES, "trackio", "no_such_package_as_this")
    with pytest.raises(UserError, match=r'pip install "mdpseg\[trackio\]"'):
        mdpseg.pretrain(tiny.pretraining(tmp_path / "run", loggers=["trackio"]))
    assert os.listdir(tmp_path) == []


def test_a_similarity_matrix_grows_with_the_classes():
    prototypes = torch.nn.functional.normalize(torch.randn(30, 8), dim=1)
    few = draw_similarity(prototypes, torch.arange(30) < 3, [f"d/{n}" for n in range(30)])
    many = draw_similarity(prototypes, torch.arange(30) < 30, [f"d/{n}" for n in range(30)])
    assert few.dtype == np.uint8
    assert few.shape[2] == 3
    assert many.shape[0] > few.shape[0]
    assert len(np.unique(many)) > 20


@pytest.mark.parametrize("name", ["d/price $\\q$", "d/$5, $10"])  # an error, and other letters, as formulas
def test_names_are_drawn_as_they_are(name, monkeypatch):
    given = torch.eye(2), torch.ones(2, dtype=torch.bool), [name, "d/b"]
    found = draw_similarity(*given)
    monkeypatch.setattr("matplotlib.cbook.is_math_text", lambda text: False)
    assert np.array_equal(found, draw_similarity(*given))
