"""What is exported: a run's network, and what its readers must know of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mdpseg import weights
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork


@dataclass(frozen=True)
class Source:
    """A network in evaluation mode, on the CPU.

    Attributes:
        path: its weights file.
        network: encoder, decoder, head.
        label_space: the classes it was trained on.
        head: ``projection`` or ``classifier``.
    """

    path: Path
    network: SegmentationNetwork
    label_space: LabelSpace
    head: str

    @property
    def encoder(self) -> str:
        """Timm's name of the encoder."""
        return self.network.config.encoder.removeprefix("tu-")

    @property
    def classes(self) -> list[str]:
        """The classifier's rows: the class names of its dataset, or ``dataset/class`` where there are several."""
        datasets = self.label_space.datasets
        return self.label_space.class_names(datasets[0]) if len(datasets) == 1 else list(self.label_space.names)

    def pixels(self) -> dict[str, list[float]]:
        """What the encoder subtracts from pixels of 0 to 1, and then divides by."""
        return {"mean": _rounded(self.network.mean), "std": _rounded(self.network.std)}

    def metadata(self) -> dict[str, str]:
        """The same as text, for formats whose metadata hold text alone."""
        described: dict[str, Any] = {
            "network": self.network.config.model_dump(),
            "pixels": self.pixels(),
            "head": self.head,
            "classes": self.classes,
        }
        return {"made_by": "mdpseg", **{name: json.dumps(value) for name, value in described.items()}}

    def need_classifier(self, option: str) -> None:
        """Raises UserError where the network has no classifier, which an option needs."""
        if self.head != "classifier":
            raise UserError(
                f"{self.path} is a pretraining, whose head makes embeddings and no classes; {option} needs a "
                "classifier: leave it out, or export a fine-tuning."
            )

    def encoder_state(self) -> dict[str, Tensor]:
        """The encoder's tensors, by the names of timm's feature extractor."""
        return _stored(self.network.encoder.model.state_dict())

    def state(self) -> dict[str, Tensor]:
        """All tensors, by our names."""
        return _stored(self.network.state_dict())

    def timm_arguments(self) -> dict[str, Any]:
        """How timm makes the same feature extractor: keywords of ``timm.create_model``."""
        from mdpseg.encoders import traits

        model = self.network.encoder.model
        indices = getattr(model, "out_indices", None) or model.feature_info.out_indices
        dilated = {} if self.stride == 32 else {"output_stride": self.stride}
        return {"features_only": True, "out_indices": list(indices), **traits(self.encoder).options, **dilated}

    @property
    def stride(self) -> int:
        """The stride that timm's encoder is told to end with: 32, or less where the decoder has it dilated."""
        return int(getattr(self.network.encoder, "_output_stride", 32))  # a plain ViT is never dilated


def open_source(run: Path) -> Source:
    """The network of a run's folder, or of a weights file.

    Raises:
        UserError: there is none, or it is not as it should be.
    """
    path = weights.file_of(run)
    if run.is_dir() and not path.is_file():
        raise UserError(f"{run} holds no weights.safetensors; name the folder of a finished run.")
    stored = weights.load(path)
    return Source(path, stored.build(), stored.label_space, stored.head)


def _stored(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _rounded(tensor: Tensor) -> list[float]:
    return [round(value, 6) for value in tensor.flatten().tolist()]
