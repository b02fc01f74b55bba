"""What one training step of a recipe takes: measured on a GPU, else counted on small batches and scaled.

Without a GPU two things are probed apart, since a whole step at full size would take minutes. Encoder and decoder run
on a small crop, and their work and memory are scaled by area, as those of convolutions are. Head and loss run at the
true size, on features that are simply there: a pixel-to-pixel loss grows with the square of the area, and what a loss
computes in chunks does not grow at all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mdpseg.batch import Batch
from mdpseg.config import FinetuneConfig, NetworkConfig, PretrainConfig
from mdpseg.engine.optim import make_optimizer
from mdpseg.label_space import UNLABELLED, LabelSpace
from mdpseg.mixing import mix_batch
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.choose import pretraining_objective
from mdpseg.objectives.finetune import Finetune
from mdpseg.objectives.mdp import MDP
from mdpseg.tables.live_bytes import LiveBytes

# Two batch sizes tell what grows with the batch from what does not.
_SMALL, _LARGE = 2, 4
_CROP = 128  # of encoder and decoder, without a GPU
_WARM_UP, _TIMED = 3, 5  # steps on a GPU

# Copies of the weights that the optimiser keeps.
_STATES = {"sgd": 1, "adamw": 2}


@dataclass(frozen=True)
class StepCost:
    """What one step takes.

    Attributes:
        flops: floating point operations, forward and backward; 0 where the time was measured.
        memory: bytes at the peak.
        seconds: measured, where there is a GPU.
    """

    flops: float
    memory: float
    seconds: float | None = None


def step_cost(config: PretrainConfig | FinetuneConfig, label_space: LabelSpace) -> StepCost:
    """Probes a recipe's step, on CUDA if it is there."""
    if torch.cuda.is_available():
        return measured_cost(config, label_space, torch.device("cuda"))
    return counted_cost(config, label_space)


def make_objective(
    config: PretrainConfig | FinetuneConfig, network: SegmentationNetwork, label_space: LabelSpace
) -> nn.Module:
    """The objective of a recipe, in training mode; a bank is full, as it is after the first steps."""
    if isinstance(config, FinetuneConfig):
        return Finetune(network, label_space).train()
    unlabelled = any(dataset.unlabelled for dataset in config.datasets)
    objective = pretraining_objective(network, label_space, config.method, unlabelled=unlabelled)
    if isinstance(objective, MDP) and objective.bank is not None:
        regions = F.normalize(torch.randn_like(objective.bank.regions), dim=1)
        objective.bank.push(regions, torch.randint(label_space.num_classes, (len(regions),)))
    return objective.train()


