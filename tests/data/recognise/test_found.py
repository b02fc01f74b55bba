from pathlib import Path

import pytest

from mdpseg.data.recognise.found import TRAIN, VAL, Found


@pytest.mark.parametrize(
    "splits, train, val",
    [
        (["train", "val"], "train", "val"),
        (["test", "train_pairs", "train", "val_pairs"], "train", "test"),
        (["train_pairs", "val_pairs"], "train_pairs", "val_pairs"),
        (["train2014", "val2014"], "train2014", "val2014"),
        (["Training", "Valid", "test"], "Training", "Valid"),
        (["trainer", "value"], None, None),
    ],
)
def test_what_splits_are_for(splits, train, val):
    found = Found("folder", "two folders", Path(), {split: {} for split in splits})
    assert (found.role(TRAIN), found.role(VAL)) == (train, val)


def test_a_split_is_not_for_both():
    found = Found("folder", "two folders", Path(), {"val": {}, "test": {}})
    assert found.role(VAL) == "val"
    assert found.role(VAL, besides="val") == "test"
