"""Which pixels share their denominator: for these the logits of other classes need not be computed, nor masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mdpseg.label_space import LabelSpace
from mdpseg.losses.reduction import pixel_weights, weighted_mean
from mdpseg.losses.streamed import Group, Step, streamed_sum


def mean_over_pixels(
    embeddings: Tensor,
    targets: Tensor,
    prototypes: Tensor,
    counted: Tensor,
    step_for: Callable[[Tensor], Step],
    *,
    present: Tensor,
    denominator: Tensor | None,
    weights: Tensor | None,
    temperature: float,
) -> Tensor:
    """The weighted mean of the terms that the counted pixels' logits against the prototypes give.

    Args:
        embeddings: [N, D].
        targets: int64 [N] class ids.
        prototypes: [K, D].
        counted: bool [N].
        step_for: ids of classes int64 [m] -> what to do with logits over these.
        present: bool [K].
        denominator: bool [K, K], by the pixel's class; None: all. A pixel's own class stands there in any case.
        weights: float [N]; None: 1.
        temperature: tau.

    Returns:
        A float32 scalar.
    """
    w = pixel_weights(weights, targets)
    groups = [
        Group(pixels, columns, step_for(columns))
        for pixels, columns in pixels_by_columns(targets, counted, present, denominator)
    ]
    return weighted_mean(streamed_sum(embeddings, prototypes, groups, w, temperature), w[counted])


def pixels_by_class(targets: Tensor, counted: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """The counted pixels in order of class.

    Args:
        targets: int64 [N] class ids.
        counted: bool [N].

    Returns:
        Indices of pixels int64 [P], the classes that occur int64 [C], and how many pixels each has.
    """
    pixels = counted.nonzero()[:, 0]
    labels = targets[pixels]
    sizes = torch.bincount(labels)
    classes = sizes.nonzero()[:, 0]
    return pixels[labels.argsort(stable=True)], classes, sizes[classes].tolist()


def with_prototype(targets: Tensor, present: Tensor) -> Tensor:
    """Which pixels count: bool [N], those whose class is one of the K and ``present`` (bool [K])."""
    last = len(present) - 1
    return (targets >= 0) & (targets <= last) & present[targets.clamp(0, last)]


def with_class(targets: Tensor, label_space: LabelSpace) -> Tensor:
    """Which pixels count: bool [N]; what is no class's id, such as a 255 that was never encoded, does not."""
    return (targets >= 0) & (targets < label_space.num_classes)


def pixels_by_dataset(targets: Tensor, label_space: LabelSpace) -> list[tuple[Tensor, range]]:
    """The labelled pixels of each dataset that has some.

    Args:
        targets: int64 [N] global ids; what is no class's id counts for nothing.
        label_space: whose classes these are.

    Returns:
        (indices of pixels int64 [n], ids of the dataset's classes) a dataset.
    """
    ranges = [label_space.classes_of(dataset) for dataset in label_space.datasets]
    ends = torch.tensor([own.stop for own in ranges], device=targets.device)
    pixels = with_class(targets, label_space).nonzero()[:, 0]
    datasets = torch.bucketize(targets[pixels], ends, right=True)
    sizes = torch.bincount(datasets, minlength=len(ranges)).tolist()
    parts = torch.split(pixels[datasets.argsort(stable=True)], sizes)
    return [(part, own) for part, own in zip(parts, ranges, strict=True) if len(part)]


def runs_of_equal_rows(rows: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(first, end, row) for each run of equal rows of [C, K].

    Classes of one dataset stand side by side, so a dataset's denominator comes up as one run.
    """
    changes = (rows[1:] != rows[:-1]).any(1).nonzero()[:, 0] + 1
    ends = [*changes.tolist(), len(rows)]
    for first, end in zip([0, *ends], ends, strict=False):
        if first < end:
            yield first, end, rows[first]


def pixels_by_columns(
    targets: Tensor, counted: Tensor, present: Tensor, denominator: Tensor | None
) -> list[tuple[Tensor, Tensor]]:
    """The counted pixels, together where the same classes stand in their denominators.

    Args:
        targets: int64 [N] class ids.
        counted: bool [N].
        present: bool [K].
        denominator: bool [K, K], by the pixel's class; None: all. Its own class stands there in any case.

    Returns:
        (indices of pixels int64 [n], ids of classes int64 [m]) a group.
    """
    if denominator is None:
        pixels = counted.nonzero()[:, 0]
        return [(pixels, present.nonzero()[:, 0])] if len(pixels) else []
    pixels, classes, sizes = pixels_by_class(targets, counted)
    inside = denominator[classes] & present  # [C, K]
    inside[torch.arange(len(classes), device=classes.device), classes] = True
    return split_by_rows(pixels, sizes, inside)


def split_by_rows(pixels: Tensor, sizes: list[int], inside: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Pixels in order of class, together where their classes have equal rows.

    Args:
        pixels: int64 [P], see :func:`pixels_by_class`.
        sizes: how many pixels each of C classes has.
        inside: bool [C, M].

    Returns:
        (indices of pixels int64 [n], indices of True in their row int64 [m]) a group.
    """
    runs = [(sum(sizes[first:end]), row.nonzero()[:, 0]) for first, end, row in runs_of_equal_rows(inside)]
    parts = torch.split(pixels, [count for count, _ in runs])
    return [(part, columns) for part, (_, columns) in zip(parts, runs, strict=True)]


def place_of(columns: Tensor, num_classes: int) -> Tensor:
    """Where each class stands among the ``columns``, int64 [K]; -1 where it does not."""
    place = columns.new_full((num_classes,), -1)
    return place.index_copy_(0, columns, torch.arange(len(columns), device=columns.device))
