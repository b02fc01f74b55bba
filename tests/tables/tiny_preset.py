"""A preset over embedded worlds, small enough to run rows of it in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests import tiny


def content(**more: Any) -> dict[str, Any]:
    target = {"train": tiny.toy("things"), "val": tiny.toy("things", split="val", count=2)}
    return {
        "name": "tiny",
        "about": "Toy worlds.",
        "roles": {
            "VOC": {"images": 8, "datasets": [tiny.toy("coarse")]},
            "ADE20K": {"images": 8, "datasets": [tiny.toy("fine")]},
            "COCO": {"images": 8, "datasets": [tiny.toy("things")]},
        },
        "targets": {
            "VOC": {**target, "train": tiny.toy("things", subset={"count": 4})},
            "COCO": {**target, "always": False},
        },
        "network": {**tiny.FAST_NETWORK},
        "epoch_scale": 0.01,
        "pretraining": {"batch_size": 4, "workers": 0, "augment": {"crop": 32}, "checkpoint_every": 2},
        "finetuning": {
            "iterations": 3,
            "batch_size": 4,
            "workers": 0,
            "augment": {"crop": 32},
            "evaluate_at": [0.34, 1.0],
        },
        "methods": {
            "mdp-paper": {"method": "mdp-paper"},
            "supervised": {"method": {"objective": "supervised"}},
            "multihead": {"method": {"objective": "multihead"}},
            "mdp": {},
        },
        **more,
    }


def write(folder: Path, **more: Any) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content(**more)))
    return path
