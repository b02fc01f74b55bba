"""Bad input around labels that are not there, or merged by hand: one clear message, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from tests.engine.test_bad_input import check, pretrain_on


def pretrain_with(root: Path, entry: dict, **more) -> list:
    """Beside a labelled dataset."""
    recipe = tiny.pretraining(root / "out", datasets=[tiny.toy("fine"), entry], iterations=2, sampling="equal", **more)
    return ["pretrain", tiny.write_recipe(root / "recipe.yaml", recipe)]


def nothing_but_unlabelled_images(root):
    return pretrain_on(root, tiny.bare_images(root / "d")), ["recipe.yaml", "bare", "all datasets are unlabelled"]


def unlabelled_images_and_no_prototypes(root):
    arguments = pretrain_with(root, tiny.bare_images(root / "d"), method={"objective": "supervised"})
    return arguments, ["bare", "unlabelled", "method.objective", "'supervised'"]


def unlabelled_images_to_fine_tune_on(root):
    recipe = tiny.finetuning(root / "out", train=tiny.bare_images(root / "d"))
    return ["finetune", tiny.write_recipe(root / "recipe.yaml", recipe)], ["recipe.yaml", "bare", "unlabelled"]


def unlabelled_images_that_are_not_there(root):
    entry = {"name": "bare", "reader": "folder", "path": str(root / "none"), "unlabelled": True}
    return pretrain_with(root, entry), ["bare", "none/images/train"]


def truncated_jpeg_without_labels(root):
    entry = tiny.bare_images(root / "d", count=1)
    path = root / "d/images/train/0.jpg"
    path.write_bytes(path.read_bytes()[:300])
    return pretrain_with(root, entry, workers=2), ["bare", "images/train/0.jpg", "truncated"]


def merged(root, mapping):
    (root / "merge.yaml").write_text(mapping)
    return pretrain_with(root, tiny.toy("coarse"), merge=str(root / "merge.yaml"))


def missing_merge_file(root):
    return pretrain_with(root, tiny.toy("coarse"), merge=str(root / "none.yaml")), ["none.yaml", "No such file"]


def merge_file_that_is_no_yaml(root):
    return merged(root, "sky: [fine/sky"), ["merge.yaml", "YAML", "line"]


def merge_of_an_unknown_class(root):
    return merged(root, "tree: [fine/tree, coarse/vegetatoin]"), ["merge.yaml", "'tree'", "'coarse/vegetation'"]


def merge_of_a_class_twice(root):
    return merged(root, "a: [fine/tree]\nb: [fine/bush, fine/tree]"), ["merge.yaml", "'fine/tree' twice", "'a'", "'b'"]


def merge_of_nothing(root):
    return merged(root, "a: []"), ["merge.yaml", "'a' lists no class"]


def merge_that_leaves_too_many_classes(root):
    entry = {**tiny.image_folder(root / "d"), "classes": [f"c{i}" for i in range(250)]}
    (root / "merge.yaml").write_text("a: [fine/tree, mine/c0]")
    return pretrain_with(root, entry, merge=str(root / "merge.yaml")), ["merge.yaml", "262 classes", "255"]


CASES = [
    nothing_but_unlabelled_images,
    unlabelled_images_and_no_prototypes,
    unlabelled_images_to_fine_tune_on,
    unlabelled_images_that_are_not_there,
    truncated_jpeg_without_labels,
    missing_merge_file,
    merge_file_that_is_no_yaml,
    merge_of_an_unknown_class,
    merge_of_a_class_twice,
    merge_of_nothing,
    merge_that_leaves_too_many_classes,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_one_message_and_nothing_half_written(case, tmp_path, mdpseg_command):
    arguments, expected = case(tmp_path)
    before = sorted(tmp_path.iterdir())
    check(mdpseg_command(*arguments), *expected)
    assert sorted(tmp_path.iterdir()) == before
    assert not (tmp_path / "out").exists()
