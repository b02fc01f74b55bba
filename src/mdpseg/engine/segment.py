"""Images to masks and probabilities: images of one size run together, large ones block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from mdpseg.config import EvalConfig
from mdpseg.data.image import ImageLike, as_pixels
from mdpseg.data.readers.tiff import Bands
from mdpseg.engine.blocks import blocks
from mdpseg.engine.inference import class_probabilities, ids_of_part
from mdpseg.errors import UserError
from mdpseg.network import SegmentationNetwork

# Bytes of the probabilities that one call returns.
_MOST_PROBABILITIES = 2**31


@dataclass(frozen=True)
class Segmentation:
    """What a model sees in an image.

    Attributes:
        mask: [H, W], index into ``classes``; uint8, or int64 where there are more than 255 classes.
        classes: the K names.
        probabilities: float32 [K, H, W], which sum to 1 over the classes; None if they were left out.
    """

    mask: NDArray[np.uint8] | NDArray[np.int64]
    classes: list[str]
    probabilities: NDArray[np.float32] | None


def segment(
    network: SegmentationNetwork,
    classes: Sequence[str],
    images: Sequence[ImageLike],
    config: EvalConfig,
    fabric: Fabric,
    probabilities: bool,
    batch_size: int,
    bands: Bands,
) -> list[Segmentation]:
    """Segments images of any size, each of which may be a path, a PIL image or an array.

    Args:
        network: [B, 3, H, W] -> logits of the K classes, in evaluation mode.
        classes: the K names.
        images: as :func:`mdpseg.data.image.as_pixels` takes them.
        config: window, flip, scales.
        fabric: device and precision.
        probabilities: whether they are wanted.
        batch_size: how many images of one size run together.
        bands: what is taken of TIFFs.

    Raises:
        UserError: an image cannot be read or is no image, or the probabilities would take more than 2 GiB.
    """
    found: list[Segmentation] = []
    wanted = 0  # bytes of probabilities
    for start in range(0, len(images), batch_size):
        pixels = [as_pixels(image, bands) for image in images[start : start + batch_size]]
        wanted += sum(4 * len(classes) * one.shape[1] * one.shape[2] for one in pixels)
        if probabilities and wanted > _MOST_PROBABILITIES:
            raise UserError(
                f"The probabilities of {len(classes)} classes at every pixel would take over "
                f"{_MOST_PROBABILITIES >> 30} GiB; leave them out (probabilities=False), or give fewer or smaller "
                "images."
            )
        for _, alike in groupby(pixels, key=lambda one: one.shape):
            found += _segment_batch(network, classes, torch.stack(list(alike)), config, fabric, probabilities)
    return found


@torch.no_grad()
def _segment_batch(
    network: SegmentationNetwork,
    classes: Sequence[str],
    images: Tensor,
    config: EvalConfig,
    fabric: Fabric,
    probabilities: bool,
) -> list[Segmentation]:
    """Of images [B, 3, H, W] of one size."""
    count, _, height, width = images.shape
    masks = np.empty((count, height, width), np.uint8 if len(classes) <= 255 else np.int64)
    shares = np.empty((count, len(classes), height, width), np.float32) if probabilities else None
    for block in blocks(height, width):
        part = images[:, :, *block.outer].to(fabric.device)
        inner = block.within()
        with fabric.autocast():
            if shares is None:
                ids = ids_of_part(network, part, config)[:, *inner]
            else:
                scores = class_probabilities(network, part, config)[:, :, *inner]
                shares[:, :, *block.inner] = scores.cpu().numpy()
                ids = scores.argmax(1)
        masks[:, *block.inner] = ids.cpu().numpy()
    nothing = [None] * count
    return [
        Segmentation(mask, list(classes), share)
        for mask, share in zip(masks, nothing if shares is None else shares, strict=True)
    ]
