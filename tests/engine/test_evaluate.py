import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

import mdpseg
from mdpseg.config import EvalConfig, EvaluateConfig
from mdpseg.data.readers.pairs import Sample
from mdpseg.engine.evaluate import score_network
from mdpseg.engine.runtime import make_fabric
from mdpseg.errors import UserError
from tests import tiny
from tests.tiny import ListReader, TinyNetwork

CLASSES = ["a", "b", "c", "d"]


def samples():
    """Images of odd and different sizes; class d never occurs."""
    source = torch.Generator().manual_seed(0)
    made = []
    for number, (height, width) in enumerate([(33, 50), (64, 64), (70, 31)]):
        image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=source)
        ids = torch.tensor([0, 1, 2, 255], dtype=torch.uint8)
        made.append(Sample(image, ids[torch.randint(0, 4, (height, width), generator=source)], str(number)))
    return made


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = TinyNetwork()
    made.set_classifier(4)
    return made


def by_hand(network):
    """IoU of each class and accuracy from sets of pixels, at the masks' own sizes."""
    network.eval()
    intersection, union, right, total = np.zeros(4), np.zeros(4), 0, 0
    occurs = np.zeros(4, dtype=bool)
    for sample in samples():
        with torch.no_grad():
            predicted = network.logits(sample.image[None])[0].argmax(0).numpy()
        mask = sample.mask.numpy()
        counted = mask != 255
        for c in range(4):
            truth, said = (mask == c) & counted, (predicted == c) & counted
            intersection[c] += (truth & said).sum()
            union[c] += (truth | said).sum()
            occurs[c] |= truth.any()
        right += ((mask == predicted) & counted).sum()
        total += counted.sum()
    return [i / u if o else None for i, u, o in zip(intersection, union, occurs, strict=True)], right / total


@pytest.mark.parametrize("workers", [0, 1])
def test_scores_equal_a_computation_by_hand(network, workers):
    fabric = make_fabric("cpu", "fp32")
    scores = score_network(network, ListReader(samples(), CLASSES), EvalConfig(), fabric, workers)
    iou, accuracy = by_hand(network)
    assert list(scores.class_iou) == CLASSES
    assert scores.class_iou["d"] is None
    assert [scores.class_iou[name] for name in CLASSES] == pytest.approx(iou)
    assert scores.mean_iou == pytest.approx(np.mean(iou[:3]))
    assert scores.pixel_accuracy == pytest.approx(accuracy)
    assert scores.images == 3


def test_a_window_over_everything_changes_nothing(network):
    fabric = make_fabric("cpu", "fp32")
    reader = ListReader(samples(), CLASSES)
    whole = score_network(network, reader, EvalConfig(), fabric)
    assert score_network(network, reader, EvalConfig(window=128), fabric) == whole
    assert score_network(network, reader, EvalConfig(window=32), fabric) != whole


def test_the_network_is_judged_in_evaluation_mode_and_not_changed(network):
    network.train()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    score_network(network, ListReader(samples(), CLASSES), EvalConfig(), make_fabric("cpu", "fp32"))
    assert not network.training
    assert tiny.same(before, network.state_dict())


def test_a_dataset_without_a_labelled_pixel_is_refused(network):
    """There is no mean over no class: NaN is no score, nor is it JSON."""
    blank = [Sample(s.image, torch.full_like(s.mask, 255), s.id) for s in samples()]
    with pytest.raises(UserError, match=r"blank.*label"):
        score_network(network, ListReader(blank, CLASSES, "blank"), EvalConfig(), make_fabric("cpu", "fp32"))


def test_evaluate_gives_what_the_fine_tuning_wrote(finetuned, tmp_path):
    config = {
        "weights": str(finetuned / "weights.safetensors"),
        "dataset": tiny.toy("things", split="val", count=2),
        "out": str(tmp_path / "deep" / "scores.json"),
        "workers": 0,
    }
    scores = mdpseg.evaluate(config)
    written = json.loads((finetuned / "scores-3.json").read_text())
    assert scores.mean_iou == pytest.approx(written["mean_iou"], abs=1e-6)
    assert json.loads((tmp_path / "deep" / "scores.json").read_text()) == json.loads(json.dumps(asdict(scores)))
    assert mdpseg.evaluate(EvaluateConfig.model_validate({**config, "out": None, "eval": {"flip": True}})).images == 2
    assert mdpseg.evaluate(config, ["dataset.count=1"]).images == 1


def test_a_fine_tuning_is_judged_on_its_own_val(finetuned, pretrained, tmp_path, mdpseg_command):
    written = json.loads((finetuned / "scores-3.json").read_text())
    scores = mdpseg.evaluate(finetuned)
    assert scores.mean_iou == pytest.approx(written["mean_iou"], abs=1e-6)
    assert mdpseg.evaluate(str(finetuned), ["dataset.count=1"]).images == 1
    code, out, err = mdpseg_command("evaluate", finetuned, "eval.flip=true", f"out={tmp_path / 'scores.json'}")
    assert code == 0, err
    assert "mIoU" in out
    assert json.loads((tmp_path / "scores.json").read_text())["images"] == scores.images
    with pytest.raises(UserError, match=r"is a pretraining; fine-tune it first"):
        mdpseg.evaluate(pretrained)
    with pytest.raises(UserError, match=r"No recipe at .*recipe.yaml"):
        mdpseg.evaluate(tmp_path)


def test_a_fine_tuning_without_val_has_nothing_to_be_judged_on(tmp_path):
    run = mdpseg.finetune(tiny.finetuning(tmp_path / "run", val=None, iterations=1)).out
    with pytest.raises(UserError, match=r"fine-tuned without `val`; give a recipe with `weights` and `dataset`"):
        mdpseg.evaluate(run)


def test_in_bfloat16(finetuned):
    config = {"weights": str(finetuned / "weights.safetensors"), "dataset": tiny.toy("things", count=2), "workers": 0}
    exact, rough = (mdpseg.evaluate({**config, "precision": precision}) for precision in ("fp32", "bf16"))
    assert rough.pixel_accuracy == pytest.approx(exact.pixel_accuracy, abs=0.1)


def test_a_folder_for_the_scores_is_refused_before_the_work(finetuned, tmp_path):
    config = {"weights": finetuned, "dataset": tiny.toy("things", split="val"), "out": tmp_path}  # a run's folder, too
    with pytest.raises(UserError, match=r"is a folder; name a file for the scores"):
        mdpseg.evaluate(config)
    assert mdpseg.evaluate({**config, "out": tmp_path / "scores.json"}).images == 8
