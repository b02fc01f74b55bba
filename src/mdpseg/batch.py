"""What travels from the loader to the objective."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass  # not frozen: in mixed precision Fabric converts a batch field by field
class Batch:
    """One training batch.

    Attributes:
        images: uint8 [B, 3, H, W].
        targets: int64 [B, H, W] global ids, -1 counts for nothing, -2 (``UNLABELLED``) came without a label.
        datasets: int64 [B], the index of each image's dataset in the recipe.
        boxes: int64 [B, 4] (top, left, height, width) of the region mix; empty boxes mix nothing.
        region_partners: int64 [B], the images that the boxes are cut from.
        lam: float32 [B], the share that an image keeps in the pixel mix; 1 mixes nothing. It stays on the CPU: which
            images are blended decides what is computed, and the host need not ask a GPU for it.
        pixel_partners: int64 [B], the images that it is blended with.
        partner_targets: int64 [B, H, W], the partner's targets, set once the batch is mixed.
        names: "dataset/image id" of each image.
        own: how many images are learned from, the first ones; the others are there to be mixed in. Default: all.
    """

    images: Tensor
    targets: Tensor
    datasets: Tensor
    boxes: Tensor
    region_partners: Tensor
    lam: Tensor
    pixel_partners: Tensor
    partner_targets: Tensor | None = None
    names: tuple[str, ...] = ()
    own: int | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch with every tensor but ``lam`` on ``device``."""
        tensors: dict[str, Any] = {
            name: tensor.to(device, non_blocking=True) for name, tensor in self._tensors().items() if name != "lam"
        }
        return replace(self, **tensors)

    def blended(self) -> Tensor:
        """Which images are blended, int64 [n], where the images are."""
        return on_device_of(self.images, (self.lam < 1).nonzero()[:, 0])

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, which a device copies from while the host goes on; the loader asks."""
        tensors: dict[str, Any] = {name: tensor.pin_memory() for name, tensor in self._tensors().items()}
        return replace(self, **tensors)

    def first(self, count: int) -> Batch:
        """The first ``count`` images of the batch."""
        tensors: dict[str, Any] = {name: tensor[:count] for name, tensor in self._tensors().items()}
        return replace(self, **tensors, names=self.names[:count], own=None)

    def state(self) -> dict[str, Any]:
        """Its fields, to be written to a file; :meth:`from_state` reads them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @staticmethod
    def from_state(state: dict[str, Any]) -> Batch:
        """The batch that :meth:`state` gave."""
        return Batch(**state)

    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}

    def __len__(self) -> int:
        return len(self.images)


def on_device_of(tensor: Tensor, given: Tensor) -> Tensor:
    """What the host has, where ``tensor`` is; the host does not wait for it to get there."""
    return given.to(tensor.device, non_blocking=True)


def pixel_rows(maps: Tensor) -> Tensor:
    """[B, C, h, w] -> [B * h * w, C]; a view where ``maps`` is channels_last."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)
