"""What trials change in the method beyond its settings; each holds while its context lasts."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from torch import Tensor

    from mdpseg.batch import Batch

PROTOTYPES = 4  # of a class, where it has several
SHARPNESS, ROUNDS = 0.05, 3  # of Sinkhorn's assignment, as in arXiv 2203.15102


def centred_projections() -> AbstractContextManager[object]:
    """While it lasts, a batch norm without weights stands behind each MLP projection, before the length becomes 1."""
    from torch import nn

    from mdpseg.network import Projection

    build = Projection.__init__

    def centred(self: Projection, channels: int, dim: int, kind: str) -> None:
        build(self, channels, dim, kind)
        self.layers.append(nn.BatchNorm2d(dim, affine=False))

    return patch.object(Projection, "__init__", centred)


def shared_rows() -> AbstractContextManager[object]:
    """While it lasts, classes of one name in several datasets share a prototype, and a weight row in cross-entropy."""
    from mdpseg.label_space import LabelSpace
    from mdpseg.objectives import supervised
    from mdpseg.objectives.mdp import MDP

    def first_of_name(space: LabelSpace) -> list[int]:
        catch_alls = {f"{dataset}/{name}" for dataset, name in space.catch_alls.items()}
        keys = [full if full in catch_alls else full.partition("/")[2] for full in space.names]
        return [keys.index(key) for key in keys]

    prototypes, union_classification = MDP.prototypes, supervised.union_classification

    def shared_prototypes(self: MDP) -> tuple[Tensor, Tensor]:
        rows, known = prototypes(self)
        return rows[first_of_name(self.label_space)], known

    def classification(
        rows: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, space: LabelSpace, **more: Any
    ) -> Any:
        return union_classification(rows, weight[first_of_name(space)], bias, labels, space, **more)

    patches = ExitStack()
    patches.enter_context(patch.object(MDP, "prototypes", shared_prototypes))
    patches.enter_context(patch.object(supervised, "union_classification", classification))
    return patches


def several_prototypes() -> AbstractContextManager[object]:
    """While it lasts, each class has PROTOTYPES learned ones, which share its pixels of a batch in equal parts.

    A pixel is drawn to the one that it falls to, and pushed from those of its dataset's other classes and from the
    other ones of its own. The class's prototype, in the weights, is their mean.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    from mdpseg.batch import pixel_rows
    from mdpseg.objectives import mdp
    from mdpseg.objectives.pixels import labelled_maps

    init = mdp.MDP.__init__

    def with_several(self: mdp.MDP, *args: Any, **more: Any) -> None:
        init(self, *args, **more)
        assert self.learned is not None
        classes, dim = self.learned.shape
        self.learned = nn.Parameter(F.normalize(torch.randn(classes * PROTOTYPES, dim), dim=1))

    def mean_of_each(self: mdp.MDP) -> tuple[Tensor, Tensor]:
        assert self.learned is not None
        each = F.normalize(self.learned.float(), dim=1).unflatten(0, (-1, PROTOTYPES))
        return F.normalize(each.mean(1), dim=1), self.seen

    def contrast(self: mdp.MDP, batch: Batch, embeddings: Tensor, keys: Tensor) -> dict[str, Tensor]:
        assert self.learned is not None
        maps, targets, weights = labelled_maps(batch, embeddings)
        pixels, labels = pixel_rows(maps), targets.flatten()
        prototypes = F.normalize(self.learned.float(), dim=1)  # [K * P, D]
        classes = labels.clamp_min(0)
        each = prototypes.detach().unflatten(0, (-1, PROTOTYPES))[classes]  # [N, P, D]
        similarity = torch.einsum("nd,npd->np", pixels.detach().float(), each)
        finer = (classes * PROTOTYPES + equal_parts(similarity, classes, labels >= 0)).where(labels >= 0, -1)
        wide = self.denominator.repeat_interleave(PROTOTYPES, 0).repeat_interleave(PROTOTYPES, 1)
        there = torch.ones(len(prototypes), dtype=torch.bool, device=labels.device)
        tau = self.config.temperature
        loss = mdp.pixel_to_prototype(
            pixels, finer, prototypes, there, tau, denominator=wide, weights=weights.flatten()
        )
        return {"loss": loss, "contrast": loss.detach()}

    patches = ExitStack()
    changes = {"__init__": with_several, "prototypes": mean_of_each, "_contrast": contrast}
    for name, change in changes.items():
        patches.enter_context(patch.object(mdp.MDP, name, change))
    return patches


def cross_entropy_in_the_encoder() -> AbstractContextManager[object]:
    """While it lasts, the method's losses on the encoder's maps are mixed with cross-entropy, as the decoder's is."""
    import torch

    from mdpseg.network import Classifier
    from mdpseg.objectives.mdp import MDP
    from mdpseg.objectives.supervised import supervised_loss

    init, contrast = MDP.__init__, MDP._contrast_in_encoder

    def with_classifiers(self: MDP, *args: Any, **more: Any) -> None:
        init(self, *args, **more)
        for head in self.auxiliary:
            head.classifier = Classifier(head.layers.in_channels, self.label_space.num_classes)

    def both(self: MDP, batch: Batch, encoder_map: Tensor, head: Any) -> Tensor:
        supervised = supervised_loss(batch, encoder_map, head.classifier, self.label_space)
        return torch.lerp(contrast(self, batch, encoder_map, head), supervised, self.config.supervised_share)

    patches = ExitStack()
    patches.enter_context(patch.object(MDP, "__init__", with_classifiers))
    patches.enter_context(patch.object(MDP, "_contrast_in_encoder", both))
    return patches


def equal_parts(similarity: Tensor, classes: Tensor, counts: Tensor) -> Tensor:
    """Which of its class's prototypes each pixel falls to, [N], so that each gets about as many of the class's.

    Args:
        similarity: [N, P], to each of them.
        classes: int64 [N].
        counts: bool [N]; the others have no say.
    """
    import torch

    share = ((similarity - similarity.amax(1, keepdim=True)) / SHARPNESS).exp() * counts[:, None]  # [N, P]
    for _ in range(ROUNDS):
        of_class = torch.zeros(int(classes.max()) + 1, share.shape[1], device=share.device)
        of_class.index_add_(0, classes, share)
        share = share / of_class.clamp_min(1e-12)[classes]
        share = share / share.sum(1, keepdim=True).clamp_min(1e-12)
    return share.argmax(1)
