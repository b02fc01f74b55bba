"""Odd batches, through whole training steps: numbers stay numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import mdpseg
from mdpseg import weights
from mdpseg.errors import UserError
from mdpseg.first_stage import start_network
from tests import tiny

METHODS = [
    {"prototypes": "bank", "denominator": "no_lookalikes"},
    {"prototypes": "learned", "denominator": "own_dataset", "momentum": 0.0},
    {"prototypes": "mixed", "bank_policy": "per_class", "sparse_coding": "no_push"},
    {"bank": "region", "mixing": "both", "mixing_probability": 1.0},
    {"bank": "none", "mixing": "pixel", "mixing_probability": 1.0, "momentum": 0.9},
    {"scheme": "mdp-paper"},
    {"objective": "supervised"},
    {"objective": "multihead"},
]


def folder(root, ids, size=(40, 48), count=2, name="mine"):
    entry = tiny.image_folder(root, ids, count)
    for file in root.rglob("*.jpg"):
        with Image.open(file) as image:
            small = image.resize(size[::-1])
        small.save(file)
    for file in root.rglob("*.png"):
        mask = np.array(Image.open(file))[: size[0], : size[1]]
        Image.fromarray(np.resize(mask, size)).save(file)
    return {**entry, "name": name}


def all_ignored(root):
    return [folder(root, [255])]


def all_ignored_beside_others(root):
    return [folder(root, [255]), tiny.toy("fine")]


def one_class(root):
    return [folder(root, [1])]


def classes_that_never_occur(root):
    return [folder(root / "a", [0, 1], name="a"), folder(root / "b", [2], name="b")]


def smaller_than_the_crop(root):
    return [folder(root / "a", [0, 1, 2, 255], (9, 5), name="a"), folder(root / "b", [0, 1], (1, 1), name="b")]


DATA = [all_ignored, all_ignored_beside_others, one_class, classes_that_never_occur, smaller_than_the_crop]


def check(result, steps):
    state = weights.load(result.weights)
    tensors = [*state.state.values(), *([] if state.prototypes is None else [state.prototypes])]
    assert all(torch.isfinite(t).all() for t in tensors if t.is_floating_point())
    records = [record for record in tiny.losses(result.out) if "loss" in record]
    assert len(records) == steps
    assert all(np.isfinite(value) for record in records for value in record.values())
    checkpoint = torch.load(result.out / "last.ckpt", weights_only=True)["objective"]
    assert all(torch.isfinite(t).all() for t in checkpoint.values() if t.is_floating_point())
    return records


def recipe(make, out, **more):
    settings = {"iterations": 3, "network": tiny.FAST_NETWORK, "sampling": "equal", **more}
    return make(out, **settings)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize(
    "data, batch_size",
    [*((data, 4) for data in DATA), (all_ignored_beside_others, 1), (smaller_than_the_crop, 1)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_pretraining(data, method, batch_size, tmp_path):
    """A batch of one image too: it has no partner, and its batch statistics are its own."""
    more = {"datasets": data(tmp_path / "data"), "method": {"bank_size": 16, **method}, "batch_size": batch_size}
    records = check(mdpseg.pretrain(recipe(tiny.pretraining, tmp_path / "run", **more, augment={"crop": 64})), 3)
    if data is all_ignored:
        assert all(record["loss"] == 0 for record in records)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_pretraining_in_bfloat16(method, tmp_path):
    """As CUDA does it unless told otherwise; pixels of blended images have two labels, and weights between 0 and 1."""
    mixed = {"mixing": "both", "mixing_probability": 1.0}
    more = {"method": {**mixed, "bank_size": 16, **method}, "precision": "bf16", "augment": {"crop": 64}}
    check(mdpseg.pretrain(recipe(tiny.pretraining, tmp_path / "run", **more)), 3)


@pytest.mark.parametrize("batch_size, precision", [(4, "fp32"), (4, "bf16"), (1, "fp32")])
@pytest.mark.parametrize("data", [all_ignored, one_class, classes_that_never_occur, smaller_than_the_crop])
def test_fine_tuning(data, batch_size, precision, tmp_path):
    entry = data(tmp_path / "data")[0]
    content = tiny.finetuning(tmp_path / "run", train=entry, val=None, iterations=3, network=tiny.FAST_NETWORK)
    more = {"batch_size": batch_size, "precision": precision, "augment": {"crop": 64}}
    if (
        data is all_ignored
    ):  # prototypes would be looked for in vain, and said so; a batch may be like this all the same
        more["classifier"] = "random"
    records = check(mdpseg.finetune({**content, **more}), 3)
    if data is all_ignored:
        assert all(record["loss"] == 0 for record in records)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_ignored_batches_move_nothing_but_decay(optimiser, tmp_path):
    """Without weight decay, steps without a label leave every weight where it was."""
    content = recipe(tiny.pretraining, tmp_path / "run", datasets=all_ignored(tmp_path / "data"))
    content["optim"] = {"optimiser": optimiser, "weight_decay": 0.0}
    result = mdpseg.pretrain(content)
    torch.manual_seed(0)
    start = start_network("scratch", weights.load(result.weights).network)
    end = weights.load(result.weights).state
    assert all(torch.equal(parameter, end[name]) for name, parameter in start.named_parameters())


@pytest.mark.parametrize(
    "network, crop", [({"encoder": "test_efficientnet", "decoder": "deeplabv3"}, 64), (tiny.FAST_NETWORK, 32)]
)
def test_one_image_where_a_batch_norm_would_see_single_values(network, crop, tmp_path):
    """Pooled maps of some decoders; the last map of an encoder at a crop of 32."""
    content = recipe(tiny.pretraining, tmp_path / "run", network=network, augment={"crop": crop})
    with pytest.raises(UserError, match=r"batch_size 1 gives a process a single image.*two images"):
        mdpseg.pretrain({**content, "batch_size": 1})
    assert not (tmp_path / "run").exists()
    mdpseg.pretrain({**content, "batch_size": 2, "iterations": 1})
