"""What an ONNX file computes: pixels of 0 to 255 in; a network's logits or embeddings, or an encoder's maps, out."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mdpseg.export.source import Source
from mdpseg.network import STRIDE, SegmentationNetwork


class Graph(nn.Module, ABC):
    """Pads images of any size as :meth:`SegmentationNetwork.pad` does with those over 32 pixels, and runs a network.

    Args:
        network: encoder, decoder and head.

    Attributes:
        names: what the outputs are called, in order.
        noun: what one number of an output is, for messages.
    """

    names: tuple[str, ...]
    noun: str

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network
        self.grey = float(network.mean.mean() * 255)
        self.least = network.least_side

    @abstractmethod
    def expected(self, images: Tensor) -> Sequence[Tensor]:
        """What torch gives for float32 images [B, 3, H, W] of 0..255, by the network's own way of padding."""

    def axes(self) -> dict[str, dict[int, str]]:
        """Names of the sides that are free, of the images and of each output."""
        maps = {name: {0: "batch", 2: f"{name}_height", 3: f"{name}_width"} for name in self.names}
        return {"images": {0: "batch", 2: "height", 3: "width"}, **maps}

    @abstractmethod
    def usage(self) -> str:
        """The line that runs an onnxruntime session on ``images``."""

    def padded(self, images: Tensor) -> Tensor:
        """Grey below and to the right, in operators that a graph has for any size."""
        height, width = images.shape[-2:]
        return F.pad(images, (0, self._more(width), 0, self._more(height)), value=self.grey)

    def _more(self, side: int) -> int:
        more = -side % STRIDE
        if not self.least:
            return more
        short = self.least - side - more
        return more + short * (short > 0)  # max() would stand in the graph as what it was for the traced size


class Logits(Graph):
    """Logits [B, K, H, W], at the images' own size."""

    names = ("logits",)
    noun = "logit"

    def forward(self, images: Tensor) -> Tensor:
        """Pads, predicts, enlarges and cuts."""
        height, width = images.shape[-2:]
        padded = self.padded(images)
        logits = F.interpolate(self.network(padded), padded.shape[-2:], mode="bilinear", align_corners=False)
        return logits[..., :height, :width]

    def expected(self, images: Tensor) -> Sequence[Tensor]:
        """The network's logits."""
        return (self.network.logits(images),)

    def axes(self) -> dict[str, dict[int, str]]:
        """The images' names: they have the images' sides."""
        sides = {0: "batch", 2: "height", 3: "width"}
        return {"images": sides, "logits": sides}

    def usage(self) -> str:
        """One line."""
        return (
            'logits = session.run(["logits"], {"images": images})[0]  # float32 [B, 3, H, W] of 0..255 -> [B, K, H, W]'
        )


class Embeddings(Graph):
    """A pretraining's embeddings [B, D, h, w] of unit length, one for every few pixels of the padded images."""

    names = ("embeddings",)
    noun = "coordinate"

    def forward(self, images: Tensor) -> Tensor:
        """Pads and embeds."""
        embeddings: Tensor = self.network(self.padded(images))
        return embeddings

    def expected(self, images: Tensor) -> Sequence[Tensor]:
        """The network's output."""
        return (self.network(self.network.pad(images)),)

    def usage(self) -> str:
        """One line, and what to know of sides."""
        return (
            'embeddings = session.run(["embeddings"], {"images": images})[0]  # [B, 3, H, W] of 0..255\n'
            "# [B, D, h, w], of unit length along D\n"
            f"# sides that are no multiples of {STRIDE} are padded below and to the right"
        )


class Maps(Graph):
    """The encoder's maps, as its decoder gets them: ``stage1`` has stride 4, ``stage2`` 8 and so on, if not dilated.

    ``stage0``, of stride 2, is there where the encoder has one.
    """

    noun = "feature"

    def __init__(self, network: SegmentationNetwork) -> None:
        alone = copy.copy(network)  # without the weights that no map needs
        alone._modules = {**network._modules, "decoder": nn.Identity(), "head": nn.Identity()}
        super().__init__(alone)
        # the first are the images; a map without channels stands where the encoder has none of that stride
        channels = network.encoder.out_channels
        self.taken = [level for level in range(1, len(channels)) if channels[level]]
        self.names = tuple(f"stage{level - 1}" for level in self.taken)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pads and encodes."""
        return self._encoded(self.padded(images))

    def expected(self, images: Tensor) -> Sequence[Tensor]:
        """The encoder's maps."""
        return self._encoded(self.network.pad(images))

    def _encoded(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.network.encoder((images / 255 - self.network.mean) / self.network.std)
        return tuple(maps[level] for level in self.taken)

    def usage(self) -> str:
        """One line, and what to know of sides."""
        return (
            f"maps = session.run({list(self.names)}, {{'images': images}})  # [B, 3, H, W] of 0..255 -> a map a stage\n"
            f"# sides that are no multiples of {STRIDE} are padded below and to the right"
        )


def graph_of(source: Source, part: str) -> Graph:
    """What is exported of a run's network."""
    if part == "encoder":
        return Maps(source.network)
    return (Logits if source.head == "classifier" else Embeddings)(source.network)
