"""Starts a fine-tuning's classifier at the target's class prototypes, so that the first steps need not find them."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn

from mdpseg.bank import region_means
from mdpseg.data.loader import Reader
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace
from mdpseg.network import Classifier, SegmentationNetwork
from mdpseg.objectives.pixels import at_size

# More images change a mean little and cost a forward pass each.
MOST_IMAGES = 500
# Logit of a class that no image shows: never the first guess.
ABSENT = -5.0


@torch.no_grad()
def start_at_prototypes(network: SegmentationNetwork, reader: Reader, label_space: LabelSpace, fabric: Fabric) -> None:
    """Sets the classifier's weights to the centred, unit-length class prototypes of the labelled images.

    A prototype is the two-step average of :mod:`mdpseg.bank`, taken of the decoder's layer-normed features: per image
    the mean of each class's pixels, then the mean over images. The classifier is then the nearest prototype by cosine.

    Args:
        network: with a :class:`Classifier` as head; its other weights stay as they are.
        reader: the labelled images; at most 500 are looked at, evenly spread.
        label_space: of the reader's dataset alone.
        fabric: device and precision.

    Raises:
        UserError: an image cannot be read, or no pixel is labelled.
    """
    assert isinstance(network.head, Classifier)
    norm, linear = network.head[0], cast(nn.Conv2d, network.head[1])
    network.eval()
    dim, classes = network.feature_channels, label_space.num_classes
    sums = torch.zeros(classes, dim, device=fabric.device)
    for index in range(0, len(reader), -(-len(reader) // MOST_IMAGES)):
        sample = reader[index]
        image, targets = sample.image[None].to(fabric.device), label_space.encode(sample.mask, reader.name)[None]
        padded = network.pad(image)
        with fabric.autocast():
            features = norm(network.features(padded)).float()  # [1, C, h, w]
        below, right = (big - small for big, small in zip(padded.shape[-2:], image.shape[-2:], strict=True))
        targets = F.pad(targets, (0, right, 0, below), value=-1).to(fabric.device)
        regions, found = region_means(features, at_size(targets, (features.shape[2], features.shape[3])), classes)
        sums.index_add_(0, found, regions)
    present = sums.abs().sum(1) > 0
    if not present.any():
        raise UserError(f"{reader.name}: no pixel of the training images is labelled; there is nothing to learn from.")
    means = F.normalize(sums, dim=1)  # [K, C]
    centre = means[present].mean(0)
    weight = F.normalize(means - centre, dim=1) * present[:, None]
    # features have length sqrt(C), the means length 1
    bias = -(weight @ centre) * dim**0.5
    linear.weight.copy_(weight[:, :, None, None])
    assert linear.bias is not None
    linear.bias.copy_(torch.where(present, bias, torch.full_like(bias, ABSENT)))
    network.train()
