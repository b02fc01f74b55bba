"""Pixel-to-pixel: supervised contrast inside one image, against the momentum embeddings of that image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mdpseg.batch import on_device_of, pixel_rows
from mdpseg.losses.groups import denominators_of, split_by_rows
from mdpseg.losses.pixel_to_region import contrast_with
from mdpseg.losses.reduction import pixel_weights, weighted_mean
from mdpseg.losses.streamed import Group, streamed_sum


def pixel_to_pixel(
    embeddings: Tensor,
    targets: Tensor,
    keys: Tensor,
    temperature: float,
    *,
    denominator: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """The contrast of :func:`mdpseg.losses.pixel_to_region`, each pixel against all pixels of its own image.

    Args:
        embeddings: [B, D, H, W], any float dtype.
        targets: int64 [B, H, W] global ids, -1 counts for nothing.
        keys: [B, D, H, W], the momentum network's embeddings of the same images; a pixel's own key is one of its
            positives.
        temperature: tau.
        denominator: bool [K, K], whether pixels of class j are negatives of a pixel of class c; default all.
        weights: float [B, H, W], each pixel's weight in the mean over all images; default 1.

    Returns:
        A float32 scalar.
    """
    classes = targets.flatten()  # [B H W]
    groups = [
        Group(pixels, columns, contrast_with(classes, classes[columns]))
        for pixels, columns in _pixels_by_image(targets.flatten(1), denominator)
    ]
    counted = classes >= 0 if denominator is None else (classes >= 0) & (classes < len(denominator))
    w = pixel_weights(None if weights is None else weights.flatten(), classes)
    total = streamed_sum(pixel_rows(embeddings), pixel_rows(keys), groups, w, temperature)
    return weighted_mean(total, w.where(counted, 0))


def _pixels_by_image(targets: Tensor, denominator: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """The labelled pixels of each image [n] and their positives and negatives [m], both in order of class.

    How many pixels of a class an image has is asked of a GPU for all images at once.

    Args:
        targets: int64 [B, P].
        denominator: bool [K, K] or None.

    Yields:
        Numbers int64 among the B P pixels.
    """
    ordered, order = targets.sort(dim=1, stable=True)  # what is not labelled comes first
    order += torch.arange(len(order), device=order.device)[:, None] * order.shape[1]
    if denominator is None:
        for image, count in zip(order, (targets >= 0).sum(1).tolist(), strict=True):
            if count:
                labelled = image[len(image) - count :]
                yield labelled, labelled
        return
    denominator = denominator.cpu()
    borders = torch.arange(len(denominator) + 1, device=targets.device).expand(len(targets), -1).contiguous()
    for image, ends in zip(order, torch.searchsorted(ordered, borders).cpu(), strict=True):
        sizes = ends.diff()
        classes = sizes.nonzero()[:, 0]
        labelled, sizes = image[int(ends[0]) : int(ends[-1])], sizes[classes]
        inside = denominators_of(denominator, classes)[:, classes.repeat_interleave(sizes)]  # [C, n]
        for pixels, columns in split_by_rows(labelled, sizes.tolist(), inside):
            yield pixels, labelled[on_device_of(labelled, columns)]
