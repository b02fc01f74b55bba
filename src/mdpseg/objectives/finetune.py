"""Fine-tuning on the target: cross-entropy at the labels' own resolution."""

from __future__ import annotations

from torch import Tensor, nn

from mdpseg.batch import Batch
from mdpseg.label_space import LabelSpace
from mdpseg.losses.enlarged_cross_entropy import enlarged_cross_entropy
from mdpseg.losses.reduction import weighted_mean
from mdpseg.network import SegmentationNetwork


class Finetune(nn.Module):
    """Cross-entropy over the target dataset's classes; logits are enlarged to the crop before they are judged.

    Args:
        network: encoder and decoder; its head is replaced by a fresh classifier.
        label_space: the target's classes.
    """

    def __init__(self, network: SegmentationNetwork, label_space: LabelSpace) -> None:
        super().__init__()
        network.set_classifier(label_space.num_classes)
        self.network = network

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a batch; 0 where no pixel is labelled."""
        total = enlarged_cross_entropy(self.network(batch.images), batch.targets)
        return {"loss": weighted_mean(total, (batch.targets >= 0).float())}

    def after_step(self) -> None:
        """Nothing follows the network here."""
