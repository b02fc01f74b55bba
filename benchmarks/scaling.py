"""What a large pretraining costs, on paper: step time, bytes between GPUs, memory, loader cores; and checks of it here.

    python benchmarks/scaling.py            # tables of docs/scaling.md, between its marks

The job: 10 datasets, 2,000 classes, 10 million images, ResNet-50 with DeepLabV3 at stride 8, crop 512, 16 images a GPU,
the published scheme. FLOPs and memory of a step are counted by `mdpseg tables estimate`'s own counter on one process.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
import tracemalloc
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import measure
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from mdpseg import LabelSpace, ranks
from mdpseg.config import MethodConfig, NetworkConfig, PretrainConfig
from mdpseg.data.readers.pairs import Pair
from mdpseg.losses import pixel_to_prototype
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.mdp import MDP
from mdpseg.tables.probe import counted_cost

DOCUMENT = Path(__file__).parent.parent / "docs" / "scaling.md"
IMAGES, DATASETS, CLASSES, BATCH, CROP, DIM = 10_000_000, 10, 2_000, 16, 512, 128
REGIONS = 8  # classes an image: ADE20K has 8 to 9 in the mean
GPU_FLOPS = 312e12 * 0.35  # A100 in bfloat16 at the share of its peak that segmentation networks reach
INSIDE, BETWEEN = 200e9, 20e9  # bytes a second and GPU: NVLink of 8 GPUs; one 200 Gb/s card a GPU between machines
BACKWARD = 0.5  # share of a step behind which all-reduce hides (forward twice, backward as long as both)
IMAGES_A_CORE = 100  # of the loader: results/avx512/loader-683x512.csv


@dataclass(frozen=True)
class Traffic:
    """Bytes of one step that a process hands to the others' collectives."""

    gradients: int
    regions: int
    scalars: int

    def seconds(self, gpus: int) -> float:
        """A ring all-reduce of the gradients, an all-gather of the regions."""
        bandwidth = INSIDE if gpus <= 8 else BETWEEN
        return (2 * (gpus - 1) / gpus * self.gradients + (gpus - 1) * self.regions) / bandwidth


def traffic(parameters: int, regions: int, dim: int) -> Traffic:
    """What data-parallel training all-reduces: every gradient in float32; region embeddings, class ids (all-gather).

    Args:
        parameters: with a gradient.
        regions: region embeddings of a process's images, the longest list of any process.
        dim: D.
    """
    return Traffic(4 * parameters, regions * (4 * dim + 8), 8)  # the loss is divided by all processes' pixels


def step_seconds(flops: float, sent: Traffic, gpus: int) -> float:
    """Counted work at the GPU's rate, and what of the communication the backward pass does not hide."""
    work = flops / GPU_FLOPS
    return work + max(0.0, sent.seconds(gpus) - BACKWARD * work) if gpus > 1 else work


