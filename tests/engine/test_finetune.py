import json

import pytest
import torch

import mdpseg
from mdpseg import weights
from mdpseg.engine import loop, prototype_classifier
from mdpseg.errors import UserError
from tests import tiny


def test_what_it_returns(finetuned, tmp_path):
    result = mdpseg.finetune(tiny.finetuning(tmp_path / "run", evaluate_at=[2, 1.0]))
    assert list(result.scores) == [2, 3]
    assert (result.out, result.weights) == (tmp_path / "run", tmp_path / "run" / "weights.safetensors")
    for step, scores in result.scores.items():
        written = json.loads((tmp_path / "run" / f"scores-{step}.json").read_text())
        assert written["mean_iou"] == scores.mean_iou
        assert list(written["class_iou"]) == weights.load(result.weights).label_space.class_names("things")


def test_it_starts_from_the_pretraining_s_encoder_and_decoder(pretrained, tmp_path, monkeypatch):
    """At a rate of nearly nothing the body is still that of the pretraining, but for its running statistics."""
    start = weights.load(pretrained / "weights.safetensors").state
    content = tiny.finetuning(tmp_path / "run", network=None, init=str(pretrained / "weights.safetensors"))
    mdpseg.finetune({**content, "optim": {"lr": 1e-12}, "val": None})
    end = weights.load(tmp_path / "run" / "weights.safetensors").state
    body = [
        name for name in start if not name.startswith("head.") and "running" not in name and "num_batches" not in name
    ]
    assert {name.partition(".")[0] for name in body} == {"encoder", "decoder", "mean", "std"}
    assert len(body) == 75  # all of the tiny network but its head
    assert all(torch.allclose(start[name], end[name], atol=1e-6) for name in body)
    assert {name for name in end if name.startswith("head.")} != {name for name in start if name.startswith("head.")}


def test_a_catch_all_is_a_class_like_any_other(finetuned):
    stored = weights.load(finetuned / "weights.safetensors")
    assert stored.label_space.catch_all_as == "class"
    assert not stored.label_space.private_classes().any()
    assert stored.head == "classifier"


def test_without_val_nothing_is_evaluated(tmp_path):
    result = mdpseg.finetune(tiny.finetuning(tmp_path / "run", iterations=1, val=None))
    assert result.scores == {}
    assert "Not evaluated" in (tmp_path / "run" / "README.md").read_text()
    assert not list((tmp_path / "run").glob("scores-*"))


def test_evaluation_does_not_disturb_the_training(tmp_path, finetuned):
    """The same weights come out, evaluated often or never; the network is back in training mode."""
    often = mdpseg.finetune(tiny.finetuning(tmp_path / "often", evaluate_at=[0.1, 2, 3]))
    never = mdpseg.finetune(tiny.finetuning(tmp_path / "never", evaluate_at=[]))
    assert list(often.scores) == [1, 2, 3]
    assert never.scores == {}
    assert tiny.same(tiny.tensors(tmp_path / "often"), tiny.tensors(tmp_path / "never"))


def test_the_learning_rates_are_those_of_the_schedule(tmp_path, monkeypatch):
    seen = []
    original = loop.set_learning_rate
    monkeypatch.setattr(
        loop, "set_learning_rate", lambda optimizer, rate: (seen.append(rate), original(optimizer, rate))
    )
    mdpseg.finetune(
        tiny.finetuning(tmp_path / "run", val=None, optim={"lr": 0.3, "schedule": "poly", "power": 1.0, "warmup": 0})
    )
    assert seen == pytest.approx([0.3, 0.2, 0.1])
    assert [record["lr"] for record in tiny.losses(tmp_path / "run")] == pytest.approx(seen)


def test_a_folder_of_one_s_own(tmp_path):
    entry = tiny.image_folder(tmp_path / "d", count=3)
    result = mdpseg.finetune(tiny.finetuning(tmp_path / "run", train=entry, val=entry, iterations=1))
    assert list(result.scores[1].class_iou) == ["a", "b", "c"]
    assert result.scores[1].images == 3


def ignored(folder, ids, count=2):
    """A dataset with three classes whose masks hold ``ids`` alone."""
    entry = tiny.image_folder(folder, ids, count)
    (folder / "classes.txt").write_text("a\nb\nc\n")
    return entry


def test_classes_without_a_label_are_told(tmp_path):
    entry = ignored(tmp_path / "data", [0, 1, 255])
    out = mdpseg.finetune(tiny.finetuning(tmp_path / "run", train=entry, val=None, iterations=1)).out
    assert "found no example of c" in (out / "log.txt").read_text()


def test_labels_that_are_all_ignored_are_refused(tmp_path):
    entry = ignored(tmp_path / "data", [255])
    with pytest.raises(UserError, match=r"none of its 2 images has a labelled pixel, so there is nothing to learn"):
        mdpseg.finetune(tiny.finetuning(tmp_path / "run", train=entry, val=None))


def test_labels_that_are_all_ignored_where_not_every_image_is_looked_at_are_asked_about(tmp_path, monkeypatch):
    monkeypatch.setattr(prototype_classifier, "_MOST_IMAGES", 1)
    entry = ignored(tmp_path / "data", [255])
    out = mdpseg.finetune(tiny.finetuning(tmp_path / "run", train=entry, val=None, iterations=1)).out
    assert "found no example of any class: is everything ignored" in (out / "log.txt").read_text()
