"""Bad input: one clear message, exit code 2, nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests import tiny


def check(result, *expected):
    """Exit code 2, and the last line of stderr is the one message; before it only what the run tells of itself."""
    code, _, stderr = result
    assert code == 2, stderr
    assert "Traceback" not in stderr
    *before, message = stderr.strip().splitlines()
    assert message.startswith("mdpseg: ")
    assert not any("rror" in line for line in before)
    for part in expected:
        assert part in message


def pretrain_on(root: Path, entry: dict, **more) -> list:
    recipe = tiny.pretraining(root / "out", datasets=[entry], iterations=2, **more)
    return ["pretrain", tiny.write_recipe(root / "recipe.yaml", recipe)]


# each writes something bad below a folder and returns the command line and what its message names


def missing_folder(root):
    return pretrain_on(root, {"name": "mine", "reader": "folder", "path": str(root / "none")}), ["mine", "none"]


def image_without_mask(root):
    entry = tiny.image_folder(root / "d", count=3)
    (root / "d/masks/train/1.png").unlink()
    return pretrain_on(root, entry), ["mine", "1.jpg", "masks/train/1.png"]


def sizes_that_differ(root):
    entry = tiny.image_folder(root / "d", count=1)
    Image.fromarray(np.zeros((48, 40), dtype=np.uint8)).save(root / "d/masks/train/0.png")
    return pretrain_on(root, entry), ["mine", "images/train/0.jpg", "48x40", "40x48"]


def id_outside_the_classes(root):
    entry = tiny.image_folder(root / "d", ids=[0, 7], count=1)
    return pretrain_on(root, entry), ["mine", "masks/train/0.png", "7", "0..2"]


def truncated_jpeg(root):
    entry = tiny.image_folder(root / "d", count=1)
    path = root / "d/images/train/0.jpg"
    path.write_bytes(path.read_bytes()[:300])
    return pretrain_on(root, entry), ["mine", "images/train/0.jpg", "truncated"]


def truncated_jpeg_in_a_worker(root):
    entry = tiny.image_folder(root / "d", count=1)
    path = root / "d/images/train/0.jpg"
    path.write_bytes(path.read_bytes()[:300])
    return pretrain_on(root, entry, workers=2), ["mine", "images/train/0.jpg", "truncated"]


def empty_split(root):
    entry = tiny.image_folder(root / "d", count=1)
    for kind in ("images", "masks"):
        (root / "d" / kind / "val").mkdir()
    return pretrain_on(root, {**entry, "split": "val"}), ["mine", "images/val"]


def split_that_is_not_there(root):
    entry = tiny.image_folder(root / "d", count=1)
    return pretrain_on(root, {**entry, "split": "valid"}), ["mine", "valid"]


def wrong_key(root):
    return [*pretrain_on(root, tiny.toy("fine")), "iteratons=5"], ["recipe.yaml", "iteratons", "'iterations'"]


def wrong_key_in_depth(root):
    return [*pretrain_on(root, tiny.toy("fine")), "method.bank_sise=5"], ["method.bank_sise", "'bank_size'"]


def wrong_value(root):
    return [*pretrain_on(root, tiny.toy("fine")), "method.bank=klass"], ["recipe.yaml", "method.bank", "klass", "class"]


def bad_override(root):
    return [*pretrain_on(root, tiny.toy("fine")), "lr:3"], ["lr:3", "key=value"]


def missing_recipe(root):
    return ["pretrain", root / "none.yaml"], ["none.yaml"]


def broken_yaml(root):
    (root / "recipe.yaml").write_text("datasets: [\n  - a: b")
    return ["finetune", root / "recipe.yaml"], ["recipe.yaml", "YAML", "line"]


def a_pretraining_recipe_for_finetune(root):
    return ["finetune", pretrain_on(root, tiny.toy("fine"))[1]], ["recipe.yaml", "train"]


def encoder_that_timm_does_not_have(root):
    arguments = pretrain_on(root, tiny.toy("fine"), network={"encoder": "resnet19"})
    return arguments, ["resnet19"]


def weights_that_are_not_there(root):
    return [*pretrain_on(root, tiny.toy("fine")), "init=none.safetensors"], ["none.safetensors"]


def weights_that_are_a_pickle(root):
    torch.save({"a": torch.zeros(3)}, root / "weights.pt")
    return [*pretrain_on(root, tiny.toy("fine")), f"init={root / 'weights.pt'}"], ["weights.pt", "does not fit encoder"]


def weights_that_are_text(root):
    (root / "weights.safetensors").write_text("hello, I am no weights")
    return [*pretrain_on(root, tiny.toy("fine")), f"init={root / 'weights.safetensors'}"], ["weights.safetensors"]


def weights_of_another_program(root):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3)}, root / "weights.safetensors")
    return [*pretrain_on(root, tiny.toy("fine")), f"init={root / 'weights.safetensors'}"], [
        "weights.safetensors",
        "mdpseg",
    ]


def nothing_to_resume(root):
    return [*pretrain_on(root, tiny.toy("fine")), "--resume"], ["out", "last.ckpt", "--resume"]


def val_classes_differ(root):
    recipe = tiny.finetuning(root / "out", val=tiny.toy("fine"))
    return ["finetune", tiny.write_recipe(root / "recipe.yaml", recipe)], ["val", "fine", "train", "things"]


def unknown_toy_world(root):
    return pretrain_on(root, tiny.toy("fin")), ["fin", "fine"]


def a_device_that_is_not_here(root):
    return [*pretrain_on(root, tiny.toy("fine")), "device=mps"], ["mps", "device=cpu"]


def one_image_a_step_and_a_decoder_that_normalises_pooled_maps(root):
    return [*pretrain_on(root, tiny.toy("fine")), "batch_size=1", "network.decoder=deeplabv3"], ["batch_size"]


def out_below_a_file(root):
    (root / "file").write_text("")
    return [*pretrain_on(root, tiny.toy("fine")), f"out={root / 'file' / 'run'}"], ["file/run"]


CASES = [
    missing_folder,
    image_without_mask,
    sizes_that_differ,
    id_outside_the_classes,
    truncated_jpeg,
    truncated_jpeg_in_a_worker,
    empty_split,
    split_that_is_not_there,
    wrong_key,
    wrong_key_in_depth,
    wrong_value,
    bad_override,
    missing_recipe,
    broken_yaml,
    a_pretraining_recipe_for_finetune,
    encoder_that_timm_does_not_have,
    weights_that_are_not_there,
    weights_that_are_a_pickle,
    weights_that_are_text,
    weights_of_another_program,
    nothing_to_resume,
    val_classes_differ,
    unknown_toy_world,
    a_device_that_is_not_here,
    one_image_a_step_and_a_decoder_that_normalises_pooled_maps,
    out_below_a_file,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_one_message_and_nothing_half_written(case, tmp_path, mdpseg_command):
    arguments, expected = case(tmp_path)
    before = sorted(tmp_path.iterdir())
    check(mdpseg_command(*arguments), *expected)
    assert sorted(tmp_path.iterdir()) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [missing_folder, truncated_jpeg, wrong_key, weights_that_are_a_pickle], ids=lambda case: case.__name__
)
def test_the_same_in_a_process_of_its_own(case, tmp_path):
    arguments, expected = case(tmp_path)
    done = tiny.command(*arguments)
    check((done.returncode, done.stdout, done.stderr), *expected)
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_process_of_its_own_without_a_recipe(tmp_path):
    done = tiny.command("pretrain", tmp_path / "none.yaml")
    check((done.returncode, done.stdout, done.stderr), "none.yaml")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path):
    done = tiny.command("--debug", "pretrain", tmp_path / "none.yaml")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "none.yaml" in done.stderr


HOLDER = """
import fcntl, sys
with open(sys.argv[1], "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("resume", [False, True])
def test_an_output_folder_that_another_process_uses(resume, tmp_path, mdpseg_command):
    out = tmp_path / "out"
    out.mkdir()
    (out / "recipe.yaml").write_text("theirs")
    if resume:
        (out / "last.ckpt").write_text("theirs")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, out / ".lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        there = sorted(out.iterdir())
        result = mdpseg_command(*pretrain_on(tmp_path, tiny.toy("fine")), *(["--resume"] if resume else []))
        check(result, str(out), "in use")
        assert sorted(out.iterdir()) == there
        assert (out / "recipe.yaml").read_text() == "theirs"
    finally:
        holder.communicate("")


@pytest.mark.slow
def test_two_real_runs_into_one_folder(tmp_path, mdpseg_command):
    arguments = pretrain_on(tmp_path, tiny.toy("fine"))
    first = subprocess.Popen(
        [sys.executable, "-m", "mdpseg", *map(str, arguments), "iterations=100000"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert "pretraining on" in first.stderr.readline()
        check(mdpseg_command(*arguments), "in use")
        assert first.poll() is None
        assert (tmp_path / "out" / "recipe.yaml").is_file()
    finally:
        first.kill()
        first.communicate()


def test_an_output_folder_that_is_not_empty(tmp_path, mdpseg_command):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("dear")
    check(mdpseg_command(*pretrain_on(tmp_path, tiny.toy("fine"))), "out", "not empty")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "out" / "thesis.txt").read_text() == "dear"


def test_an_output_folder_that_is_a_file(tmp_path, mdpseg_command):
    (tmp_path / "out").write_text("dear")
    check(mdpseg_command(*pretrain_on(tmp_path, tiny.toy("fine"))), "out", "file")
    assert (tmp_path / "out").read_text() == "dear"


def test_an_empty_output_folder_is_empty_again_after_a_failure(tmp_path, mdpseg_command):
    (tmp_path / "out").mkdir()
    arguments, _ = truncated_jpeg(tmp_path)
    check(mdpseg_command(*arguments), "truncated")
    assert list((tmp_path / "out").iterdir()) == []


def test_weights_of_another_architecture(pretrained, tmp_path, mdpseg_command):
    arguments = pretrain_on(tmp_path, tiny.toy("fine"), init=str(pretrained / "weights.safetensors"))
    for setting, value in (("encoder", "resnet18"), ("decoder", "unet")):
        check(mdpseg_command(*arguments, f"network.{setting}={value}"), "weights.safetensors", setting, value)
        assert not (tmp_path / "out").exists()


def test_truncated_weights(pretrained, tmp_path, mdpseg_command):
    content = (pretrained / "weights.safetensors").read_bytes()
    for size in (0, 5, 1000, len(content) - 10):
        (tmp_path / "w.safetensors").write_bytes(content[:size])
        check(mdpseg_command(*pretrain_on(tmp_path, tiny.toy("fine")), f"init={tmp_path / 'w.safetensors'}"), "w.saf")


def test_evaluate_with_pretrained_weights(pretrained, tmp_path, mdpseg_command):
    recipe = {"weights": str(pretrained / "weights.safetensors"), "dataset": tiny.toy("fine"), "workers": 0}
    arguments = ["evaluate", tiny.write_recipe(tmp_path / "r.yaml", recipe), f"out={tmp_path / 'scores.json'}"]
    check(mdpseg_command(*arguments), "weights.safetensors", "pretrained", "finetune")
    assert not (tmp_path / "scores.json").exists()


def test_evaluate_on_other_classes(finetuned, tmp_path, mdpseg_command):
    recipe = {"weights": str(finetuned / "weights.safetensors"), "dataset": tiny.toy("fine"), "workers": 0}
    arguments = ["evaluate", tiny.write_recipe(tmp_path / "r.yaml", recipe), f"out={tmp_path / 'scores.json'}"]
    check(mdpseg_command(*arguments), "weights.safetensors", "fine", "same")
    assert not (tmp_path / "scores.json").exists()


def predict(finetuned, *images, out):
    return ["predict", finetuned / "weights.safetensors", *images, "--out", out]


@pytest.mark.parametrize("images", ["none.jpg", "*.jpg", "."])
def test_predict_without_an_image(images, finetuned, tmp_path, mdpseg_command):
    (tmp_path / "notes.txt").write_text("")
    check(mdpseg_command(*predict(finetuned, tmp_path / images, out=tmp_path / "out")), "No image", images)
    assert not (tmp_path / "out").exists()


def test_predict_with_pretrained_weights(pretrained, tmp_path, mdpseg_command):
    check(mdpseg_command(*predict(pretrained, tmp_path, out=tmp_path / "out")), "pretrained")
    assert not (tmp_path / "out").exists()


def test_predict_of_a_truncated_image(finetuned, tmp_path, mdpseg_command):
    tiny.image_folder(tmp_path / "d", count=1)
    path = tmp_path / "d/images/train/0.jpg"
    path.write_bytes(path.read_bytes()[:300])
    check(mdpseg_command(*predict(finetuned, path, out=tmp_path / "out")), "0.jpg", "truncated")
    assert not list((tmp_path / "out").glob("0*"))


def test_predict_of_two_images_of_one_name(finetuned, tmp_path, mdpseg_command):
    tiny.image_folder(tmp_path / "a", count=1)
    tiny.image_folder(tmp_path / "b", count=1)
    images = [tmp_path / name / "images/train/0.jpg" for name in "ab"]
    check(mdpseg_command(*predict(finetuned, *images, out=tmp_path / "out")), "0.png", "two")
    assert not (tmp_path / "out").exists()


def test_predict_never_writes_over_its_images(finetuned, tmp_path, mdpseg_command):
    """The mask of folder/a.png in folder would be folder/a.png."""
    image = tmp_path / "a.png"
    Image.fromarray(np.full((40, 40, 3), 9, dtype=np.uint8)).save(image)
    content = image.read_bytes()
    check(mdpseg_command(*predict(finetuned, image, out=tmp_path)), "a.png")
    assert image.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_truncated_jpeg_in_val_costs_no_training(tmp_path, mdpseg_command):
    """It is met once the network is trained that far: what was trained stays, and goes on once the file is mended."""
    train, val = (tiny.image_folder(tmp_path / "d", count=1, split=split) for split in ("train", "val"))
    path = tmp_path / "d/images/val/0.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    recipe = tiny.finetuning(tmp_path / "out", train=train, val=val, iterations=2)
    arguments = ["finetune", tiny.write_recipe(tmp_path / "recipe.yaml", recipe)]
    check(mdpseg_command(*arguments), "mine", "images/val/0.jpg", "truncated")
    assert not (tmp_path / "out" / "weights.safetensors").exists()
    path.write_bytes(whole)
    assert mdpseg_command(*arguments, "--resume")[0] == 0
    assert (tmp_path / "out" / "weights.safetensors").exists()
