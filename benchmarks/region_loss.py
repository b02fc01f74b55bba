"""Pixel-to-region, value and gradient, beside the plain masked log-softmax with autograd.

    python benchmarks/region_loss.py [--rounds 3] [--quick]

65,536 pixels x a bank of 10,560 entries x 128: the plain form would need a dozen gigabytes for it. So both run on 8,192
pixels, and the plain form's memory at 65,536 is eight times what it takes there (its matrices have a row a pixel).
"""

from functools import partial

import torch
import torch.nn.functional as F
from measure import arguments, compare, finish, peak_memory, ratio_row, value_row
from prototype_loss import TAU, taken
from torch import Tensor

from mdpseg import LabelSpace
from mdpseg.losses import pixel_to_region


def inputs(pixels: int, entries: int, classes: int, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embeddings, targets, the bank's regions and their classes."""
    torch.manual_seed(0)
    embeddings = F.normalize(torch.randn(pixels, dim), dim=1).requires_grad_()
    regions = F.normalize(torch.randn(entries, dim), dim=1)
    return embeddings, torch.randint(0, classes, (pixels,)), regions, torch.randint(0, classes, (entries,))


def ours(*given: Tensor, denominator: Tensor | None = None) -> object:
    pixel_to_region(*given, TAU, denominator=denominator).backward()
    return taken(given[0])


def plain(embeddings: Tensor, targets: Tensor, regions: Tensor, classes: Tensor) -> object:
    similarity = embeddings @ regions.T / TAU  # [N, M]
    positive = targets[:, None] == classes[None]  # [N, M]
    negatives = similarity.masked_fill(positive, -1e30).logsumexp(1, keepdim=True)  # [N, 1]
    terms = F.softplus(negatives - similarity) * positive
    (terms.sum(1) / positive.sum(1)).mean().backward()
    return taken(embeddings)


def main() -> None:
    given = arguments(__doc__, rounds=3)
    many, few, entries, classes = (512, 256, 500, 20) if given.quick else (65_536, 8_192, 10_560, 342)
    against, dim = "masked log-softmax, autograd", 128
    small, large = inputs(few, entries, classes, dim), inputs(many, entries, classes, dim)
    sides = {"ours": partial(ours, *small), "plain": partial(plain, *small)}
    memory = {name: [peak_memory(side)] for name, side in sides.items()}
    whole = [peak_memory(partial(ours, *large))]
    seconds = compare(sides, given.rounds)
    parts = [classes // 16, classes * 7 // 16, classes - classes // 16 - classes * 7 // 16]
    space = LabelSpace.concatenate({f"d{i}": [f"c{j}" for j in range(part)] for i, part in enumerate(parts)})
    alone = {
        "all": partial(ours, *large),
        "own": partial(ours, *large, denominator=space.denominator("own_dataset")),
    }
    alone_seconds = compare(alone, given.rounds, warmup=0)
    what, size = "pixel-to-region", f"x {entries:,} x {dim}"
    plainly = memory["plain"][0] * many / few
    own, everything = alone_seconds["own"], alone_seconds["all"]
    rows = [
        ratio_row(f"{what}, {few:,} {size}", against, seconds["ours"], seconds["plain"], "at least 1.5"),
        ratio_row(f"{what}, {few:,} {size}: memory", against, memory["ours"], memory["plain"], "", "MB"),
        value_row(f"{what}, {many:,} {size}: memory", whole, "at most 500", "MB"),
        value_row(f"{against}, {many:,} {size}: {many // few} x its memory at {few:,}", [plainly], "", "MB"),
        value_row(f"{what}, {many:,} {size}: time", everything),
        ratio_row(f"{what}, own_dataset, {many:,} {size}", "the same with all classes", own, everything),
    ]
    finish("region_loss", rows, given.quick)


if __name__ == "__main__":
    main()
