"""Class probabilities of one image of any size: whole or by sliding window, mirrored, at several scales."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.config import EvalConfig
from mdpseg.engine.blocks import blocks
from mdpseg.network import SegmentationNetwork


@torch.no_grad()
def class_ids(network: SegmentationNetwork, image: Tensor, config: EvalConfig) -> Tensor:
    """The prediction: the class of the highest score at each pixel; very large images are taken block by block.

    Args:
        network: with a classifier, in evaluation mode.
        image: uint8 [3, H, W] on the network's device, or several of one size, [B, 3, H, W].
        config: window, flip, scales.

    Returns:
        int64 [H, W], or [B, H, W].
    """
    if image.dim() == 3:
        return class_ids(network, image[None], config)[0]
    height, width = image.shape[-2:]
    found = torch.empty(len(image), height, width, dtype=torch.int64, device=image.device)
    for block in blocks(height, width):
        found[:, *block.inner] = ids_of_part(network, image[:, :, *block.outer], config)[:, *block.within()]
    return found


@torch.no_grad()
def ids_of_part(network: SegmentationNetwork, image: Tensor, config: EvalConfig) -> Tensor:
    """As :func:`class_ids`, of images or parts [B, 3, H, W] that are not too large."""
    height, width = image.shape[-2:]
    if config.flip or config.scales != [1.0] or (config.window is not None and config.window < max(height, width)):
        return class_scores(network, image, config).argmax(1)
    padded = network.pad(image)
    size = padded.shape[-2], padded.shape[-1]
    return enlarged_argmax(network(padded).float(), size)[:, :height, :width]


def enlarged_argmax(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """The argmax of bilinearly enlarged logits; only classes that can win somewhere are enlarged.

    An enlarged value lies between the lowest and the highest of its four neighbours. So a class whose highest is below
    another's lowest around every point wins nowhere; of 150 classes most are out.

    Args:
        logits: float32 [B, K, h, w].
        size: (H, W), each at least as large as h and w.

    Returns:
        int64 [B, H, W].
    """
    lowest, highest = logits, logits
    for side in (2, 3):  # over neighbours, [B, K, h - 1, w - 1]
        count = max(1, logits.shape[side] - 1)
        lowest = torch.minimum(lowest.narrow(side, 0, count), lowest.narrow(side, -count, count))
        highest = torch.maximum(highest.narrow(side, 0, count), highest.narrow(side, -count, count))
    rounding = 1e-5 * logits.abs().amax()
    can_win = (highest >= lowest.amax(1, keepdim=True) - rounding).amax((0, 2, 3))  # [K]
    classes = can_win.nonzero()[:, 0]
    if not len(classes):  # logits that are not numbers
        classes = torch.arange(logits.shape[1], device=logits.device)
    kept = logits[:, classes].contiguous(memory_format=torch.channels_last)
    return classes[F.interpolate(kept, size, mode="bilinear", align_corners=False).argmax(1)]


@torch.no_grad()
def class_scores(network: SegmentationNetwork, image: Tensor, config: EvalConfig) -> Tensor:
    """Scores whose argmax is the prediction: logits, or mean probabilities where several views are averaged.

    Args:
        network: with a classifier, in evaluation mode.
        image: uint8 [3, H, W] on the network's device, or several of one size, [B, 3, H, W].
        config: window, flip, scales.

    Returns:
        float32 [K, H, W], or [B, K, H, W].
    """
    if image.dim() == 3:
        return class_scores(network, image[None], config)[0]
    views = [(scale, mirrored) for scale in config.scales for mirrored in ((False, True) if config.flip else (False,))]
    if len(views) == 1 and config.scales == [1.0]:
        return _logits(network, image.float(), config)
    total = torch.zeros((), device=image.device)
    for scale, mirrored in views:
        size = [max(1, round(side * scale)) for side in image.shape[-2:]]
        view = F.interpolate(image.float(), size, mode="bilinear", align_corners=False, antialias=True)
        scores = _logits(network, view.flip(-1) if mirrored else view, config)
        scores = scores.flip(-1) if mirrored else scores
        scores = F.interpolate(scores, image.shape[-2:], mode="bilinear", align_corners=False)
        total = total + scores.softmax(1)
        del scores  # before the next view's
    return total.div_(len(views))


def class_probabilities(network: SegmentationNetwork, image: Tensor, config: EvalConfig) -> Tensor:
    """As :func:`class_scores`, always probabilities."""
    scores = class_scores(network, image, config)
    averaged = config.flip or config.scales != [1.0]  # these are probabilities already
    return scores if averaged else scores.softmax(-3)


def _logits(network: SegmentationNetwork, images: Tensor, config: EvalConfig) -> Tensor:
    """Logits [B, K, H, W] of images [B, 3, H, W], averaged where windows overlap."""
    window = config.window
    height, width = images.shape[-2:]
    if window is None or (height <= window and width <= window):
        return network.logits(images)
    total = counts = None
    for rows, columns in windows(height, width, window, config.stride or max(1, window * 2 // 3)):
        place = (..., rows, columns)
        logits = network.logits(images[place])
        if total is None or counts is None:
            total = logits.new_zeros(*logits.shape[:2], height, width)
            counts = logits.new_zeros(1, 1, height, width)
        total[place] += logits
        counts[place] += 1
    assert total is not None
    assert counts is not None
    return total.div_(counts)


def windows(height: int, width: int, window: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of windows that cover an image; smaller than ``window`` only where the image is."""
    for top in _starts(height, window, stride):
        for left in _starts(width, window, stride):
            yield slice(top, min(top + window, height)), slice(left, min(left + window, width))


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along one side: every ``stride``, the last one flush with the end."""
    last = max(0, length - window)
    return [*range(0, last, stride), last]
