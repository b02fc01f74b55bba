"""One shared network, one classification head a dataset: the baseline that most projects start with."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from mdpseg import ranks
from mdpseg.batch import Batch, pixel_rows
from mdpseg.label_space import LabelSpace
from mdpseg.losses.union_classification import union_classification
from mdpseg.network import Classifier, SegmentationNetwork
from mdpseg.objectives.pixels import labelled_maps
from mdpseg.objectives.supervised import auxiliary_classifiers


class MultiHead(nn.Module):
    """A classifier for each dataset on shared features; the loss is the mean of the heads' own mean losses.

    The heads lie in one classifier over all K classes, as rows; a head's softmax runs over its own rows. What tells it
    from :class:`mdpseg.objectives.supervised.UnionSupervised` is that every dataset of a batch counts the same, however
    few of the pixels are its own.

    Args:
        network: encoder and decoder; gets the heads.
        label_space: the K classes.
        auxiliary_weight: of the same loss on each of the encoder's last maps.
    """

    dataset_of_class: Tensor

    def __init__(self, network: SegmentationNetwork, label_space: LabelSpace, auxiliary_weight: float = 0.0) -> None:
        super().__init__()
        network.set_classifier(label_space.num_classes)
        self.network, self.label_space = network, label_space
        self.auxiliary = auxiliary_classifiers(network, label_space, auxiliary_weight)
        self.register_buffer("dataset_of_class", label_space.dataset_of_class(), persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a mixed batch, and its parts."""
        maps = self.network.encode(batch.images)
        loss_of = partial(self._loss, batch)
        losses = {"loss": loss_of(self.network.decode(maps), self.network.classifier)}
        return self.auxiliary.added(losses, maps, loss_of)

    def _loss(self, batch: Batch, features: Tensor, classifier: Classifier) -> Tensor:
        maps, targets, weights = labelled_maps(batch, classifier.normalised(features))
        targets = targets.flatten()
        dataset = self.dataset_of_class[targets.clamp_min(0)].where(targets >= 0, -1)
        weights = weights.flatten()
        # not index_add_, which adds one by one: millions of pixels of weight 0.3 would be rounded
        each = [weights.where(dataset == number, 0).sum() for number in range(len(self.label_space.datasets))]
        mass = ranks.summed(torch.stack(each))
        balanced = weights / mass[dataset].clamp_min(1e-6)  # each dataset's pixels weigh 1 together
        rows = pixel_rows(maps)
        return union_classification(rows, *classifier.rows, targets, self.label_space, weights=balanced)

    def after_step(self) -> None:
        """Nothing follows the network here."""
