"""The two-step average: region embeddings per image, then class prototypes from a first-in-first-out memory."""

from __future__ import annotations

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
    batch, dim = embeddings.shape[:2]
    flat = embeddings.flatten(2).transpose(1, 2).reshape(-1, dim)  # [B*H*W, D]
    image = torch.arange(batch, device=targets.device).repeat_interleave(targets.shape[1:].numel())  # [B*H*W]
    labels = targets.reshape(-1)
    counted = labels >= 0
    cell = image[counted] * num_classes + labels[counted]  # [P]
    cells, index = torch.unique(cell, sorted=True, return_inverse=True)  # [R], [P]
    sums = torch.zeros(len(cells), dim, device=embeddings.device, dtype=torch.float32)
    sums.index_add_(0, index, flat[counted].float())  # the direction of the mean is that of the sum
    return F.normalize(sums, dim=1), cells % num_classes


class RegionBank(nn.Module):
    """A first-in-first-out memory of region embeddings, and the class prototypes that follow from it (step 2).

    Args:
        size: how many region embeddings it holds.
        dim: D, their dimension.
        num_classes: K.
        policy: ``fifo``, one ring for all (as published). ``per_class``: a ring of ``size // K`` (at least 1) entries
            for each class, so that frequent classes never flush out a rare one.

    Its buffers are its whole state: ``regions`` float32 [size, D], ``classes`` int64 [size] (-1: empty) and
    ``position`` int64, the next slot to write (a scalar, or [K] with ``per_class``).
    """

    regions: Tensor
    classes: Tensor
    position: Tensor

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

    @torch.no_grad()
    def push(self, regions: Tensor, classes: Tensor) -> None:
        """Writes region embeddings over the oldest ones.

        Args:
            regions: [R, D], detached and stored in float32.
            classes: int64 [R], their global class ids.
        """
        if self.policy == "fifo":
            regions, classes = regions[-self.ring :], classes[-self.ring :]
            slots = (self.position + torch.arange(len(classes), device=classes.device)) % self.ring
            self.position.copy_((self.position + len(classes)) % self.ring)
        else:
            same = classes[:, None] == classes[None, :]  # [R, R]
            rank = same.tril(-1).sum(1)  # how many of its class came before it
            newest = same.triu(1).sum(1) < self.ring  # later entries of its class leave it a place
            slots = classes * self.ring + (self.position[classes] + rank) % self.ring
            counts = torch.bincount(classes, minlength=self.num_classes)
            self.position.copy_((self.position + counts) % self.ring)
            regions, classes, slots = regions[newest], classes[newest], slots[newest]
        self.regions[slots] = regions.detach().float()
        self.classes[slots] = classes

    def entries(self) -> tuple[Tensor, Tensor]:
        """What the bank holds: regions float32 [M, D] and classes int64 [M], without empty slots."""
        filled = self.classes >= 0
        return self.regions[filled], self.classes[filled]

    def prototypes(self) -> tuple[Tensor, Tensor]:
        """The normalised mean of each class's region embeddings.

        Returns:
            prototypes float32 [K, D] of unit length (zeros for a class with no entry), and present bool [K].
        """
        regions, classes = self.entries()
        sums = torch.zeros(self.num_classes, self.regions.shape[1], device=regions.device)
        sums.index_add_(0, classes, regions)
        present = torch.zeros(self.num_classes, dtype=torch.bool, device=regions.device)
        present[classes] = True
        return F.normalize(sums, dim=1), present
