"""The main job on the embedded worlds, in minutes: pretrain on two, fine-tune on the third, beside from scratch."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from mdpseg.config import EvalConfig
from mdpseg.data.toy import ToyWorld
from mdpseg.engine.evaluate import load_classifier
from mdpseg.engine.finetune import Finetuned, finetune
from mdpseg.engine.inference import class_ids
from mdpseg.engine.pretrain import pretrain
from mdpseg.errors import UserError
from mdpseg.files import write_text, write_whole
from mdpseg.palette import palette

_SIDE = 96
_TARGET = "things"


def run_demo(
    out: Path, seed: int = 0, pretrain_iterations: int = 600, finetune_iterations: int = 100
) -> dict[str, Any]:
    """Runs the demo into ``out``: three runs, demo.json and demo.png.

    Args:
        out: a folder that does not exist yet or is empty.
        seed: fixes worlds, weights and draws.
        pretrain_iterations: steps of 16 images.
        finetune_iterations: steps of 16 images, for both fine-tunings.

    Returns:
        name ("scratch", "mdp") -> scores after 10 % and 100 % of the fine-tuning, as they stand in demo.json.

    Raises:
        UserError: ``out`` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; choose another folder with --out, or remove it.")
    began = time.perf_counter()
    console = Console()
    crop = {"crop": _SIDE, "scale": (0.7, 1.4)}

    console.rule("1 of 3: pretraining on two worlds whose label sets do not agree")
    worlds = [
        {
            "name": world,
            "reader": "toy",
            "world": world,
            "count": 2000,
            "size": _SIDE,
            "subset": {"seed": seed},
        }
        for world in ("coarse", "fine")
    ]
    pretrained = pretrain(
        {
            "out": out / "pretrain",
            "seed": seed,
            "datasets": worlds,
            "iterations": pretrain_iterations,
            "augment": crop,
            "log_every": 50,
        }
    )

    runs: dict[str, Finetuned] = {}
    for place, (name, init) in enumerate({"scratch": "scratch", "mdp": str(pretrained.weights)}.items(), 2):
        console.rule(f"{place} of 3: 24 labelled images of the third world, from {name}")
        target = {"name": _TARGET, "reader": "toy", "world": _TARGET, "size": _SIDE, "subset": {"seed": seed}}
        runs[name] = finetune(
            {
                "out": out / f"finetune-{name}",
                "seed": seed,
                "train": {**target, "count": 24},
                "val": {**target, "split": "val", "count": 100},
                "init": init,
                "iterations": finetune_iterations,
                "augment": crop,
                "log_every": 50,
            }
        )

    results = {name: {step: asdict(scores) for step, scores in run.scores.items()} for name, run in runs.items()}
    write_text(out / "demo.json", json.dumps(results, indent=1) + "\n")
    draw_comparison(out / "demo.png", {name: run.weights for name, run in runs.items()}, seed)
    table = Table("fine-tuned from", *(f"mIoU % after {step} steps" for step in runs["mdp"].scores))
    for name, run in runs.items():
        table.add_row(name, *(f"{100 * scores.mean_iou:.1f}" for scores in run.scores.values()))
    console.print(table)
    console.print(f"{time.perf_counter() - began:.0f} s; picture: {out / 'demo.png'}", highlight=False)
    return results


def draw_comparison(path: Path, weights: dict[str, Path], seed: int, images: int = 4) -> None:
    """Draws input, truth and each network's prediction for a few validation images.

    Args:
        path: the PNG to write.
        weights: name -> weights of a fine-tuned network.
        seed: of the world.
        images: how many columns.
    """
    world = ToyWorld(_TARGET, split="val", count=100, size=_SIDE, seed=seed)
    networks = {name: load_classifier(file)[0] for name, file in weights.items()}
    rows = 2 + len(networks)
    figure = Figure(figsize=(2 * images, 2 * rows + 0.3))
    axes = figure.subplots(rows, images)
    colours = palette(256)
    for column in range(images):
        sample = world[column]
        pictures = {"input": sample.image.permute(1, 2, 0), "truth": colours[sample.mask.long()]}
        for name, network in networks.items():
            prediction = class_ids(network, sample.image, EvalConfig())
            pictures[name] = colours[prediction]
        for axis, (name, picture) in zip(axes[:, column], pictures.items(), strict=True):
            axis.imshow(torch.as_tensor(picture).numpy())
            axis.set(xticks=[], yticks=[])
            if column == 0:
                axis.set_ylabel(name)
    figure.tight_layout()
    write_whole(path, lambda temporary: figure.savefig(temporary, dpi=110))