def forecast() -> list[str]:
    """The table for 1, 8 and 64 GPUs."""
    names = {f"d{d}": [f"c{c}" for c in range(CLASSES // DATASETS)] for d in range(DATASETS)}
    config = PretrainConfig.model_validate(
        {
            "out": "unused",
            "datasets": [{"name": name, "reader": "toy", "world": "fine"} for name in names],
            "iterations": 1,
            "batch_size": BATCH,
            "network": {"encoder": "resnet50", "decoder": "deeplabv3", "output_stride": 8, "embedding_dim": DIM},
            "augment": {"crop": CROP},
            "method": {"scheme": "mdp-paper"},
        }
    )
    space = LabelSpace.concatenate(names)
    cost = counted_cost(config, space)
    network = SegmentationNetwork(config.network or NetworkConfig())
    network.set_projection()
    sent = traffic(sum(p.numel() for p in network.parameters()), BATCH * REGIONS, DIM)
    lines = [
        "| GPUs | images a step | step, ms | of it communication | images/s | loader cores a GPU | 10 million images |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    work = step_seconds(cost.flops, sent, 1)
    for gpus in (1, 8, 64):
        seconds = step_seconds(cost.flops, sent, gpus)
        speed = gpus * BATCH / seconds
        cells = [gpus, gpus * BATCH, f"{1e3 * seconds:.0f}", f"{1e3 * (seconds - work):.1f} ms", f"{speed:.0f}"]
        cells += [f"{BATCH / seconds / IMAGES_A_CORE:.1f}", f"{IMAGES / speed / 3600:.1f} h"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    slots = 4 * CLASSES
    return [
        *lines,
        "",
        f"- Counted: {cost.flops / 1e12:.1f} TFLOP a step and GPU; memory {cost.memory / 2**30:.1f} GB (bfloat16).",
        f"- All-reduced: {sent.gradients / 1e6:.0f} MB of gradients ({sent.seconds(8) * 1e3:.1f} ms on 8 GPUs, "
        f"{sent.seconds(64) * 1e3:.1f} ms on 64, hidden behind the backward pass where that is longer).",
        f"- Gathered: {sent.regions / 1e3:.0f} kB of region embeddings a GPU, {64 * sent.regions / 1e6:.1f} MB on 64.",
        f"- Bank of {slots} region embeddings (4 a class): {slots * (4 * DIM + 8) / 1e6:.1f} MB, equal on every GPU; "
        f"prototypes {CLASSES * DIM * 4 / 1e6:.1f} MB. A step of 64 GPUs pushes {64 * BATCH * REGIONS} regions: a bank "
        "of 4,096 (P) would hold half a step, so it must grow with the number of GPUs.",
        f"- List of 10 million pairs: {IMAGES * _bytes_a_pair() / 1e9:.1f} GB of Python objects in the run, and as "
        "much again in each worker that touches them: beyond a million images a reader should keep its names in one "
        "array.",
    ]


def _bytes_a_pair() -> float:
    count = 2000
    tracemalloc.start()
    kept = [
        Pair(f"photo_{i:08}", Path(f"/data/images/train/photo_{i:08}.jpg"), Path(f"/data/masks/train/photo_{i:08}.png"))
        for i in range(count)
    ]
    size = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    return size


def measured_traffic() -> list[str]:
    """One step of two gloo processes: bytes as counted in the collectives, beside the formulas'."""
    answers = mp.get_context("spawn").SimpleQueue()
    mp.spawn(_process, (answers,), nprocs=2)
    parameters, regions, dim, gradients, gathered, summed = answers.get()
    expected = traffic(parameters, regions, dim)
    return [
        "| bytes a step and process | by the formula | counted, 2 gloo processes |",
        "|---|---:|---:|",
        f"| gradients, all-reduced | {expected.gradients} | {gradients} |",
        f"| region embeddings and their classes, all-gathered | {expected.regions} | {gathered} |",
        f"| pixel and region counts, all-reduced | {expected.scalars} and 16 a gather | {summed} |",
    ]


def _process(rank: int, answers: mp.SimpleQueue) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.tiny import FAST_NETWORK, batch

    dist.init_process_group("gloo", init_method="tcp://127.0.0.1:29531", rank=rank, world_size=2)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    space = LabelSpace.concatenate({"a": [f"c{i}" for i in range(10)]})
    objective = MDP(SegmentationNetwork(NetworkConfig(**FAST_NETWORK)), space, MethodConfig(scheme="mdp-paper"))
    model = DistributedDataParallel(objective, find_unused_parameters=True, broadcast_buffers=False)
    counted = {"gradients": 0, "gathered": 0, "summed": 0}
    model.register_comm_hook(counted, _counting_all_reduce)
    all_reduce, all_gather = dist.all_reduce, dist.all_gather

    def reduce(tensor: Tensor, *rest: object, **more: object) -> object:
        counted["summed"] += tensor.nbytes
        return all_reduce(tensor, *rest, **more)

    def gather(parts: list[Tensor], tensor: Tensor, **more: object) -> object:
        counted["gathered"] += tensor.nbytes
        return all_gather(parts, tensor, **more)

    dist.all_reduce, dist.all_gather = reduce, gather
    blocks = torch.arange(64)[:, None].div(16, rounding_mode="floor").expand(64, 64)
    model(batch(blocks.expand(4, 64, 64).contiguous()))["loss"].backward()
    if rank == 0:
        parameters = sum(p.numel() for p in objective.parameters() if p.requires_grad)
        answers.put((parameters, 16, FAST_NETWORK["embedding_dim"], *counted.values()))
    assert ranks.count() == 2
    dist.barrier()
    dist.destroy_process_group()


def _counting_all_reduce(counted, bucket):  # type: ignore[no-untyped-def]  # torch refuses annotations that are strings
    counted["gradients"] += bucket.buffer().nbytes
    work = dist.group.WORLD.allreduce([bucket.buffer()])
    return work.get_future().then(lambda done: done.value()[0].div_(2))


def measured_growth(quick: bool) -> list[str]:
    """Seconds of the loss, forward and gradient, as pixels and classes grow; the model says: in proportion to both."""
    cases = [(2048, 500), (2048, 1000), (2048, 2000), (4096, 1000), (8192, 1000)]
    lines = ["| pixels | classes | ms | ns a pixel and class |", "|---:|---:|---:|---:|"]
    source = torch.Generator().manual_seed(0)
    for pixels, classes in cases[:2] if quick else cases:
        embeddings = F.normalize(torch.randn(pixels, DIM, generator=source), dim=1).requires_grad_()
        prototypes = F.normalize(torch.randn(classes, DIM, generator=source), dim=1)
        targets = torch.randint(classes, (pixels,), generator=source)
        seconds = []
        for _ in range(3 if quick else 9):
            start = time.process_time()
            loss = pixel_to_prototype(embeddings, targets, prototypes, torch.ones(classes, dtype=torch.bool), 0.07)
            loss.backward()
            seconds.append(time.process_time() - start)
        middle = statistics.median(seconds)
        lines.append(f"| {pixels} | {classes} | {1e3 * middle:.1f} | {1e9 * middle / pixels / classes:.2f} |")
    return lines


def main() -> None:
    given = measure.arguments(__doc__, rounds=1)
    torch.set_num_threads(1)
    parts = {"growth": partial(measured_growth, given.quick), "traffic": measured_traffic, "forecast": forecast}
    for name, part in parts.items():
        table = "\n".join([*part(), ""])
        print(table, flush=True)
        if not given.quick:
            _write(name, table)


def _write(name: str, table: str) -> None:
    """Puts a table between its marks in the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    marks = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    DOCUMENT.write_text(re.sub(marks, lambda m: m[1] + table + m[2], text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
