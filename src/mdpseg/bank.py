"""The two-step average: region embeddings per image, then class prototypes from a first-in-first-out memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BankPolicy = Literal["fifo", "per_class"]


def region_means(embeddings: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Step 1: for each image and each class present in it, the mean of the class's pixel embeddings.

    Args:
        embeddings: [B, D, H, W], any float dtype (averaged in float32).
        targets: int64 [B, H, W] global ids, -1 counts for nothing.
        num_classes: K.

    Returns:
        regions float32 [R, D] of unit length, and classes int64 [R]; in order of image, then class id.
    """
    sums, classes = region_sums(embeddings, targets, num_classes)
    return F.normalize(sums, dim=1), classes  # the direction of the mean is that of the sum


def region_sums(embeddings: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """The sums [R, D] whose directions :func:`region_means` gives, for images that come in parts; and the classes."""
    batch, dim = embeddings.shape[:2]
    flat = embeddings.flatten(2).transpose(1, 2).reshape(-1, dim)  # [B*H*W, D]
    image = torch.arange(batch, device=targets.device).repeat_interleave(targets.shape[1:].numel())  # [B*H*W]
    labels = targets.reshape(-1)
    counted = (labels >= 0) & (labels < num_classes)  # a 255 that was never encoded is no class of the next image
    cell = (image * num_classes + labels).where(counted, batch * num_classes)  # [P], the last one for what counts not
    filled = torch.zeros(batch * num_classes + 1, dtype=torch.bool, device=cell.device).index_fill_(0, cell, True)
    cells = filled[:-1].nonzero()[:, 0]  # [R]
    place = cell.new_full((len(filled),), len(cells)).index_copy_(
        0, cells, torch.arange(len(cells), device=cell.device)
    )
    sums = torch.zeros(len(cells) + 1, dim, device=embeddings.device, dtype=torch.float32)
    return sums.index_add_(0, place[cell], flat.float())[:-1], cells % num_classes


class RegionBank(nn.Module):
    """A first-in-first-out memory of region embeddings, and the class prototypes that follow from it (step 2).

    Args:
        size: how many region embeddings it holds.
        dim: D, their dimension.
        num_classes: K.
        policy: ``fifo``, one ring for all (as published). ``per_class``: a ring of ``size // K`` (at least 1) entries
            for each class, so that frequent classes never flush out a rare one.

    Its buffers are its whole state: ``regions`` float32 [size, D], ``classes`` int64 [size] (-1: empty),
    ``position`` int64, the next slot to write (a scalar, or [K] with ``per_class``), and what of it is kept up to date
    so that no step reads the whole bank: ``sums`` [K, D] and ``counts`` [K] of each class's entries. The sums are
    int64, in units of 2^-40: what was added is taken away again without a trace, in any order and on any device.
    """

    regions: Tensor
    classes: Tensor
    position: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(self, size: int, dim: int, num_classes: int, policy: BankPolicy = "fifo") -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size is {size}; a bank holds at least one region embedding.")
        if policy not in ("fifo", "per_class"):
            raise ValueError(f"policy is {policy!r}; expected 'fifo' or 'per_class'.")
        self.num_classes, self.policy = num_classes, policy
        self.ring = size if policy == "fifo" else max(1, size // num_classes)
        slots = size if policy == "fifo" else self.ring * num_classes
        self.register_buffer("regions", torch.zeros(slots, dim))
        self.register_buffer("classes", torch.full((slots,), -1, dtype=torch.int64))
        rings = () if policy == "fifo" else (num_classes,)
        self.register_buffer("position", torch.zeros(rings, dtype=torch.int64))
        self.register_buffer("sums", torch.zeros(num_classes, dim, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(num_classes, dtype=torch.int64))

    @torch.no_grad()
    def push(self, regions: Tensor, classes: Tensor) -> None:
        """Writes region embeddings over the oldest ones.

        Args:
            regions: [R, D], detached and stored in float32.
            classes: int64 [R], their global class ids.

        Raises:
            ValueError: as many classes as regions are expected; on the CPU also, ids of 0 to K - 1 (elsewhere the look
                would make the GPU wait).
        """
        if len(regions) != len(classes):
            raise ValueError(f"{len(regions)} regions came with {len(classes)} classes; expected one class each.")
        classes = classes.long()
        if classes.is_cpu:
            outside = classes[(classes < 0) | (classes >= self.num_classes)]
            if len(outside):
                raise ValueError(f"A region has class {int(outside[0])}; expected 0 to {self.num_classes - 1}.")
        if self.policy == "fifo":
            regions, classes = regions[-self.ring :], classes[-self.ring :]
            slots = (self.position + torch.arange(len(classes), device=classes.device)) % self.ring
            self.position.copy_((self.position + len(classes)) % self.ring)
        else:
            counts = torch.zeros_like(self.counts).index_add_(0, classes, torch.ones_like(classes))
            rank = _rank_in_class(classes, counts)
            newest = (rank >= counts[classes] - self.ring).nonzero()[:, 0]  # later ones of the class leave them a place
            slots = classes * self.ring + (self.position[classes] + rank) % self.ring
            self.position.copy_((self.position + counts) % self.ring)
            regions, classes, slots = regions[newest], classes[newest], slots[newest]
        regions, leaving = regions.detach().float(), self.classes[slots]
        held = leaving >= 0  # an empty slot's region is 0 and may be taken from any class
        self.sums.index_add_(0, leaving.clamp_min(0), _fixed_point(self.regions[slots]), alpha=-1)
        self.counts.index_add_(0, leaving.clamp_min(0), held.long(), alpha=-1)
        self.sums.index_add_(0, classes, _fixed_point(regions))
        self.counts.index_add_(0, classes, torch.ones_like(classes))
        self.regions[slots] = regions
        self.classes[slots] = classes

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RegionBank:
        """Moves with its module, but keeps float32: what leaves the sums must be what was added to them."""
        regions = self.regions
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.regions.dtype != regions.dtype:
            self.regions = regions.to(self.regions.device)
        return self

    def entries(self) -> tuple[Tensor, Tensor]:
        """What the bank holds: regions float32 [M, D] and classes int64 [M], without empty slots."""
        filled = (self.classes >= 0).nonzero()[:, 0]
        return self.regions[filled], self.classes[filled]

    def prototypes(self) -> tuple[Tensor, Tensor]:
        """The normalised mean of each class's region embeddings.

        Returns:
            prototypes float32 [K, D] of unit length (zeros for a class with no entry), and present bool [K].
        """
        return F.normalize(self.sums.float(), dim=1), self.counts > 0


def _rank_in_class(classes: Tensor, counts: Tensor) -> Tensor:
    """How many entries of its class came before each: int64 [R]."""
    order = classes.argsort(stable=True)
    firsts = (counts.cumsum(0) - counts)[classes[order]]  # [R], where each class begins
    return torch.empty_like(classes).index_copy_(0, order, torch.arange(len(classes), device=classes.device) - firsts)


def _fixed_point(regions: Tensor) -> Tensor:
    """In units of 2^-40: finer than float32 resolves a unit vector, with room for millions of them in a sum."""
    return (regions * 2.0**40).round().long()
