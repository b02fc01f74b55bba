"""Supervised pretraining over a concatenated label space: the baseline beside the method."""

from __future__ import annotations

from torch import Tensor, nn

from mdpseg.batch import Batch
from mdpseg.label_space import LabelSpace
from mdpseg.losses.union_classification import union_classification
from mdpseg.network import Classifier, SegmentationNetwork
from mdpseg.objectives.pixels import labelled_maps, pixel_rows


class UnionSupervised(nn.Module):
    """Cross-entropy where each pixel's softmax runs over its own dataset's classes.

    Args:
        network: encoder and decoder; gets a classifier over all K classes.
        label_space: the K classes.
    """

    def __init__(self, network: SegmentationNetwork, label_space: LabelSpace) -> None:
        super().__init__()
        network.set_classifier(label_space.num_classes)
        self.network, self.label_space = network, label_space

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a mixed batch."""
        features = self.network.features(batch.images)
        return {"loss": supervised_loss(batch, features, self.network.classifier, self.label_space)}

    def after_step(self) -> None:
        """Nothing follows the network here."""


def supervised_loss(batch: Batch, features: Tensor, classifier: Classifier, label_space: LabelSpace) -> Tensor:
    """Union cross-entropy of a mixed batch, of decoder features [B, C, h, w]."""
    maps, targets, weights = labelled_maps(batch, classifier.normalised(features))
    rows, labels, weights = pixel_rows(maps), targets.flatten(), weights.flatten()
    return union_classification(rows, *classifier.rows, labels, label_space, weights=weights)
