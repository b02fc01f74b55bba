"""What the interface does with the network. One thread at a time calls it."""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mdpseg.model import SegmentationModel
from mdpseg.serve.colours import Colour, as_hex, colours_of
from mdpseg.serve.images import RefusedError, open_image, open_region, resized, seen_size, shrunk
from mdpseg.serve.sessions import MOST_CLASSES, Sessions

_EMBEDDINGS_KEPT = 4
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Seen:
    """A segmentation.

    Attributes:
        mask: uint8 or int64 [h, w], index into ``classes``, at the size that the network saw.
        classes: the names.
        colours: of the classes.
        taxonomy: in whose terms; "" for a fine-tuned network.
        image: RGB, upright.
    """

    mask: NDArray[Any]
    classes: list[str]
    colours: list[Colour]
    taxonomy: str
    image: Image.Image

    def png(self) -> bytes:
        """Class ids at the image's own size: a palette PNG, or 16 bits grey where there are more than 256 classes."""
        mask = resized(self.mask, self.image.size)
        if len(self.classes) > 256:
            picture = Image.fromarray(mask.astype(np.uint16))
        else:
            picture = Image.fromarray(mask.astype(np.uint8))
            picture.putpalette([channel for colour in self.colours for channel in colour])
        return _png(picture)

    def overlay(self, opacity: float) -> bytes:
        """The image under its classes' colours, as a PNG."""
        mask = resized(self.mask, self.image.size)
        coloured = Image.fromarray(np.array(self.colours, dtype=np.uint8)[mask])
        return _png(Image.blend(self.image, coloured, opacity))

    def json(self) -> dict[str, Any]:
        """As the page reads it; ``ids`` are uint16, little end first, row by row, packed by zlib."""
        shares = np.bincount(self.mask.ravel(), minlength=len(self.classes)) / self.mask.size
        ids = zlib.compress(self.mask.astype("<u2").tobytes(), 6)
        return {
            "width": self.image.width,
            "height": self.image.height,
            "taxonomy": self.taxonomy,
            "classes": [
                {"id": number, "name": name, "colour": as_hex(colour), "share": round(float(share), 6)}
                for number, (name, colour, share) in enumerate(zip(self.classes, self.colours, shares, strict=True))
            ],
            "ids": {
                "width": self.mask.shape[1],
                "height": self.mask.shape[0],
                "data": base64.b64encode(ids).decode(),
            },
            "png": base64.b64encode(self.png()).decode(),
        }


