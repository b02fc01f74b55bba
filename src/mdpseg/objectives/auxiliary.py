"""Losses on the encoder's own maps beside that on the decoder's features: auxiliary heads, or deep supervision."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mdpseg.network import SegmentationNetwork

_MAPS = 3  # the encoder's last: strides 8, 16 and 32 in most


class AuxiliaryHeads(nn.ModuleList):
    """A head for each of the encoder's last three maps; pretraining ends without them.

    Args:
        network: whose encoder it is.
        make_head: channels of a map -> its head.
        weight: of the loss on each map, beside 1 on the decoder's features; 0: there are no heads.
    """

    def __init__(self, network: SegmentationNetwork, make_head: Callable[[int], nn.Module], weight: float) -> None:
        super().__init__(map(make_head, network.encoder.out_channels[-_MAPS:]) if weight else [])
        self.weight = weight

    def added(
        self, losses: dict[str, Tensor], maps: list[Tensor], loss_of: Callable[[Tensor, nn.Module], Tensor]
    ) -> dict[str, Tensor]:
        """The losses with those of the encoder's ``maps`` [B, C, h, w] in "loss", and their sum as "auxiliary"."""
        if not len(self):
            return losses
        each = [loss_of(one, head) for one, head in zip(maps[-len(self) :], self, strict=True)]
        auxiliary = torch.stack(each).sum()
        return {**losses, "loss": losses["loss"] + self.weight * auxiliary, "auxiliary": auxiliary.detach()}
