"""The objective that a pretraining's settings ask for."""

from __future__ import annotations

from mdpseg.config import MethodConfig
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.mdp import MDP
from mdpseg.objectives.multihead import MultiHead
from mdpseg.objectives.supervised import UnionSupervised


def pretraining_objective(
    network: SegmentationNetwork, label_space: LabelSpace, config: MethodConfig, *, unlabelled: bool = False
) -> MDP | UnionSupervised | MultiHead:
    """Gives ``network`` the head that the objective needs, and wraps it.

    Args:
        network: encoder and decoder.
        label_space: the K classes.
        config: the method's settings.
        unlabelled: whether batches hold pixels without label.
    """
    match config.objective:
        case "mdp":
            return MDP(network, label_space, config, unlabelled=unlabelled)
        case "supervised":
            return UnionSupervised(network, label_space, config.auxiliary_weight)
        case "multihead":
            return MultiHead(network, label_space, config.auxiliary_weight)
