"""A whole training step: the method beside supervised pretraining, and few classes beside many.

    python benchmarks/step.py [--rounds 5] [--quick]

Mix, network, objective, gradient, clip, optimiser and momentum network, as the training loop does them; no loader. Both
sides have the same network, crops and batch: pieces of 32 pixels, each of one class of its image's dataset.
"""

from collections.abc import Callable

import torch
from measure import Row, arguments, compare, finish, memory_row, peak_memory, ratio_row, value_row

from mdpseg import LabelSpace
from mdpseg.batch import Batch
from mdpseg.config import MethodConfig, NetworkConfig, OptimConfig
from mdpseg.engine.optim import make_optimizer
from mdpseg.engine.quick_convolutions import quick_pointwise
from mdpseg.engine.quick_depthwise import quick_depthwise
from mdpseg.mixing import mix_batch, region_box
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.choose import pretraining_objective

PIECE = 32
NETWORKS = {
    "ResNet-50 FPN": ({"encoder": "resnet50", "decoder": "fpn"}, 2, 256),
    "EfficientNet-Lite0 FPN": (
        {"encoder": "tf_efficientnet_lite0", "decoder": "fpn", "decoder_channels": 64},
        16,
        96,
    ),
}
VARIANTS = {
    "supervised": {"objective": "supervised"},
    "published": {"scheme": "mdp-paper"},
    "published, momentum 0": {"scheme": "mdp-paper", "momentum": 0},
    "ours": {},
    "ours, losses on the encoder's maps": {"auxiliary_weight": 0.4},
}
SIZES = (21, 150, 171)


def label_space(sizes: tuple[int, ...]) -> LabelSpace:
    return LabelSpace.concatenate({f"d{i}": [f"c{j}" for j in range(size)] for i, size in enumerate(sizes)})


def make_batch(space: LabelSpace, sizes: tuple[int, ...], count: int, crop: int) -> Batch:
    """Images of the datasets in turn, half of them with a box pasted from the next."""
    source = torch.Generator().manual_seed(0)
    datasets = torch.arange(count) % len(sizes)
    cells = [torch.randint(0, sizes[d], (crop // PIECE, crop // PIECE), generator=source) for d in datasets.tolist()]
    offsets = torch.tensor([space.offset(f"d{d}") for d in datasets.tolist()])
    targets = torch.stack(cells) + offsets[:, None, None]
    boxes = torch.tensor([region_box(crop, crop, 0.6 if i % 2 else 1.0, source) for i in range(count)])
    return Batch(
        images=torch.randint(256, (count, 3, crop, crop), dtype=torch.uint8, generator=source),
        targets=targets.repeat_interleave(PIECE, 1).repeat_interleave(PIECE, 2),
        datasets=datasets,
        boxes=boxes,
        region_partners=torch.arange(count).roll(1),
        lam=torch.ones(count),
        pixel_partners=torch.arange(count),
    )


def make_step(
    network: dict[str, object], method: dict[str, object], sizes: tuple[int, ...], count: int, crop: int
) -> Callable[[], None]:
    """One step of the training loop, on the same batch each time."""
    torch.manual_seed(0)
    space = label_space(sizes)
    objective = pretraining_objective(
        SegmentationNetwork(NetworkConfig.model_validate(network)), space, MethodConfig.model_validate(method)
    ).train()
    objective.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(objective, OptimConfig(lr=1e-3))
    batch = make_batch(space, sizes, count, crop)

    def step() -> None:
        with quick_pointwise(objective), quick_depthwise(objective):
            loss = objective(mix_batch(batch))["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 5.0)
        optimizer.step()
        objective.after_step()

    return step


def beside_supervised(name: str, rounds: int) -> list[Row]:
    network, count, crop = NETWORKS[name]
    steps = {variant: make_step(network, method, SIZES, count, crop) for variant, method in VARIANTS.items()}
    targets = {
        "published": "at most 1.40",
        "published, momentum 0": "at most 1.08",
        "ours": "at most 1.08",
        "ours, losses on the encoder's maps": "at most 1.15",
    }
    seconds = compare(steps, rounds)
    against = "supervised step of the same network, crop, batch"
    sizes = f"{name}, {count} crops of {crop}, {'+'.join(map(str, SIZES))} classes"
    peaks = {variant: peak_memory(step) for variant, step in steps.items()}
    rows = []
    for variant, target in targets.items():
        what = f"MDP step, {variant}: {sizes}"
        rows.append(ratio_row(what, against, seconds[variant], seconds["supervised"], target))
        rows.append(memory_row(what, against, peaks[variant], peaks["supervised"]))
    return rows


def growth(name: str, rounds: int) -> list[Row]:
    """A step against the number of classes, at fixed pixels."""
    network, count, crop = NETWORKS[name]
    spaces = {21: (21,), 342: SIZES, 2000: (200,) * 10, 10_000: (250,) * 40}
    rows = []
    for title, method in {
        "published, momentum 0": VARIANTS["published, momentum 0"],
        "learned prototypes, own_dataset": {"supervised_share": 0},
        "ours": {},
    }.items():
        steps = {str(k): make_step(network, method, sizes, count, crop) for k, sizes in spaces.items()}
        seconds = compare(steps, rounds)
        for classes in list(spaces)[1:]:
            what = f"MDP step, {title}: {name}, {count} crops of {crop}, {classes:,} classes"
            target = "at most 2" if classes == 10_000 else ""
            ratios = [a / b for a, b in zip(seconds[str(classes)], seconds["21"], strict=True)]
            row = value_row(what, ratios, target, "x", against="the same with 21 classes")
            rows.append(row)
    return rows


def main() -> None:
    given = arguments(__doc__, rounds=5)
    names = list(NETWORKS)[1:] if given.quick else list(NETWORKS)
    rows = [row for name in names for row in beside_supervised(name, given.rounds)]
    finish("step", rows + growth(names[0], given.rounds), given.quick)


if __name__ == "__main__":
    main()
