"""Starts a classifier where the target's own class prototypes are, instead of at random."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.bank import region_sums
from mdpseg.data.bad_files import BadFiles
from mdpseg.data.loader import Reader
from mdpseg.engine.blocks import LARGEST_WHOLE, SIDE
from mdpseg.engine.inference import windows
from mdpseg.engine.quick_inference import quick_inference
from mdpseg.errors import BadFileError, UserError
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.pixels import at_size

# Enough for a mean; a large target need not be read whole before its first step.
_MOST_IMAGES = 1000


@torch.no_grad()
def start_at_prototypes(
    network: SegmentationNetwork,
    reader: Reader,
    label_space: LabelSpace,
    temperature: float,
    device: torch.device,
    window: int | None = None,
    bad_files: BadFiles | None = None,
) -> list[str]:
    """Sets the classifier's rows to the class prototypes of the target's labelled images.

    The prototype is the method's two-step average (the normalised mean of the images' region embeddings), here of
    normalised decoder features; a pixel's logits are then its cosines with the prototypes over the temperature, as
    pretraining had them (ours; the paper starts at random). A class that no image shows keeps its random row.

    Args:
        network: with a fresh :class:`mdpseg.network.Classifier`; changed in place.
        reader: the target's labelled images.
        label_space: its classes.
        temperature: tau.
        device: where the network runs.
        window: side of the windows in pixels that larger images are taken in; default: whole, but very large ones in
            blocks.
        bad_files: takes note of images that cannot be read, which are left out; default: the first one stops.

    Returns:
        The classes of which no example was found.

    Raises:
        UserError: every image was read, and none has a labelled pixel.
    """
    classifier = network.classifier
    network.to(device).eval()
    regions, classes = [], []
    with quick_inference(network):
        for index in range(0, len(reader), -(-len(reader) // _MOST_IMAGES)):
            try:
                sample = reader[index]
            except BadFileError as fault:
                if bad_files is None:
                    raise
                bad_files.skip(fault)
                continue
            targets = label_space.encode(sample.mask, label_space.datasets[0], file=sample.id)  # [H, W]
            found = _regions(network, sample.image, targets, device, window)
            regions.append(found[0])
            classes.append(found[1])
    network.train()
    names = label_space.class_names(label_space.datasets[0])
    if not regions:  # no image could be read
        return names
    every = torch.cat(classes)
    if not every.numel() and len(regions) == len(reader):
        raise UserError(
            f"{reader.name}: none of its {len(reader)} images has a labelled pixel, so there is nothing to learn; "
            "is everything 255 (ignored) in its masks?"
        )
    weight, bias = classifier.rows
    channels = weight.shape[1]
    sums = torch.zeros(label_space.num_classes, channels, device=device).index_add_(0, every, torch.cat(regions))
    seen = torch.bincount(every, minlength=label_space.num_classes) > 0
    rows = F.normalize(sums, dim=1) / (temperature * channels**0.5)  # a layer norm's output has length sqrt(C)
    weight[seen] = rows[seen]
    bias[seen] = 0
    return [name for name, is_seen in zip(names, seen.tolist(), strict=True) if not is_seen]


def _regions(
    network: SegmentationNetwork, image: Tensor, targets: Tensor, device: torch.device, window: int | None
) -> tuple[Tensor, Tensor]:
    """Region embeddings [R, C] of unit length of an image [3, H, W] with targets [H, W], and their classes [R].

    As :func:`mdpseg.bank.region_means`, but summed window by window, so that memory does not grow with the image.
    """
    height, width = targets.shape
    side = window or max(height, width)
    if height * width > LARGEST_WHOLE:
        side = min(side, SIDE)
    rest = targets.clone()
    sums = torch.zeros_like(network.classifier.rows[0])  # [K, C]
    seen = torch.zeros(len(sums), dtype=torch.bool, device=device)  # [K]
    for place in windows(height, width, side, stride=side):
        features, labels = _features(network, image[:, *place], rest[place], device)
        found, classes = region_sums(features, labels, len(sums))
        sums.index_add_(0, classes, found)
        seen[classes] = True
        rest[place] = -1  # the last windows overlap the ones before
    return F.normalize(sums[seen], dim=1), seen.nonzero()[:, 0]


def _features(
    network: SegmentationNetwork, image: Tensor, targets: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Normalised features [1, C, h, w] of an image or a part of one, and its targets at their size, [1, h, w]."""
    height, width = targets.shape
    images = network.pad(image[None].to(device))
    padded = torch.full((1, *images.shape[-2:]), -1)
    padded[0, :height, :width] = targets
    features = F.normalize(network.classifier.normalised(network.features(images)).float(), dim=1)
    return features, at_size(padded.to(device), (features.shape[-2], features.shape[-1]))