def random_batch(
    config: PretrainConfig | FinetuneConfig, label_space: LabelSpace, count: int, crop: int, seed: int = 0
) -> Batch:
    """A mixed batch of random pixels and classes; half the images are blended or unlabelled, if any may be."""
    source = torch.Generator().manual_seed(seed)
    targets = torch.randint(label_space.num_classes, (count, crop, crop), generator=source)
    lam = torch.ones(count)
    if isinstance(config, PretrainConfig):
        if any(dataset.unlabelled for dataset in config.datasets):
            targets[count // 2 :] = UNLABELLED
        if config.method.mixing in ("pixel", "both"):
            lam[: count // 2] = 0.5
    partners = torch.arange(count).roll(1)
    batch = Batch(
        images=torch.randint(256, (count, 3, crop, crop), dtype=torch.uint8, generator=source),
        targets=targets,
        datasets=torch.zeros(count, dtype=torch.int64),
        boxes=torch.zeros(count, 4, dtype=torch.int64),
        region_partners=partners,
        lam=lam,
        pixel_partners=partners,
    )
    return mix_batch(batch)


def measured_cost(config: PretrainConfig | FinetuneConfig, label_space: LabelSpace, device: torch.device) -> StepCost:
    """Time and memory of whole steps on a GPU, at two small batch sizes, continued in a line to the recipe's."""
    small, large = (_measure(config, label_space, count, device) for count in (_SMALL, _LARGE))
    memory, seconds = (_in_line(a, b, config.batch_size) for a, b in zip(small, large, strict=True))
    return StepCost(0.0, memory, seconds)


def counted_cost(config: PretrainConfig | FinetuneConfig, label_space: LabelSpace) -> StepCost:
    """FLOPs and memory in bfloat16, from encoder and decoder on a small crop and from head and loss on their own."""
    network = config.network or NetworkConfig()
    body = _probe_body(network.model_dump_json())
    small, large = (_probe_rest(config, network, label_space, body, count) for count in (_SMALL, _LARGE))
    pixels = config.batch_size * config.augment.crop**2
    passes = body.step_flops + (body.forward_flops if small.momentum else 0)
    flops = pixels * passes + _in_line(small.flops, large.flops, config.batch_size)
    weights = body.weights * (2 + _STATES[config.optim.optimiser] + 0.5)  # gradients, states, a copy in bfloat16
    weights += body.weights if small.momentum else 0
    memory = weights + small.weights + pixels * body.kept / 2  # float32 was counted
    return StepCost(flops, memory + _in_line(small.peak, large.peak, config.batch_size))


@dataclass(frozen=True)
class _Body:
    """Encoder and decoder: FLOPs and bytes kept for the backward pass per pixel of the input, and the rest."""

    step_flops: float
    forward_flops: float
    kept: float
    weights: int
    maps: tuple[tuple[int, int], ...]  # channels and stride of each of the encoder's
    channels: int
    stride: int


@dataclass(frozen=True)
class _Rest:
    """Head and loss at one batch size."""

    flops: int
    peak: int
    weights: int
    momentum: bool


@cache
def _probe_body(config: str) -> _Body:
    network = SegmentationNetwork(NetworkConfig.model_validate_json(config)).train()
    images = torch.randint(256, (_SMALL, 3, _CROP, _CROP), dtype=torch.uint8)
    pixels = _SMALL * _CROP**2
    with FlopCounterMode(display=False) as flops:
        with LiveBytes() as live:
            maps = network.encode(images)
            features = network.decode(maps)
        forward, kept = flops.get_total_flops(), live.now
        features.sum().backward()  # type: ignore[no-untyped-call]
    return _Body(
        step_flops=flops.get_total_flops() / pixels,
        forward_flops=forward / pixels,
        kept=kept / pixels,
        weights=sum(tensor.nbytes for tensor in network.parameters()),
        maps=tuple((one.shape[1], _CROP // one.shape[2]) for one in maps),
        channels=features.shape[1],
        stride=_CROP // features.shape[2],
    )


class _Bodiless(SegmentationNetwork):
    """A network whose encoder's maps and decoder's features are given."""

    def __init__(self, config: NetworkConfig, maps: list[Tensor], features: Tensor) -> None:
        nn.Module.__init__(self)
        self.config, self.feature_channels, self.maps, self.given = config, features.shape[1], maps, features
        self.encoder: Any = SimpleNamespace(out_channels=[one.shape[1] for one in maps])
        self.head: nn.Module = nn.Identity()

    def encode(self, images: Tensor) -> list[Tensor]:
        return self.maps

    def decode(self, maps: list[Tensor]) -> Tensor:
        return self.given


def _probe_rest(
    config: PretrainConfig | FinetuneConfig, network: NetworkConfig, label_space: LabelSpace, body: _Body, count: int
) -> _Rest:
    *maps, features = (
        torch.randn(count, channels, config.augment.crop // stride, config.augment.crop // stride, requires_grad=True)
        for channels, stride in (*body.maps, (body.channels, body.stride))
    )
    objective = make_objective(config, _Bodiless(network, maps, features), label_space)
    batch = random_batch(config, label_space, count, config.augment.crop)
    with FlopCounterMode(display=False) as flops, LiveBytes() as live:
        objective(batch)["loss"].backward()
    states = _STATES[config.optim.optimiser]
    weights = sum(p.nbytes * (2 + states if p.requires_grad else 1) for p in objective.parameters())
    weights += sum(buffer.nbytes for buffer in objective.buffers())
    momentum = getattr(objective, "momentum_network", None) is not None
    return _Rest(flops.get_total_flops(), live.peak, weights, momentum)


def _measure(
    config: PretrainConfig | FinetuneConfig, label_space: LabelSpace, count: int, device: torch.device
) -> tuple[float, float]:
    """Peak memory in bytes and seconds a step, as the training loop does it."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    network = SegmentationNetwork(config.network or NetworkConfig())
    objective = make_objective(config, network, label_space).to(device).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(objective, config.optim)
    batch = random_batch(config, label_space, count, config.augment.crop).to(device)
    for step in range(_WARM_UP + _TIMED):
        if step == _WARM_UP:
            torch.cuda.synchronize()
            began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            loss = objective(batch)["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        objective.after_step()  # type: ignore[operator]
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated(), (time.perf_counter() - began) / _TIMED


def _in_line(small: float, large: float, batch_size: int) -> float:
    """What ``small`` and ``large`` batches took, continued to another batch size.

    Where the small one took more, as a loss in pieces may, a larger one is not taken to need less still.
    """
    return large + max(0.0, large - small) * (batch_size - _LARGE) / (_LARGE - _SMALL)
