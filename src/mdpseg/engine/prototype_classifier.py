"""Starts a classifier where the target's own class prototypes are, instead of at random."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.bank import region_means
from mdpseg.data.bad_files import BadFiles
from mdpseg.data.loader import Reader
from mdpseg.engine.quick_inference import quick_inference
from mdpseg.errors import BadFileError
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
    bad_files: BadFiles | None = None,
) -> None:
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
        bad_files: takes note of images that cannot be read, which are left out; default: the first one stops.
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
            images = network.pad(sample.image[None].to(device))  # [1, 3, H, W]
            targets = torch.full((1, *images.shape[-2:]), -1)
            height, width = sample.mask.shape
            targets[0, :height, :width] = label_space.encode(sample.mask, label_space.datasets[0], file=sample.id)
            features = F.normalize(classifier.normalised(network.features(images)).float(), dim=1)  # [1, C, h, w]
            found = region_means(features, at_size(targets.to(device), _size(features)), label_space.num_classes)
            regions.append(found[0])
            classes.append(found[1])
    network.train()
    if not regions:  # no image could be read
        return
    weight, bias = classifier.rows
    channels = weight.shape[1]
    every = torch.cat(classes)
    sums = torch.zeros(label_space.num_classes, channels, device=device).index_add_(0, every, torch.cat(regions))
    seen = torch.bincount(every, minlength=label_space.num_classes) > 0
    rows = F.normalize(sums, dim=1) / (temperature * channels**0.5)  # a layer norm's output has length sqrt(C)
    weight[seen] = rows[seen]
    bias[seen] = 0


def _size(maps: Tensor) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]
