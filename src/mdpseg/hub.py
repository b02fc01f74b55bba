"""Networks on the Hugging Face hub, or in a folder of that form: weights, and a model card that says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

from mdpseg import weights
from mdpseg.errors import UserError
from mdpseg.hub_card import card_text, data_text
from mdpseg.network import SegmentationNetwork
from mdpseg.weights import Weights

WEIGHTS = "weights.safetensors"
_OPTIONS = ("revision", "cache_dir", "force_download", "local_files_only", "token")

# A refusal by the hub and its bases: with them, a server that does not answer (requests' error in old versions of
# huggingface_hub, httpx's in new ones).
_NOT_TO_BE_HAD: tuple[type[Exception], ...] = (
    *(HfHubHTTPError, *HfHubHTTPError.__bases__),
    *(OSError, EntryNotFoundError, HFValidationError),
)


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
        # The mixin writes it as config.json, for the hub and other libraries' tools, which look for one; mdpseg itself
        # reads the weights file, which says it all.
        space = stored.label_space
        self._hub_mixin_config = {
            "library_name": "mdpseg",
            "network": stored.network.model_dump(mode="json"),
            "classes": {name: space.class_names(name) for name in space.datasets},
        }

    @classmethod
    def from_run(cls, run: str | Path, licences: Sequence[str] = ()) -> Self:
        """The network of a run's folder.

        Args:
            run: folder of a finished pretraining or fine-tuning.
            licences: a line a dataset, such as ``voc: flickr terms``; what is not said, and not written in a
                SOURCE.md or LICENCE.txt beside the dataset, stands as "not stated" in the card.

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
            arguments: ``revision``, ``cache_dir``, ``force_download``, ``local_files_only`` and ``token``, as in
                ``ModelHubMixin.from_pretrained``.

        Raises:
            UserError: it is not to be had, or no weights of mdpseg; or there is no such argument.
        """
        unknown = [argument for argument in arguments if argument not in _OPTIONS]
        if unknown:  # a misspelt revision would give another one's weights
            raise UserError(f"from_pretrained has no argument {unknown[0]!r}; it takes {', '.join(_OPTIONS)}.")
        try:  # not by the mixin's own method, which would parse a config.json that nothing here needs
            return cls._from_pretrained(model_id=str(name), **arguments)
        except _NOT_TO_BE_HAD as error:
            raise UserError(
                f"{name} is no folder, and not to be had from the Hugging Face hub: {_short(error)}"
            ) from error

    def push_to_hub(self, repo_id: str, **arguments: Any) -> str:
        """Puts weights, model card and config.json into a repository of the hub.

        Args:
            repo_id: its name; it is made where it is not there yet.
            arguments: those of ``ModelHubMixin.push_to_hub``, such as ``private`` and ``token``.

        Returns:
            address of the commit, or of the folder.

        Raises:
            UserError: the hub refuses it, or cannot be reached.
        """
        try:
            address: str = super().push_to_hub(repo_id, **arguments)
        except _NOT_TO_BE_HAD as error:
            raise UserError(
                f"{repo_id} could not be pushed to the Hugging Face hub: {_short(error)}; `hf auth login` logs in, by "
                "a token that may write there."
            ) from error
        return address

    def _save_pretrained(self, save_directory: Path) -> None:
        """Writes the weights."""
        weights.save(save_directory / WEIGHTS, self.weights)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card of :meth:`from_run`; where there is none, the little that the weights say."""
        network = self.weights.network
        header = yaml.safe_dump({"library_name": "mdpseg", "tags": ["image-segmentation", "mdpseg"]})
        history = self.weights.history
        told = f"## Data\n\n{data_text(history, {})}" if history else "How it was made is not stated.\n"
        text = self.card or f"# {network.encoder} + {network.decoder} by mdpseg\n\n{told}"
        return ModelCard(f"---\n{header}---\n\n{text}")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **arguments: Any) -> Self:
        """Reads the weights of a folder or a repository; what their header claims is checked first."""
        folder = Path(model_id)
        if folder.is_dir():
            return cls(weights.load(folder / WEIGHTS), _card_in(folder / "README.md"))
        options = {name: arguments[name] for name in _OPTIONS if name in arguments}
        stored = weights.load(Path(hf_hub_download(model_id, WEIGHTS, **options)))
        try:
            card = _card_in(Path(hf_hub_download(model_id, "README.md", **options)))
        except EntryNotFoundError:  # a repository may do without
            card = ""
        return cls(stored, card)


def _card_in(file: Path) -> str:
    """A card's text without its header; nothing where there is no card, or none that can be read."""
    if not file.is_file():
        return ""
    try:
        return str(ModelCard(file.read_text(encoding="utf-8")).text).strip() + "\n"
    except Exception:  # what a header may hold raises many kinds, and the weights are good without a card
        return ""


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
