"""What batch norms need: enough values, and the images of other processes."""

from __future__ import annotations

import copy

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from mdpseg import ranks
from mdpseg.errors import UserError


def sync_batchnorm(objective: nn.Module) -> nn.Module:
    """Batch norms that take their statistics over all processes; timm's own converter keeps its norms' activations."""
    converted: nn.Module = convert_sync_batchnorm(objective)
    return converted


@torch.no_grad()
def even_out_statistics(objective: nn.Module) -> None:
    """Gives every process the mean of all processes' running statistics; they drift apart, since images differ."""
    if ranks.count() > 1:
        for name, buffer in objective.named_buffers():
            if buffer.is_floating_point() and name.rpartition(".")[2].startswith("running_"):
                buffer.copy_(ranks.summed(buffer) / ranks.count())


def refuse_lone_values(network: nn.Module, crop: int, batch_size: int, processes: int, synced: bool = False) -> None:
    """Tries the network on one image where that is all that a process gets: a batch norm may then see single values.

    ``synced``: whether batch norms see the images of all processes.

    Raises:
        UserError: it does.
    """
    if batch_size // processes > 1 or (synced and processes > 1):
        return
    image = torch.zeros(1, 3, crop, crop, dtype=torch.uint8)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(network).train()(image)
    except ValueError as error:
        if "more than 1 value" not in str(error):
            raise
        raise UserError(
            f"batch_size {batch_size} gives a process a single image, and a batch norm of this network then sees a "
            f"single value a channel at augment.crop={crop}; give two images a process, or choose another decoder."
        ) from error
