"""Class probabilities of one image of any size: whole or by sliding window, mirrored, at several scales."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.config import EvalConfig
from mdpseg.network import SegmentationNetwork


@torch.no_grad()
def class_scores(network: SegmentationNetwork, image: Tensor, config: EvalConfig) -> Tensor:
    """Scores whose argmax is the prediction: logits, or mean probabilities where several views are averaged.

    Args:
        network: with a classifier, in evaluation mode.
        image: uint8 [3, H, W] on the network's device.
        config: window, flip, scales.

    Returns:
        float32 [K, H, W].
    """
    views = [(scale, mirrored) for scale in config.scales for mirrored in ((False, True) if config.flip else (False,))]
    if len(views) == 1 and config.scales == [1.0]:
        return _logits(network, image[None].float(), config)[0]
    total = torch.zeros((), device=image.device)
    for scale, mirrored in views:
        size = [max(1, round(side * scale)) for side in image.shape[-2:]]
        view = F.interpolate(image[None].float(), size, mode="bilinear", align_corners=False, antialias=True)
        scores = _logits(network, view.flip(-1) if mirrored else view, config)
        scores = scores.flip(-1) if mirrored else scores
        scores = F.interpolate(scores, image.shape[-2:], mode="bilinear", align_corners=False)
        total = total + scores.softmax(1)[0]
    return total / len(views)


def _logits(network: SegmentationNetwork, images: Tensor, config: EvalConfig) -> Tensor:
    """Logits [1, K, H, W] of images [1, 3, H, W], averaged where windows overlap."""
    window = config.window
    height, width = images.shape[-2:]
    if window is None or (height <= window and width <= window):
        return network.logits(images)
    stride = config.stride or max(1, window * 2 // 3)
    total = counts = None
    for top in _starts(height, window, stride):
        for left in _starts(width, window, stride):
            place = (..., slice(top, min(top + window, height)), slice(left, min(left + window, width)))
            logits = network.logits(images[place])
            if total is None or counts is None:
                total = logits.new_zeros(1, logits.shape[1], height, width)
                counts = logits.new_zeros(1, 1, height, width)
            total[place] += logits
            counts[place] += 1
    assert total is not None
    assert counts is not None
    return total / counts


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along one side: every ``stride``, the last one flush with the end."""
    last = max(0, length - window)
    return [*range(0, last, stride), last]
