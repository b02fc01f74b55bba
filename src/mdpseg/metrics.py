"""Segmentation metrics from one confusion matrix."""

from __future__ import annotations

import torch
from torch import Tensor

_WIDE_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)  # torch compares none of these


class ConfusionMatrix:
    """Counts of (target, prediction) pairs over any number of images.

    Args:
        num_classes: K.
        device: where the counts are kept.

    Attributes:
        counts: int64 [K, K], rows are targets, columns predictions.
    """

    def __init__(self, num_classes: int, device: torch.device | str = "cpu") -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; expected at least 1.")
        self.num_classes = num_classes
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)

    def update(self, prediction: Tensor, target: Tensor, ignore_index: int = 255) -> ConfusionMatrix:
        """Adds the pixels of one or more images.

        Args:
            prediction: integer class ids, any shape.
            target: integer class ids of the same shape; ``ignore_index`` and negative ids count for nothing.
            ignore_index: the target id that means "ignored".

        Returns:
            Itself, so that calls can be chained.

        Raises:
            ValueError: shapes differ, an id is no integer, or a class id is outside 0..K-1.
        """
        if prediction.shape != target.shape:
            raise ValueError(
                f"prediction has shape {tuple(prediction.shape)} and target {tuple(target.shape)}; they must be equal."
            )
        if not target.numel():
            return self
        for name, ids in (("prediction", prediction), ("target", target)):
            if ids.is_floating_point() or ids.is_complex():
                raise ValueError(f"{name} has dtype {ids.dtype}; expected integer class ids.")
        if target.dtype in _WIDE_UNSIGNED:
            target = target.long()
        target, prediction = target.to(self.counts.device), prediction.to(self.counts.device, torch.int64)
        ignored = (target == ignore_index) | (target < 0)
        rows = target.long() + 1  # row 0 is for ignored pixels: leaving them out first would take five times as long
        if bool(ignored.any()):
            rows, prediction = rows.masked_fill_(ignored, 0), prediction.masked_fill(ignored, 0)
        self._refuse_outside("target", rows - 1, lowest=-1)
        self._refuse_outside("prediction", prediction, lowest=0)
        pairs = rows.mul_(self.num_classes).add_(prediction).flatten()
        counts = torch.bincount(pairs, minlength=(self.num_classes + 1) * self.num_classes)
        self.counts += counts[self.num_classes :].view_as(self.counts)
        return self

    def _refuse_outside(self, name: str, ids: Tensor, lowest: int) -> None:
        low, high = ids.aminmax()
        if int(low) < lowest or int(high) >= self.num_classes:
            outside = ids[(ids < lowest) | (ids >= self.num_classes)]
            raise ValueError(f"{name} holds id {int(outside[0])}; expected 0..{self.num_classes - 1}.")

    def iou(self) -> Tensor:
        """Intersection over union of each class, float64 [K] on the CPU; NaN for a class that is in no target."""
        counts = self.counts.cpu().double()  # MPS has no float64
        intersection = counts.diagonal()
        union = counts.sum(0) + counts.sum(1) - intersection
        return torch.where(counts.sum(1) > 0, intersection / union, torch.nan)

    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur in the targets, from 0 to 1; NaN when there was no target pixel."""
        return float(self.iou().nanmean())

    def pixel_accuracy(self) -> float:
        """Share of the target pixels that are predicted right; NaN when there was no target pixel."""
        counts = self.counts.cpu().double()
        return float(counts.diagonal().sum() / counts.sum())
