import json
import os

import numpy as np
import pytest
import torch

import mdpseg
from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.engine import loggers
from mdpseg.engine.checkpoint import WITHOUT_EFFECT
from mdpseg.engine.loggers import Loggers
from mdpseg.engine.pictures import draw_similarity
from mdpseg.errors import UserError
from tests import tiny

THERE = [name for name in ("tensorboard", "mlflow", "wandb", "trackio") if loggers.importlib.util.find_spec(name)]


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


def test_trackio_writes_a_run(logged):
    pytest.importorskip("trackio", reason="trackio is not installed")
    assert any((logged / "trackio").rglob("*"))


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


def test_loggers_change_nothing_that_is_learned():
    assert "loggers" in WITHOUT_EFFECT


def test_a_similarity_matrix_grows_with_the_classes():
    prototypes = torch.nn.functional.normalize(torch.randn(30, 8), dim=1)
    few = draw_similarity(prototypes, torch.arange(30) < 3, [f"d/{n}" for n in range(30)])
    many = draw_similarity(prototypes, torch.arange(30) < 30, [f"d/{n}" for n in range(30)])
    assert few.dtype == np.uint8
    assert few.shape[2] == 3
    assert many.shape[0] > few.shape[0]
    assert len(np.unique(many)) > 20
