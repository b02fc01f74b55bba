"""Whole runs on a GPU that is not there (tests/pretend_gpu.py): they are those of the CPU, but for rounding."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

import mdpseg
from mdpseg.atlas.build import build_atlas
from mdpseg.report.build import build_report
from mdpseg.weights import load
from tests import tiny
from tests.pretend_gpu import pretend_gpu


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of a pretraining, a fine-tuning and predictions, by device; the GPU's pretraining is resumed once."""
    folders = {}
    for device in ("cpu", "cuda"):
        root = folders[device] = tmp_path_factory.mktemp(device)
        usual = {"device": device, "augment": {"crop": 64}}  # crops of 32 have norms over four values, which amplify
        pretraining = tiny.pretraining(root / "pretrain", **usual)
        finetuning = tiny.finetuning(root / "finetune", init=str(root / "pretrain/weights.safetensors"), **usual)
        image = root / "image.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(image)
        with pretend_gpu() if device == "cuda" else nullcontext([]) as waits:
            mdpseg.pretrain(pretraining | {"checkpoint_every": 2})
            assert sum("finite.py" in wait for wait in waits) == (
                3 if device == "cuda" else 0
            )  # steps were taken there
            (root / "pretrain/previous.ckpt").replace(root / "pretrain/last.ckpt")
            mdpseg.pretrain(pretraining | {"checkpoint_every": 2, "resume": True})
            mdpseg.finetune(finetuning)
            mdpseg.evaluate(root / "finetune", [f"out={root / 'scores.json'}", "eval.flip=true"])
            model = mdpseg.SegmentationModel.from_run(root / "pretrain", device=device)
            np.save(root / "embedding.npy", model.embed(image).cpu().numpy())
            with_class = model.add_class("mug", [(image, np.eye(40, 56, dtype=bool))])
            np.save(root / "mask.npy", with_class.predict(image).mask)
    return folders


def both(runs, file):
    return [(runs[device] / file).read_text() for device in ("cpu", "cuda")]


@pytest.mark.parametrize("run", ["pretrain", "finetune"])
def test_losses_and_weights(runs, run):
    here, there = ([json.loads(line) for line in text.splitlines()] for text in both(runs, f"{run}/metrics.jsonl"))
    assert len(here) == len(there) >= 3
    for one, other in zip(here, there, strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - {"images_per_second"}:  # a pixel in a thousand may lie between two classes
            assert other[key] == pytest.approx(one[key], rel=1e-3, abs=1e-3 if "mean_iou" in one else 0)
    one, other = (load(runs[device] / run / "weights.safetensors").state for device in runs)
    assert one.keys() == other.keys()
    assert all(np.allclose(one[name], other[name], atol=2e-3) for name in one)


def test_scores(runs):
    here, there = map(json.loads, both(runs, "scores.json"))
    assert there["mean_iou"] == pytest.approx(here["mean_iou"], abs=1e-3)


def test_embeddings_and_an_added_class(runs):
    one, other = (np.load(folder / "embedding.npy") for folder in runs.values())
    assert np.allclose(one, other, atol=1e-4)
    one, other = (np.load(folder / "mask.npy") for folder in runs.values())
    assert (one == other).mean() > 0.99


def test_predictions(finetuned, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(tmp_path / "image.png")
    judged = {"flip": True, "scales": [1.0, 1.5], "window": 64}
    recipe = {"weights": str(finetuned), "images": str(tmp_path / "image.png"), "eval": judged}
    mdpseg.predict(recipe | {"out": str(tmp_path / "cpu"), "device": "cpu"})
    with pretend_gpu():
        mdpseg.predict(recipe | {"out": str(tmp_path / "cuda"), "device": "cuda"})
    here, there = (np.asarray(Image.open(tmp_path / device / "image.png")) for device in ("cpu", "cuda"))
    assert (here == there).mean() > 0.99


def test_pages(pretrained, finetuned, tmp_path):
    with pretend_gpu():
        made = build_atlas(pretrained, ["device=cuda"], 4, tmp_path / "atlas")
        assert made.page.exists()
        assert build_report([finetuned], ["device=cuda"], 2, tmp_path / "report.html").exists()
