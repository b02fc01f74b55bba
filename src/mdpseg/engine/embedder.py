"""Embeddings of an image of any size."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from mdpseg.engine.blocks import blocks
from mdpseg.network import STRIDE, Classifier, SegmentationNetwork


class Embedder:
    """Images to unit vectors: a projection's, or of a fine-tuned network its normalised decoder features.

    Args:
        network: with either head, in evaluation mode.
        fabric: device and precision.
    """

    def __init__(self, network: SegmentationNetwork, fabric: Fabric) -> None:
        self._network, self._fabric = network, fabric

    @cached_property
    def stride(self) -> int:
        """How many pixels along each side share one embedding."""
        side = max(2 * STRIDE, self._network.least_side)  # smaller ones are padded
        return side // self._whole(torch.zeros(1, 3, side, side, dtype=torch.uint8)).shape[2]

    def __call__(self, pixels: Tensor) -> Tensor:
        """Embeds one image.

        Args:
            pixels: uint8 [3, H, W].

        Returns:
            float32 [D, ceil(H / stride), ceil(W / stride)] of unit length, on the network's device.
        """
        height, width = pixels.shape[1:]
        size = -(-height // self.stride), -(-width // self.stride)
        result = None
        for block in blocks(height, width):
            cells = self._whole(pixels[None, :, *block.outer])[0][:, *block.within(self.stride)]
            if result is None:
                result = cells.new_empty(len(cells), *size)
            rows, columns = (slice(part.start // self.stride, -(-part.stop // self.stride)) for part in block.inner)
            result[:, rows, columns] = cells
        assert result is not None
        return result

    @torch.no_grad()
    def _whole(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] of any size -> float32 [B, D, h, w], with the cells of the padding."""
        network, head = self._network, self._network.head
        with self._fabric.autocast():
            features = network.features(network.pad(images.to(self._fabric.device)))
            return (
                F.normalize(head.normalised(features).float(), dim=1)
                if isinstance(head, Classifier)
                else head(features)
            )
