"""Supervised pretraining over a concatenated label space: the baseline beside the method."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from mdpseg.batch import Batch, pixel_rows
from mdpseg.label_space import LabelSpace
from mdpseg.losses.union_classification import union_classification
from mdpseg.network import Classifier, SegmentationNetwork
from mdpseg.objectives.auxiliary import AuxiliaryHeads
from mdpseg.objectives.pixels import labelled_maps


class UnionSupervised(nn.Module):
    """Cross-entropy where each pixel's softmax runs over its own dataset's classes.

    Args:
        network: encoder and decoder; gets a classifier over all K classes.
        label_space: the K classes.
        auxiliary_weight: of the same loss on each of the encoder's last maps.
    """

    def __init__(self, network: SegmentationNetwork, label_space: LabelSpace, auxiliary_weight: float = 0.0) -> None:
        super().__init__()
        network.set_classifier(label_space.num_classes)
        self.network, self.label_space = network, label_space
        self.auxiliary = auxiliary_classifiers(network, label_space, auxiliary_weight)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a mixed batch, and its parts."""
        maps = self.network.encode(batch.images)
        loss_of = partial(supervised_loss, batch, label_space=self.label_space)
        losses = {"loss": loss_of(self.network.decode(maps), self.network.classifier)}
        return self.auxiliary.added(losses, maps, loss_of)

    def after_step(self) -> None:
        """Nothing follows the network here."""


def auxiliary_classifiers(network: SegmentationNetwork, label_space: LabelSpace, weight: float) -> AuxiliaryHeads:
    """Classifiers over all classes on the encoder's maps."""
    return AuxiliaryHeads(network, lambda channels: Classifier(channels, label_space.num_classes), weight)


def supervised_loss(batch: Batch, features: Tensor, classifier: Classifier, label_space: LabelSpace) -> Tensor:
    """Union cross-entropy of a mixed batch, of features [B, C, h, w]."""
    maps, targets, weights = labelled_maps(batch, classifier.normalised(features))
    rows, labels, weights = pixel_rows(maps), targets.flatten(), weights.flatten()
    return union_classification(rows, *classifier.rows, labels, label_space, weights=weights)
