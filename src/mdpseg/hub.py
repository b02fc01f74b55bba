"""Networks on the Hugging Face hub, or in a folder of that form: weights, and a model card that says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from mdpseg import weights
from mdpseg.errors import UserError
from mdpseg.hub_card import card_text
from mdpseg.network import SegmentationNetwork
from mdpseg.weights import Weights

WEIGHTS = "weights.safetensors"


class HubNetwork(ModelHubMixin, library_name="mdpseg", tags=["image-segmentation", "mdpseg"]):
    """A run's weights with what the model card tells of them.

    ``save_pretrained(folder)``, ``push_to_hub("name/repository")`` and ``from_pretrained(either)`` are those of
    huggingface_hub; to push, be logged in there (``hf auth login``).

    Attributes:
        weights: what the weights file holds; ``weights.build()`` is the network.
        network: it, in evaluation mode.
        card: the text of the model card.
    """

    def __init__(self, stored: Weights, card: str = "") -> None:
        self.weights, self.card = stored, card
        self.network: SegmentationNetwork = stored.build()
        self._hub_mixin_config = None  # the mixin would write its arguments as JSON; the weights file says it all

    @classmethod
    def from_run(cls, run: str | Path, licences: Sequence[str] = ()) -> Self:
        """The network of a run's folder.

        Args:
            run: folder of a finished pretraining or fine-tuning.
            licences: a line a dataset, such as ``voc: flickr terms``; what is not said, and not written in a
                SOURCE.md beside the dataset, stands as "not stated" in the card.

        Raises:
            UserError: there is no finished run.
        """
        path = Path(run)
        return cls(weights.load(path / WEIGHTS), card_text(path, licences))

    @classmethod
    def from_pretrained(cls, name: str | Path, **arguments: Any) -> Self:  # type: ignore[override]
        """The network in a folder, or in a repository of the hub.

        Args:
            name: either's name.
            arguments: those of ``ModelHubMixin.from_pretrained``, such as ``revision`` and ``token``.

        Raises:
            UserError: it is not to be had, or no weights of mdpseg.
        """
        try:
            made: Self = super().from_pretrained(name, **arguments)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{name} is no folder, and not to be had from the Hugging Face hub: {reason}") from error
        return made

    def _save_pretrained(self, save_directory: Path) -> None:
        """Writes the weights."""
        weights.save(save_directory / WEIGHTS, self.weights)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card of :meth:`from_run`; where there is none, the little that the weights say."""
        network = self.weights.network
        header = yaml.safe_dump({"library_name": "mdpseg", "tags": ["image-segmentation", "mdpseg"]})
        text = self.card or f"# {network.encoder} + {network.decoder} by mdpseg\n\nHow it was made is not stated.\n"
        return ModelCard(f"---\n{header}---\n\n{text}")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **arguments: Any) -> Self:
        """Reads the weights of a folder or a repository; what their header claims is checked first."""
        folder = Path(model_id)
        if folder.is_dir():
            card = folder / "README.md"
            text = ModelCard(card.read_text(encoding="utf-8")).text.strip() + "\n" if card.is_file() else ""
            return cls(weights.load(folder / WEIGHTS), text)
        wanted = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        options = {name: arguments[name] for name in wanted if name in arguments}
        return cls(weights.load(Path(hf_hub_download(model_id, WEIGHTS, **options))))
