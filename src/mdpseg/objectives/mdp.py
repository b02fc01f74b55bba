"""Multi-dataset pretraining: pixels against the prototypes of a concatenated label space (arXiv 2106.04121)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdpseg import ranks
from mdpseg.bank import RegionBank, region_means
from mdpseg.batch import Batch, pixel_rows
from mdpseg.config import MethodConfig
from mdpseg.label_space import LabelSpace
from mdpseg.losses import pixel_to_pixel, pixel_to_prototype, pixel_to_region, sparse_coding
from mdpseg.losses.contrast_and_pull import contrast_and_pull
from mdpseg.losses.pixel_to_prototype import drop_lookalikes
from mdpseg.network import Classifier, Projection, SegmentationNetwork, momentum_copy, update_momentum
from mdpseg.objectives.auxiliary import AuxiliaryHeads
from mdpseg.objectives.pixels import labelled_maps, twice_if_blended, with_targets_at
from mdpseg.objectives.pseudo_labels import mine_labels
from mdpseg.objectives.supervised import supervised_loss


class _Compared(NamedTuple):
    """What pixels are compared with in a step.

    Attributes:
        prototypes: [K, D].
        known: bool [K], which of them come from pixels.
        present: bool [K], which take part.
        denominator: bool [K, K], by the pixel's class.
    """

    prototypes: Tensor
    known: Tensor
    present: Tensor
    denominator: Tensor


class MDP(nn.Module):
    """The method, whole; every variant is a setting of :class:`mdpseg.config.MethodConfig`.

    Args:
        network: encoder and decoder; gets a projection head.
        label_space: the K classes.
        config: the method's settings.
        unlabelled: whether batches hold pixels without label, to be mined.
    """

    denominator: Tensor
    not_private: Tensor
    dataset_of_class: Tensor
    seen: Tensor

    def __init__(
        self, network: SegmentationNetwork, label_space: LabelSpace, config: MethodConfig, *, unlabelled: bool = False
    ) -> None:
        super().__init__()
        network.set_projection("mlp" if config.scheme == "mdp-paper" else "linear")
        self.network, self.label_space, self.config, self.unlabelled = network, label_space, config, unlabelled
        dim, classes = network.embedding_dim, label_space.num_classes
        learns = config.bank == "class" and config.prototypes != "bank"
        only_learns = learns and config.prototypes == "learned"
        keys_are_read = not only_learns or unlabelled
        self.momentum_network = momentum_copy(network) if config.momentum and keys_are_read else None
        self.learned = nn.Parameter(F.normalize(torch.randn(classes, dim), dim=1)) if learns else None
        self.bank = None if only_learns else RegionBank(config.bank_size, dim, classes, config.bank_policy)
        self.classifier = Classifier(network.feature_channels, classes) if config.supervised_share else None
        self.auxiliary = AuxiliaryHeads(
            network, lambda channels: Projection(channels, dim, "linear"), config.auxiliary_weight
        )
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))  # whether a class had a pixel so far
        self.register_buffer("denominator", label_space.denominator(config.denominator), persistent=False)
        self.register_buffer("not_private", label_space.denominator("all"), persistent=False)
        self.register_buffer("dataset_of_class", label_space.dataset_of_class(), persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a mixed batch, and its parts."""
        maps = self.network.encode(batch.images)
        features = self.network.decode(maps)  # [B, C, h, w]
        embeddings = self.network.head(features)  # [B, D, h, w]
        keys = self._keys(batch.images, embeddings)
        whole, batch = batch, with_targets_at(batch, (embeddings.shape[2], embeddings.shape[3]))
        self._take_in(keys, batch)
        compared = self._compared()
        losses = self._contrast(batch, embeddings, keys, compared)
        if self.classifier is not None:
            supervised = supervised_loss(batch, features, self.classifier, self.label_space)
            losses["supervised"] = supervised.detach()
            losses["loss"] = torch.lerp(losses["loss"], supervised, self.config.supervised_share)
        return self.auxiliary.added(losses, maps, partial(self._contrast_in_encoder, whole, compared))

    def _contrast(self, batch: Batch, embeddings: Tensor, keys: Tensor, compared: _Compared) -> dict[str, Tensor]:
        """The contrastive loss and its parts, as the bank's kind and sparse coding say."""
        tau = self.config.temperature
        maps, targets, weight_maps = labelled_maps(batch, embeddings)
        prototypes, known, present, denominator = compared
        labels, weights, parts = targets.flatten(), weight_maps.flatten(), {}
        if self.unlabelled:
            pixel_keys, threshold = pixel_rows(twice_if_blended(batch, keys)), self.config.pseudo_label_threshold
            labels, parts["mined"] = mine_labels(labels, pixel_keys, prototypes, known, tau, threshold)
        pixels = pixel_rows(maps), labels
        wide, k, weight = self.not_private, self.config.sparse_k, self.config.sparse_weight
        pulled = self.config.sparse_coding == "pull"
        if self.config.bank != "class":
            if self.config.bank == "none":
                own_keys = twice_if_blended(batch, keys)
                contrast = pixel_to_pixel(maps, targets, own_keys, tau, denominator=denominator, weights=weight_maps)
            else:
                assert self.bank is not None
                regions = self.bank.entries()
                contrast = pixel_to_region(*pixels, *regions, tau, denominator=denominator, weights=weights)
            loss = contrast
            if pulled:
                pull = sparse_coding(*pixels, prototypes, present, tau, k, denominator=wide, weights=weights)
                loss = contrast + weight * pull
        elif pulled:
            loss, contrast, pull = contrast_and_pull(
                *(*pixels, prototypes, present, tau, k, weight),
                denominator=denominator,
                pull_denominator=wide,
                weights=weights,
            )
        else:
            leave_out = k if self.config.sparse_coding == "no_push" else 0
            loss = contrast = pixel_to_prototype(
                *(*pixels, prototypes, present, tau), denominator=denominator, leave_out=leave_out, weights=weights
            )
        parts["contrast"] = contrast.detach()
        if pulled:
            parts["pull"] = pull.detach()
        return {"loss": loss, **parts}

    def _contrast_in_encoder(self, batch: Batch, compared: _Compared, encoder_map: Tensor, head: nn.Module) -> Tensor:
        """Pixel-to-prototype, whatever the contrast on the decoder's features is; without sparse coding."""
        embeddings, targets, weights = labelled_maps(batch, head(encoder_map))
        prototypes, _, present, denominator = compared
        pixels, tau = (pixel_rows(embeddings), targets.flatten()), self.config.temperature
        return pixel_to_prototype(
            *(*pixels, prototypes, present, tau), denominator=denominator, weights=weights.flatten()
        )

    @torch.no_grad()
    def _keys(self, images: Tensor, embeddings: Tensor) -> Tensor:
        """The momentum network's embeddings; with momentum 0 the network's own, at no extra forward pass."""
        if self.momentum_network is None:
            return embeddings.detach()
        keys: Tensor = self.momentum_network(images)
        return keys

    def _take_in(self, keys: Tensor, batch: Batch) -> None:
        """Before the loss: notes the classes of this batch, which then have prototypes, and pushes its regions.

        The batch's targets are at the keys' size.

        An image's embeddings are made whole where the image is; so the processes of a run tell each other these, and
        push the same ones in the same order, that of the draws.
        """
        targets = batch.targets.index_fill(0, batch.blended(), -1)  # blended images are no example of any class
        if self.bank is None:  # nothing reads it where prototypes are learned alone
            counts = torch.zeros(self.label_space.num_classes + 1, device=targets.device)
            counts.index_fill_(0, targets.clamp_min(-1).flatten() + 1, 1)  # of what has no class, first
            self.seen |= ranks.summed(counts)[1:] > 0
        else:
            regions, classes = region_means(keys, targets, self.label_space.num_classes)
            classes = ranks.rows(classes)
            self.bank.push(ranks.rows(regions), classes)
            self.seen.index_fill_(0, classes, True)

    def prototypes(self) -> tuple[Tensor, Tensor]:
        """The class prototypes [K, D] of unit length, and which of them come from pixels [K].

        Learned ones have a gradient.
        """
        if self.learned is None:
            assert self.bank is not None
            return self.bank.prototypes()
        learned = F.normalize(self.learned.float(), dim=1)
        if self.bank is not None:  # mixed
            learned = F.normalize(self.bank.prototypes()[0] + learned, dim=1)
        return learned, self.seen

    def _compared(self) -> _Compared:
        prototypes, known = self.prototypes()
        present = known if self.learned is None else torch.ones_like(known)  # learned ones are there from the start
        denominator = self.denominator
        if self.config.denominator == "no_lookalikes":
            count, datasets = self.config.lookalikes, self.dataset_of_class
            denominator = drop_lookalikes(denominator, prototypes, datasets, count, present=present)
        return _Compared(prototypes, known, present, denominator)

    def after_step(self) -> None:
        """Lets the momentum network follow; call it after the optimiser's step."""
        if self.momentum_network is not None:
            update_momentum(self.momentum_network, self.network, self.config.momentum)
