"""Labels for pixels that came without: the class of the nearest prototype, where it is likely enough."""

from __future__ import annotations

import torch
from torch import Tensor

from mdpseg import ranks
from mdpseg.label_space import UNLABELLED
from mdpseg.losses.reduction import OUTSIDE, rows_at_once


@torch.no_grad()
def mine_labels(
    targets: Tensor, keys: Tensor, prototypes: Tensor, present: Tensor, temperature: float, threshold: float
) -> tuple[Tensor, Tensor]:
    """Labels each pixel coded ``UNLABELLED`` by the prototype that is most similar to its key.

    A class's probability is its share in the softmax over all present classes.

    Args:
        targets: int64 [N] global ids, -1 or ``UNLABELLED``.
        keys: [N, D], the momentum network's embeddings of the same pixels, any float dtype (computed in float32).
        prototypes: [K, D].
        present: bool [K]; classes that are not take no part.
        temperature: tau.
        threshold: a label is kept where its probability is above this.

    Returns:
        labels int64 [N], ``targets`` with a class or -1 in the place of each ``UNLABELLED``; and the share of those
        that got a class, a float32 scalar (0 where there is none).
    """
    wanted = targets == UNLABELLED
    prototypes = prototypes.float()

    def nearest(rows: Tensor) -> Tensor:
        logits = (rows.float() @ prototypes.T / temperature).masked_fill(~present, OUTSIDE)  # [n, K]
        best, classes = logits.max(1)
        kept = ((best - logits.logsumexp(1)).exp() > threshold) & present.any()
        return classes.where(kept, -1)

    rows = rows_at_once(len(prototypes), keys.device)  # the pixels x classes matrix never stands whole
    with torch.autocast(keys.device.type, enabled=False):  # it would take the products in bfloat16
        found = torch.cat([nearest(part) for part in torch.split(keys[wanted], rows)])
    labels = targets.masked_scatter(wanted, found)
    return labels, ranks.summed((found >= 0).sum()) / ranks.summed(wanted.sum()).clamp_min(1)
