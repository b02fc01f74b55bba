"""The bank's part of a step: pushing a batch's regions and reading the prototypes, from small banks to large ones.

    python benchmarks/bank.py [--rounds 15] [--quick]

A batch of 16 images with 10 classes each pushes 160 regions; 342 classes, 128 dimensions.
"""

from functools import partial

import torch
import torch.nn.functional as F
from measure import arguments, compare, finish, ratio_row
from step import NETWORKS, SIZES, VARIANTS, make_step

from mdpseg.bank import RegionBank

CLASSES, DIM, PUSHED, TIMES = sum(SIZES), 128, 160, 20


def full_bank(size: int, policy: str) -> RegionBank:
    bank = RegionBank(size, DIM, CLASSES, policy)  # type: ignore[arg-type]
    bank.push(F.normalize(torch.randn(size, DIM), dim=1), torch.randint(0, CLASSES, (size,)))
    return bank


def steps(bank: RegionBank, regions: torch.Tensor, classes: torch.Tensor) -> None:
    for _ in range(TIMES):
        bank.push(regions, classes)
        bank.prototypes()


def main() -> None:
    given = arguments(__doc__, rounds=15)
    torch.manual_seed(0)
    regions, classes = F.normalize(torch.randn(PUSHED, DIM), dim=1), torch.randint(0, CLASSES, (PUSHED,))
    sizes, rows = (1024, 10_560, 102_400), []
    for policy in ("fifo", "per_class"):
        sides = {str(size): partial(steps, full_bank(size, policy), regions, classes) for size in sizes}
        seconds = {name: [s / TIMES for s in times] for name, times in compare(sides, given.rounds).items()}
        for size in sizes[1:]:
            what, against = f"bank push + prototypes, {policy}, {size:,} entries", f"{sizes[0]:,} entries"
            rows.append(ratio_row(what, against, seconds[str(size)], seconds[str(sizes[0])], "at most 1.2"))
    name = "EfficientNet-Lite0 FPN"
    network, count, crop = NETWORKS[name]
    step = make_step(network, VARIANTS["published, momentum 0"], SIZES, count, crop)
    part = compare(
        {"bank": partial(steps, full_bank(4096, "fifo"), regions, classes), "step": step}, given.rounds // 3 or 1
    )
    what, against = "bank push + prototypes, fifo, 4,096 entries", f"a whole step, {name}, {count} crops of {crop}"
    rows.append(ratio_row(what, against, [s / TIMES for s in part["bank"]], part["step"], "at most 0.01"))
    finish("bank", rows, given.quick)


if __name__ == "__main__":
    main()