class Service:
    """A network, its taxonomies, and the visitors' sessions.

    Args:
        model: as it was opened.
        name: how the page calls it.
    """

    def __init__(self, model: SegmentationModel, name: str) -> None:
        self.model, self.name = model, name
        # The dataset that added classes join. A file from here that is served again has one of these names already.
        names = chain(["mine"], (f"mine-{number}" for number in count(2)))
        self.own = next(name for name in names if name not in model.taxonomies)
        self._sessions = Sessions()
        self._embeddings: OrderedDict[bytes, Tensor] = OrderedDict()

    def describe(self, session: str | None) -> dict[str, Any]:
        """Taxonomies with their classes and colours."""
        model = self._model(session)
        views = {name: model.with_taxonomy(name).classes for name in model.taxonomies} or {"": model.classes}
        colours = self._colours(model)
        return {
            "run": self.name,
            "taxonomies": [
                {
                    "name": taxonomy,
                    "own": taxonomy == self.own,
                    "classes": [{"name": name, "colour": as_hex(colours[name])} for name in names],
                }
                for taxonomy, names in views.items()
            ],
            "can_add": bool(self.model.taxonomies),
        }

    def segment(self, content: bytes, taxonomy: str, session: str | None) -> Seen:
        """Segments an image; nothing of it is kept."""
        model = self._view(taxonomy, session)
        image = open_image(content)
        found = model.predict(_as_seen(image), probabilities=False)
        colours = self._colours(model)
        return Seen(
            mask=found.mask,
            classes=found.classes,
            colours=[colours[name] if name in colours else colours[name.partition("/")[2]] for name in found.classes],
            taxonomy=model.taxonomy or "",
            image=image,
        )

    def nearest(self, content: bytes, row: int, column: int, session: str | None) -> list[dict[str, Any]]:
        """For a pixel the classes of each dataset, the most similar one first."""
        model = self._model(session)
        self._needs_prototypes()
        image = open_image(content)
        if not (0 <= row < image.height and 0 <= column < image.width):
            raise RefusedError(422, f"Row {row}, column {column} is outside the image of {image.width}x{image.height}.")
        seen = _as_seen(image)
        key = hashlib.sha256(content).digest()
        if key not in self._embeddings:
            self._embeddings[key] = self.model.embed(seen)
        self._embeddings.move_to_end(key)
        while len(self._embeddings) > _EMBEDDINGS_KEPT:
            self._embeddings.popitem(last=False)
        place = row * seen.height // image.height, column * seen.width // image.width
        colours = self._colours(model)
        return [
            {
                "dataset": dataset,
                "classes": [
                    {"name": one.name, "similarity": round(one.cosine, 4), "colour": as_hex(colours[one.name])}
                    for one in similar
                ],
            }
            for dataset, similar in model.nearest(self._embeddings[key], *place).items()
        ]

    def add_class(self, name: str, examples: Sequence[tuple[bytes, bytes]], taxonomy: str, session: str | None) -> str:
        """Adds a class to a session; the name of one that is there takes more examples.

        Args:
            name: of the class.
            examples: images and regions, as files.
            taxonomy: beside whose classes it is to win inside the regions and lose outside.
            session: a token, or None to open a session.

        Returns:
            the session's token.
        """
        self._needs_prototypes()
        model = self._model(session)
        name = " ".join(name.split())
        if not name or len(name) > _LONGEST_NAME or not name.isprintable() or "/" in name:
            raise RefusedError(422, f"A class needs a name of 1 to {_LONGEST_NAME} characters without a slash.")
        own = model.with_taxonomy(self.own).classes if self.own in model.taxonomies else []
        if name not in own and len(own) >= MOST_CLASSES:
            raise RefusedError(
                409, f"You have {MOST_CLASSES} classes already, the most that are kept; forget them first."
            )
        opened = []
        for content, region in examples:
            image = open_image(content)
            seen = _as_seen(image)
            opened.append((seen, shrunk(open_region(region, (image.size, seen.size)), seen.size)))
        return self._sessions.put(session, self._view(taxonomy, session).add_class(name, opened, dataset=self.own))

    def forget(self, session: str) -> None:
        """Forgets a session's classes."""
        self._sessions.forget(session)

    def weights(self, session: str) -> bytes:
        """The network with a session's classes, as a weights file that every other command reads."""
        model = self._sessions.get(session)
        with tempfile.TemporaryDirectory(prefix="mdpseg-") as folder:  # safetensors is written to files; gone at once
            model.save(Path(folder) / "weights.safetensors")
            return (Path(folder) / "weights.safetensors").read_bytes()

    def _model(self, session: str | None) -> SegmentationModel:
        return self._sessions.get(session) if session else self.model

    def _view(self, taxonomy: str, session: str | None) -> SegmentationModel:
        model = self._model(session)
        return model.with_taxonomy(taxonomy or None) if taxonomy or model.taxonomies else model

    def _needs_prototypes(self) -> None:
        if not self.model.taxonomies:
            raise RefusedError(409, "This network is fine-tuned: it has no prototypes, and its classes are fixed.")

    def _colours(self, model: SegmentationModel) -> dict[str, Colour]:
        if not model.taxonomies:
            return colours_of(model.classes)
        return colours_of(name for taxonomy in model.taxonomies for name in model.with_taxonomy(taxonomy).classes)


def _as_seen(image: Image.Image) -> Image.Image:
    size = seen_size(image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
