"""A region that somebody marked in an image: where the class is that they show."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mdpseg.data.image import upright


def marked(picture: Image.Image) -> NDArray[np.bool_]:
    """Where a mask is neither 0 (of a palette: its index) nor transparent, bool [H, W], upright."""
    values = np.array(picture)  # [H, W], or [H, W, bands]
    colours = values.reshape(*values.shape[:2], -1)[..., : -1 if picture.mode.endswith("A") else None]
    alpha = np.array(picture.convert("RGBA").getchannel("A"))
    shown = (colours != 0).any(-1) & (alpha > 0)
    turned: NDArray[np.bool_] = upright(torch.from_numpy(shown)[None], picture)[0].numpy()
    return turned
