"""Optimisers, and the learning rate as a function of the step."""

from __future__ import annotations

import math
import re

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from mdpseg.config import OptimConfig

_IN_PLACE = re.compile(r"bias|gain|gamma|scale|temperature|pos_embed|rel_pos|height_rel|width_rel|token")


def make_optimizer(objective: nn.Module, config: OptimConfig) -> Optimizer:
    """SGD or AdamW; no weight decay on norms, biases and prototypes, ``head_lr`` times the rate for the head.

    Nor on what plain and windowed transformers and norm-free networks have in their place: tables of biases, gains and
    scales, positions and tokens.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and name != "learned" and not _IN_PLACE.search(name.rpartition(".")[2])
            groups.setdefault((decays, ".head." in name), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decays else 0.0,
            "rate": config.head_lr if head else 1.0,
        }
        for (decays, head), parameters in groups.items()
    ]
    if config.optimiser == "adamw":
        return AdamW(settings, lr=config.lr)
    return SGD(settings, lr=config.lr, momentum=config.momentum)


def learning_rate(step: int, iterations: int, config: OptimConfig) -> float:
    """The rate of step ``step`` (from 0) of ``iterations``: a linear warm-up, then the schedule."""
    warmup = round(config.warmup * iterations)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, iterations - warmup)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * done))
    if config.schedule == "poly":
        return config.lr * math.pow(1 - done, config.power)
    return config.lr


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Sets every parameter group's rate: ``rate`` times the group's own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]
