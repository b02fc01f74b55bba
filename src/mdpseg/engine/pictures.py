"""Pictures for loggers: predictions beside their truth, and how similar the prototypes are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mdpseg.config import EvalConfig
from mdpseg.data.loader import Reader
from mdpseg.engine.inference import class_ids
from mdpseg.network import SegmentationNetwork
from mdpseg.palette import colour_mask

SAMPLES = 4


@torch.no_grad()
def draw_predictions(
    network: SegmentationNetwork, reader: Reader, config: EvalConfig, fabric: Fabric
) -> NDArray[np.uint8]:
    """The first images of a dataset, a row each: image, prediction, truth; uint8 [H, W, 3].

    Args:
        network: with a classifier, in evaluation mode.
        reader: labelled images; masks are shown in their classes' colours.
        config: window, flip, scales.
        fabric: device and precision.
    """
    rows = []
    for index in range(min(SAMPLES, len(reader))):
        sample = reader[index]
        with fabric.autocast():
            mask = class_ids(network, sample.image.to(fabric.device), config).cpu()
        rows.append(torch.cat([sample.image, colour_mask(mask), colour_mask(sample.mask)], dim=2))  # [3, H, 3 W]
    widest = max(row.shape[2] for row in rows)
    padded = [torch.nn.functional.pad(row, (0, widest - row.shape[2])) for row in rows]
    return torch.cat(padded, dim=1).permute(1, 2, 0).numpy()


def draw_similarity(prototypes: Tensor, present: Tensor, names: Sequence[str]) -> NDArray[np.uint8]:
    """The cosines between class prototypes as a matrix with names; uint8 [H, W, 3].

    Args:
        prototypes: float32 [K, D] of unit length.
        present: bool [K]; the others are left out.
        names: of all K.
    """
    kept = prototypes.detach().float().cpu()[present.cpu()]
    shown = [name for name, there in zip(names, present.tolist(), strict=True) if there]
    side = min(40.0, 3 + 0.16 * len(shown))
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.imshow((kept @ kept.T).numpy(), vmin=-1, vmax=1, cmap="RdBu_r")
    # a name with dollar signs is no formula
    axis.set_xticks(range(len(shown)), shown, rotation=90, fontsize=6, parse_math=False)
    axis.set_yticks(range(len(shown)), shown, fontsize=6, parse_math=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
