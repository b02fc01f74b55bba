"""A trained network in Python: segment images, look at embeddings and nearest classes, add classes from examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, overload

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mdpseg import weights
from mdpseg.config import EvalConfig, PretrainConfig, TiffConfig
from mdpseg.data.image import ImageLike, as_pixels, bands_of_recipe
from mdpseg.data.readers.tiff import Bands
from mdpseg.engine.embedder import Embedder
from mdpseg.engine.examples import Example, check_region, learn_class, make_example
from mdpseg.engine.runtime import Device, Precision, make_fabric
from mdpseg.engine.segment import Segmentation, segment
from mdpseg.errors import UserError
from mdpseg.network import PrototypeClassifier, SegmentationNetwork
from mdpseg.prototypes import Prototypes, Similar, prototypes_of, with_prototypes
from mdpseg.recipe import load


class SegmentationModel:
    """A network and the classes that it tells apart. Make it with :meth:`from_run`; it never changes.

    A fine-tuned network has the classes of its dataset. A pretrained one has a *view*: the classes of one of its
    datasets, or of several, and tells them apart by their prototypes.

    Attributes:
        network: [B, 3, H, W] -> logits of the present view, in evaluation mode.
        classes: names of the present view; ``dataset/class`` where it joins several datasets.
        taxonomy: the present view's datasets, joined by ``+``; None for a fine-tuned network.
        stored: the weights that it was made from.
        prototypes: of a pretrained network, else None.
        embedder: gives the embeddings; has their ``stride`` in pixels.
        bands: what is taken of TIFFs.
    """

    network: SegmentationNetwork
    classes: list[str]
    taxonomy: str | None

    def __init__(
        self, stored: weights.Weights, fabric: Fabric, taxonomy: str | None = None, bands: Bands | None = None
    ) -> None:
        self.stored, self._fabric = stored, fabric
        self.bands = bands or Bands()
        self.prototypes = prototypes_of(stored)
        built = stored.build().to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._base = built.requires_grad_(False)
        self.embedder = Embedder(self._base, fabric)
        self._set_view(self._datasets_of(taxonomy))

    @classmethod
    def from_run(
        cls,
        run: str | Path,
        device: Device = "auto",
        taxonomy: str | None = None,
        *,
        precision: Precision = "auto",
        tiff: TiffConfig | Mapping[str, Any] | None = None,
    ) -> Self:
        """Opens a finished run.

        Args:
            run: its folder, or a weights file.
            device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; ``auto`` takes CUDA, else MPS, else the CPU.
            taxonomy: as :meth:`with_taxonomy` takes it; default: all datasets.
            precision: of the forward pass; ``auto`` is bf16 on CUDA devices that have it (Ampere on), float32
                elsewhere.
            tiff: ``bands`` and ``range`` of TIFFs, as a dataset of a recipe has them; default: those of the recipe
                beside the weights, if its datasets have one ``tiff`` and not several that differ.

        Raises:
            UserError: there are no weights, they are of a pretraining without prototypes, ``taxonomy`` is unknown, or
                the device is not there.
        """
        path, file = Path(run), weights.file_of(run)
        if path.is_dir() and not file.is_file():
            raise UserError(f"{path} holds no weights.safetensors; give the folder of a finished run.")
        stored = weights.load(file)
        finetuned = stored.head == "classifier" and len(stored.label_space.datasets) == 1
        if not finetuned and prototypes_of(stored) is None:
            raise UserError(
                f"{file} holds a pretraining without prototypes (objective supervised or multihead, or no step done); "
                f"fine-tune it first (mdpseg finetune ... init={file})."
            )
        if not finetuned and stored.temperature is None:
            stored = _with_temperature_of(stored, file.with_name("recipe.yaml"))
        if tiff is None:
            bands = bands_of_recipe(file.with_name("recipe.yaml"))
        else:
            given = load(tiff, TiffConfig)
            bands = Bands(given.bands, given.range)
        return cls(stored, make_fabric(device, precision), taxonomy, bands)

    @property
    def taxonomies(self) -> list[str]:
        """The datasets whose classes have prototypes; none for a fine-tuned network."""
        return self.prototypes.taxonomies if self.prototypes else []

    def with_taxonomy(self, taxonomy: str | None) -> Self:
        """The same network with the classes of another dataset; weights are shared.

        Args:
            taxonomy: one of :attr:`taxonomies`, several joined by ``+`` (``voc+msrc``), or None for all.

        Raises:
            UserError: it is not one of them, or the network is a fine-tuned one.
        """
        return self._with(self._known_prototypes(), self._datasets_of(taxonomy))

    def _datasets_of(self, taxonomy: str | None) -> list[str]:
        if self.prototypes is None and taxonomy is None:
            return []
        return self._known_prototypes().datasets_of(taxonomy)

    def _set_view(self, datasets: list[str]) -> None:
        """As names, which a joined text does not tell for certain: a dataset's name may have a + itself."""
        self._datasets = datasets
        if self.prototypes is None:
            space = self.stored.label_space
            self.network, self.taxonomy = self._base, None
            self.classes = space.class_names(space.datasets[0])
            return
        ids = self.prototypes.ids(datasets)
        space = self.prototypes.label_space
        self.taxonomy = "+".join(datasets)
        self.classes = space.class_names(datasets[0]) if len(datasets) == 1 else [space.names[i] for i in ids.tolist()]
        vectors, present = self.prototypes.vectors[ids], self.prototypes.present[ids]
        offsets = self.prototypes.offsets_of(ids)
        head = PrototypeClassifier(self._base.head, vectors, present, self.prototypes.temperature, offsets)
        self.network = self._base.with_head(head.to(self._fabric.device)).eval()

    def _known_prototypes(self) -> Prototypes:
        if self.prototypes is None:
            dataset = self.stored.label_space.datasets[0]
            raise UserError(
                f"This network is fine-tuned on {dataset!r} and has no prototypes: its classes are fixed. Taxonomies "
                "and new classes need the weights of a pretraining with objective mdp."
            )
        return self.prototypes

    @overload
    def predict(
        self,
        image: ImageLike,
        *,
        batch_size: int = ...,
        eval: EvalConfig | Mapping[str, Any] | None = ...,
        probabilities: bool = ...,
    ) -> Segmentation: ...

    @overload
    def predict(
        self,
        image: list[ImageLike] | tuple[ImageLike, ...],
        *,
        batch_size: int = ...,
        eval: EvalConfig | Mapping[str, Any] | None = ...,
        probabilities: bool = ...,
    ) -> list[Segmentation]: ...

    def predict(
        self,
        image: ImageLike | list[ImageLike] | tuple[ImageLike, ...],
        *,
        batch_size: int = 8,
        eval: EvalConfig | Mapping[str, Any] | None = None,
        probabilities: bool = True,
    ) -> Segmentation | list[Segmentation]:
        """Segments an image of any size, or several.

        Args:
            image: a path, a PIL image, an array uint8 [H, W, 3] (or [H, W], [H, W, 4]), or a list or tuple of these.
                Photographs are turned upright as their camera noted, and so is the mask; paths of TIFFs are not.
            batch_size: how many images of one size run together.
            eval: window, flip, scales, as in a recipe's ``eval``; default: the whole image as it is. Images of more
                than 8 million pixels run block by block in any case.
            probabilities: whether they are wanted; without, more and larger images fit into memory.

        Returns:
            a :class:`Segmentation`, or a list of them in the same order.

        Raises:
            UserError: an image cannot be read or is no image, the probabilities would take more than 2 GiB, or
                ``batch_size`` is under 1.
        """
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; expected at least 1.")
        if not isinstance(image, list | tuple):
            return self.predict([image], eval=eval, probabilities=probabilities)[0]
        config = load(eval or {}, EvalConfig)
        return segment(self.network, self.classes, image, config, self._fabric, probabilities, batch_size, self.bands)

    def embed(self, image: ImageLike) -> Tensor:
        """The embeddings of an image's pixels: of a fine-tuned network its normalised decoder features.

        Args:
            image: as :meth:`predict` takes it.

        Returns:
            float32 [D, h, w] of unit length along D, on the network's device; one for every ``embedder.stride`` pixels.
        """
        return self.embedder(as_pixels(image, self.bands))

    def nearest(self, image: ImageLike | Tensor, row: int, column: int) -> dict[str, list[Similar]]:
        """Which classes of each dataset are most similar to what is at a pixel.

        Args:
            image: as :meth:`predict` takes it, or what :meth:`embed` gave for it (cheap).
            row: of the pixel, in pixels of the image.
            column: likewise.

        Returns:
            dataset -> its classes with a prototype, the most similar one first.

        Raises:
            UserError: the pixel is outside the image, or the network has no prototypes.
        """
        prototypes = self._known_prototypes()
        if isinstance(image, Tensor):
            embeddings, (height, width) = image, (side * self.embedder.stride for side in image.shape[1:])
        else:
            pixels = as_pixels(image, self.bands)
            embeddings, (height, width) = self.embedder(pixels), pixels.shape[1:]
        if not (0 <= row < height and 0 <= column < width):
            raise UserError(f"Pixel (row {row}, column {column}) is outside the image of {height} x {width} pixels.")
        return prototypes.nearest(embeddings[:, row // self.embedder.stride, column // self.embedder.stride].cpu())

    def add_class(self, name: str, examples: Sequence[tuple[Any, Any]], dataset: str = "mine") -> Self:
        """A model with one more class, whose prototype is the two-step average of examples; nothing is trained.

        Beside the trained classes of the present view, an offset of its logits is set such that it wins inside the
        regions and loses outside: so mark the class wherever it is in an example.

        Args:
            name: the class. If it was added before, these examples are averaged with the earlier ones.
            examples: images, each with the region that shows the class: bool [H, W] of the image's size.
            dataset: which dataset it joins; the view of the new model shows it beside the present one.

        Raises:
            UserError: no example, a region that is empty or of another size than its image, a class of the pretraining.
        """
        prototypes, examples = self._known_prototypes(), list(examples)
        if not examples:
            raise UserError(f"No example of {name!r}; give at least one image with its region.")
        beside = prototypes.of_trained(prototypes.ids(self._datasets))
        beside = beside if len(beside) else prototypes.of_trained(prototypes.ids(prototypes.taxonomies))
        looks = (self._example(image, region, number) for number, (image, region) in enumerate(examples))
        regions, offset = learn_class(
            looks, lambda number: self.embed(examples[number][0]).cpu(), beside, prototypes.temperature
        )
        grown = prototypes.with_class(dataset, name, regions, offset)
        datasets = self._datasets if dataset in self._datasets else [*self._datasets, dataset]
        return self._with(grown, datasets)

    def _with(self, prototypes: Prototypes, datasets: list[str]) -> Self:
        other = copy(self)
        other.prototypes = prototypes
        other._set_view(datasets)
        return other

    def _example(self, image: ImageLike, region: Any, number: int) -> tuple[Tensor, Example]:
        """With the embeddings that it was seen by."""
        pixels = as_pixels(image, self.bands)
        chosen = check_region(region, pixels, number)
        embeddings = self.embedder(pixels).cpu()
        return embeddings, make_example(embeddings, chosen, self.embedder.stride)

    def save(self, path: str | Path) -> None:
        """Writes network and prototypes as a weights file, which :meth:`from_run` reads back.

        Raises:
            UserError: the folder is not there, ``path`` is a folder, or the disk is full.
        """
        path = Path(path)
        if path.is_dir():
            raise UserError(f"{path} is a folder; name the file, such as {path / 'grown.safetensors'}.")
        if not path.parent.is_dir():
            raise UserError(f"There is no folder {path.parent}; make it first.")
        stored = self.stored if self.prototypes is None else with_prototypes(self.stored, self.prototypes)
        weights.save(path, stored)


def _with_temperature_of(stored: weights.Weights, recipe: Path) -> weights.Weights:
    """Weights with the recipe's temperature, where it lies beside them: files of version 0.1 do not hold it."""
    if not recipe.is_file():
        return stored
    return replace(stored, temperature=load(recipe, PretrainConfig).method.temperature)
