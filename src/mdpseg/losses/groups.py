"""Which pixels share their denominator: for these the logits of other classes need not be computed, nor masked.

How many pixels a group has decides what is computed, so the host must know it: it asks a GPU once or twice a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mdpseg.batch import on_device_of
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
    return weighted_mean(streamed_sum(embeddings, prototypes, groups, w, temperature), w.where(counted, 0))


def pixels_by_class(targets: Tensor, counted: Tensor, num_classes: int) -> tuple[Tensor, Tensor, list[int]]:
    """The counted pixels in order of class.

    Args:
        targets: int64 [N] class ids.
        counted: bool [N].
        num_classes: K.

    Returns:
        Indices of pixels int64 [P]; the classes that occur int64 [C], on the CPU; and how many pixels each has.
    """
    order, sizes = _sorted_by(targets.where(counted, num_classes), num_classes)
    classes = sizes.nonzero()[:, 0]
    return order[: int(sizes.sum())], classes, sizes[classes].tolist()


def _sorted_by(keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices of ``keys`` int64 [N], none negative, in their order; how many are 0, 1, ... count - 1, on the CPU."""
    ordered, order = keys.sort(stable=True)
    ends = torch.searchsorted(ordered, torch.arange(1, count + 1, device=keys.device)).cpu()
    return order, ends.diff(prepend=ends.new_zeros(1))


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
    ends = on_device_of(targets, torch.tensor([own.stop for own in ranges]))
    datasets = torch.bucketize(targets, ends, right=True).where(with_class(targets, label_space), len(ranges))
    order, sizes = _sorted_by(datasets, len(ranges))
    parts = torch.split(order[: int(sizes.sum())], sizes.tolist())
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
    pixels, classes, sizes = pixels_by_class(targets, counted, len(present))
    runs = split_by_rows(pixels, sizes, denominators_of(denominator, classes, present))
    return [(part, on_device_of(targets, columns)) for part, columns in runs]


def denominators_of(denominator: Tensor, classes: Tensor, present: Tensor | None = None) -> Tensor:
    """Which classes stand in the denominators of some: bool [C, K], each of them in its own.

    Args:
        denominator: bool [K, K].
        classes: int64 [C], on the CPU.
        present: bool [K], classes that may stand there; default: all.
    """
    classes = on_device_of(denominator, classes)
    inside = denominator[classes] if present is None else denominator[classes] & present
    return inside.scatter_(1, classes[:, None], True)


def split_by_rows(pixels: Tensor, sizes: list[int], inside: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Pixels in order of class, together where their classes have equal rows.

    Args:
        pixels: int64 [P], see :func:`pixels_by_class`.
        sizes: how many pixels each of C classes has.
        inside: bool [C, M].

    Returns:
        (indices of pixels int64 [n]; indices of True in their row int64 [m], on the CPU) a group.
    """
    inside = inside.cpu()
    runs = [(sum(sizes[first:end]), row.nonzero()[:, 0]) for first, end, row in runs_of_equal_rows(inside)]
    parts = torch.split(pixels, [count for count, _ in runs])
    return [(part, columns) for part, (_, columns) in zip(parts, runs, strict=True)]


def place_of(columns: Tensor, num_classes: int) -> Tensor:
    """Where each class stands among the ``columns``, int64 [K]; -1 where it does not."""
    place = columns.new_full((num_classes,), -1)
    return place.index_copy_(0, columns, torch.arange(len(columns), device=columns.device))
