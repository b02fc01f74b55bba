"""mdpseg: pretrain one segmentation network on many datasets whose label sets do not agree; fine-tune it on yours."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdpseg.engine.evaluate import evaluate
    from mdpseg.engine.finetune import finetune
    from mdpseg.engine.predict import predict
    from mdpseg.engine.pretrain import pretrain
    from mdpseg.engine.replay import replay
    from mdpseg.errors import UserError
    from mdpseg.label_space import LabelSpace
    from mdpseg.model import SegmentationModel

__version__ = "0.1.0"
__all__ = ["LabelSpace", "SegmentationModel", "UserError", "evaluate", "finetune", "predict", "pretrain", "replay"]

# Imported at first use: `import mdpseg` and `mdpseg --help` must not wait for torch.
_HOME = {
    "LabelSpace": "mdpseg.label_space",
    "SegmentationModel": "mdpseg.model",
    "UserError": "mdpseg.errors",
    "evaluate": "mdpseg.engine.evaluate",
    "finetune": "mdpseg.engine.finetune",
    "predict": "mdpseg.engine.predict",
    "pretrain": "mdpseg.engine.pretrain",
    "replay": "mdpseg.engine.replay",
}
_MODULES = ("bank", "config", "data", "losses", "metrics", "mixing", "network", "weights")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"mdpseg.{name}")
    raise AttributeError(f"module 'mdpseg' has no attribute {name!r}")


def __dir__() -> list[str]:  # what completion offers
    return sorted({*globals(), *_HOME, *_MODULES})
