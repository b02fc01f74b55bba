"""Pixel-to-prototype, value and gradient: beside bare matrix products, and beside plain cross-entropy with autograd.

    python benchmarks/prototype_loss.py [--rounds 7] [--quick]

262,144 pixels (a batch of 16 crops of 512 at stride 4) x 342 classes (VOC, ADE20K, COCO-Stuff) x 128. The bare products
are v @ p.T and (pixels x classes) @ p, the latter into new memory, as a gradient must be; in the better of two ways:
whole, or in chunks that stay in cache.
"""

from functools import partial

import torch
import torch.nn.functional as F
from measure import Row, arguments, compare, finish, peak_memory, ratio_row
from torch import Tensor

from mdpseg import LabelSpace
from mdpseg.losses import pixel_to_prototype

TAU = 0.07


def inputs(pixels: int, classes: int, dim: int, learned: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embeddings, targets, prototypes, and which are present."""
    torch.manual_seed(0)
    embeddings = F.normalize(torch.randn(pixels, dim), dim=1).requires_grad_()
    prototypes = F.normalize(torch.randn(classes, dim), dim=1).requires_grad_(learned)
    return embeddings, torch.randint(0, classes, (pixels,)), prototypes, torch.ones(classes, dtype=torch.bool)


def ours(embeddings: Tensor, *rest: Tensor, denominator: Tensor | None = None) -> object:
    pixel_to_prototype(embeddings, *rest, TAU, denominator=denominator).backward()
    return taken(embeddings, rest[1])


def plain(embeddings: Tensor, targets: Tensor, prototypes: Tensor, _: Tensor) -> object:
    F.cross_entropy(embeddings @ prototypes.T / TAU, targets).backward()
    return taken(embeddings, prototypes)


def taken(*leaves: Tensor) -> list[Tensor | None]:
    """The gradients, away from their tensors, so that each call makes its own."""
    gradients = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return gradients


@torch.no_grad()
def bare(embeddings: Tensor, prototypes: Tensor, room: Tensor, learned: bool) -> object:
    """The products alone, as many rows at once as ``room`` [n, K] has."""
    out, by_prototypes = torch.empty_like(embeddings), torch.zeros_like(prototypes)
    for first in range(0, len(embeddings), len(room)):
        v = embeddings[first : first + len(room)]
        logits = torch.mm(v, prototypes.T, out=room[: len(v)])
        torch.mm(logits, prototypes, out=out[first : first + len(room)])
        if learned:
            by_prototypes.addmm_(logits.T, v)
    return out, by_prototypes


def beside_products(pixels: int, classes: int, dim: int, rounds: int, learned: bool, target: bool = True) -> list[Row]:
    v, y, p, present = inputs(pixels, classes, dim, learned)
    sides = {
        "ours": partial(ours, v, y, p, present),
        "whole": partial(bare, v, p, torch.empty(pixels, classes), learned),
        "chunks": partial(bare, v, p, torch.empty(min(pixels, 1024), classes), learned),
    }
    seconds = compare(sides, rounds)
    count, kind = ("three", "learned") if learned else ("two", "bank")
    fastest = [min(pair) for pair in zip(seconds["whole"], seconds["chunks"], strict=True)]
    what = f"pixel-to-prototype, {kind} prototypes, {pixels:,} x {classes} x {dim}"
    return [
        ratio_row(what, f"the {count} bare matrix products", seconds["ours"], fastest, "at most 1.5" if target else "")
    ]


def beside_plain(pixels: int, classes: int, dim: int, rounds: int, learned: bool) -> list[Row]:
    given = inputs(pixels, classes, dim, learned)
    sides = {"ours": partial(ours, *given), "plain": partial(plain, *given)}
    memory = {name: [peak_memory(side)] for name, side in sides.items()}
    seconds = compare(sides, rounds)
    kind, against = "learned" if learned else "bank", "F.cross_entropy(v @ p.T / tau), autograd"
    what = f"pixel-to-prototype, {kind} prototypes, {pixels:,} x {classes} x {dim}"
    gradient = [given[0].numel() * 4 / 1e6]
    return [
        ratio_row(what, against, seconds["ours"], seconds["plain"], "at least 1.5"),
        ratio_row(f"{what}: memory", against, memory["ours"], memory["plain"], "at least 5", "MB"),
        ratio_row(f"{what}: memory", "the embeddings' gradient itself", memory["ours"], gradient, "at most 1.3", "MB"),
    ]


def with_denominators(pixels: int, sizes: list[int], dim: int, rounds: int) -> list[Row]:
    """A denominator beside none: VOC, ADE20K and COCO-Stuff, each pixel against its own dataset's classes."""
    space = LabelSpace.concatenate({f"d{i}": [f"c{j}" for j in range(size)] for i, size in enumerate(sizes)})
    given = inputs(pixels, space.num_classes, dim)
    sides = {"all": partial(ours, *given), "own": partial(ours, *given, denominator=space.denominator("own_dataset"))}
    seconds = compare(sides, rounds)
    what = f"pixel-to-prototype, own_dataset of {'+'.join(map(str, sizes))} classes, {pixels:,} x {dim}"
    return [ratio_row(what, "the same with all classes", seconds["own"], seconds["all"])]


def growth(pixels: int, counts: list[int], dim: int, rounds: int) -> list[Row]:
    """The loss alone, from few classes to many, each beside the two bare products of that size."""
    return [row for count in counts for row in beside_products(pixels, count, dim, rounds, learned=False, target=False)]


def main() -> None:
    given = arguments(__doc__, rounds=7)
    pixels, many = (2048, 2048) if given.quick else (262_144, 16_384)
    rows = []
    for learned in (False, True):
        rows += beside_products(pixels, 342, 128, given.rounds, learned)
        rows += beside_plain(pixels, 342, 128, given.rounds, learned)
    rows += with_denominators(pixels, [21, 150, 171], 128, given.rounds)
    rows += growth(many, [21, 342, 2000, 10_000], 128, given.rounds)
    finish("prototype_loss", rows, given.quick)


if __name__ == "__main__":
    main()
