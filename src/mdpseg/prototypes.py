"""A pretrained network's classes as one unit vector each: views of some of them, and classes added from examples."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.config import MethodConfig
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace
from mdpseg.weights import Weights


class Similar(NamedTuple):
    """A class and how similar it is to an embedding, from -1 to 1."""

    dataset: str
    name: str
    cosine: float


@dataclass(frozen=True)
class Prototypes:
    """The class prototypes of a pretraining.

    Attributes:
        label_space: the K classes.
        vectors: float32 [K, D], of unit length where present.
        present: bool [K], which of them are real.
        temperature: tau of the pretraining; a pixel's logits are its cosines over it.
        sums: float32 [K, D], of each added class the sum of its examples' region embeddings; 0 for a trained one.
        examples: int64 [K], how many these are.
        offsets: float32 [K], what is taken off an added class's logits beside trained classes; 0 for a trained one.
    """

    label_space: LabelSpace
    vectors: Tensor
    present: Tensor
    temperature: float
    sums: Tensor
    examples: Tensor
    offsets: Tensor

    @classmethod
    def trained(cls, label_space: LabelSpace, vectors: Tensor, present: Tensor, temperature: float) -> Prototypes:
        """Those of a pretraining, none added."""
        count = len(vectors)
        zeros = torch.zeros_like(vectors), torch.zeros(count, dtype=torch.int64), torch.zeros(count)
        return cls(label_space, vectors, present, temperature, *zeros)

    @property
    def added(self) -> Tensor:
        """Which classes come from examples, bool [K]."""
        return self.examples > 0

    @property
    def taxonomies(self) -> list[str]:
        """The datasets of which a class has a prototype."""
        space = self.label_space
        return [name for name in space.datasets if bool(self.present[torch.tensor(space.classes_of(name))].any())]

    def datasets_of(self, taxonomy: str | None) -> list[str]:
        """The datasets that ``taxonomy`` means: one name, several joined by ``+``, or None for all.

        A dataset's name may have a + itself: the longest that fits is taken.

        Raises:
            UserError: one of them is no dataset with prototypes, or is named twice.
        """
        known = self.taxonomies
        if taxonomy is None:
            return known
        names: list[str] = []
        rest = f"{taxonomy}+"
        while rest:
            name = max((name for name in known if rest.startswith(f"{name}+")), key=len, default=None)
            if name is None:
                raise UserError(
                    f"No prototypes of {rest.partition('+')[0]!r}; there are those of {', '.join(known)}, also joined "
                    "by +."
                )
            if name in names:
                raise UserError(f"Taxonomy {taxonomy!r} names {name!r} more than once; name each dataset once.")
            names.append(name)
            rest = rest[len(name) + 1 :]
        return names

    def ids(self, datasets: list[str]) -> Tensor:
        """The global ids of the datasets' classes, in that order, int64 [N]."""
        return torch.tensor([number for name in datasets for number in self.label_space.classes_of(name)])

    def of_trained(self, ids: Tensor) -> Tensor:
        """The prototypes of those of the classes ``ids`` that are trained, float32 [N, D]."""
        return self.vectors[ids[(self.present & ~self.added)[ids]]]

    def offsets_of(self, ids: Tensor) -> Tensor:
        """The offsets of the classes ``ids`` as they stand beside each other, float32 [N]: 0 among added ones only."""
        return self.offsets[ids] if len(self.of_trained(ids)) else torch.zeros(len(ids))

    def nearest(self, embedding: Tensor) -> dict[str, list[Similar]]:
        """Of each dataset the classes with a prototype, the most similar one to ``embedding`` (float32 [D]) first."""
        cosines, present, space = (self.vectors @ embedding).tolist(), self.present.tolist(), self.label_space
        found = {}
        for dataset in self.taxonomies:
            names = zip(space.classes_of(dataset), space.class_names(dataset), strict=True)
            similar = [Similar(dataset, name, cosines[number]) for number, name in names if present[number]]
            found[dataset] = sorted(similar, key=lambda one: -one.cosine)
        return found

    def place_of(self, dataset: str, name: str) -> int | None:
        """The global id of a class, or None where there is none of this name."""
        if dataset not in self.label_space.datasets or name not in self.label_space.class_names(dataset):
            return None
        return self.label_space.offset(dataset) + self.label_space.class_names(dataset).index(name)

    def with_class(self, dataset: str, name: str, regions: Tensor, offset: float) -> Prototypes:
        """The same prototypes and one more: the normalised mean of region embeddings (step 2 of the two-step average).

        Args:
            dataset: the new class's dataset; a new one, or one of these.
            name: the class. If it was added before, mean and offset go on over the examples of both.
            regions: float32 [R, D] of unit length, one for each example.
            offset: see :attr:`offsets`.

        Raises:
            UserError: the class is one of the pretraining's, or a name cannot be one.
        """
        place = self.place_of(dataset, name)
        if place is not None and bool(self.present[place]) and not bool(self.added[place]):
            raise UserError(
                f"{dataset}/{name} is a class of the pretraining, and stays as it was learned; give the new class "
                "another name or dataset."
            )
        if place is None:
            grown, place = self._with_room(dataset, name)
        else:
            grown = self
        sums, examples, offsets = grown.sums.clone(), grown.examples.clone(), grown.offsets.clone()
        vectors, present = grown.vectors.clone(), grown.present.clone()
        offsets[place] = (offsets[place] * examples[place] + offset * len(regions)) / (examples[place] + len(regions))
        examples[place] += len(regions)
        sums[place] += regions.sum(0)  # the direction of the mean is that of the sum
        vectors[place] = F.normalize(sums[place], dim=0)
        present[place] = True
        return replace(grown, vectors=vectors, present=present, sums=sums, examples=examples, offsets=offsets)

    def _with_room(self, dataset: str, name: str) -> tuple[Prototypes, int]:
        """With a row of zeros for a new class, after its dataset's others; and the row's number."""
        space = self.label_space
        # a new one without +, which joins the names of a taxonomy
        if dataset not in space.datasets and not re.fullmatch(r"[\w.-]+", dataset):
            raise UserError(f"{dataset!r} cannot be a dataset's name; use letters, digits, '.', '_' and '-'.")
        classes = {known: space.class_names(known) for known in space.datasets}
        place = space.classes_of(dataset).stop if dataset in classes else space.num_classes
        classes.setdefault(dataset, []).append(name)
        rows = (self.vectors, self.present, self.sums, self.examples, self.offsets)
        vectors, present, sums, examples, offsets = (
            torch.cat([row[:place], torch.zeros_like(row[:1]), row[place:]]) for row in rows
        )
        wider = LabelSpace.concatenate(classes, catch_alls=space.catch_alls, catch_all_as=space.catch_all_as)
        return Prototypes(wider, vectors, present, self.temperature, sums, examples, offsets), place


def prototypes_of(stored: Weights) -> Prototypes | None:
    """The prototypes that weights hold; None for those of a fine-tuned network, or of a pretraining without."""
    if stored.head != "projection" or stored.prototypes is None or stored.present is None or not stored.present.any():
        return None
    vectors, temperature = stored.prototypes.float(), stored.temperature or MethodConfig().temperature
    trained = Prototypes.trained(stored.label_space, vectors, stored.present, temperature)
    if not stored.added:
        return trained
    sums, examples, offsets = (stored.added[name] for name in ("sums", "examples", "offsets"))
    return replace(trained, sums=sums, examples=examples, offsets=offsets)


def with_prototypes(stored: Weights, prototypes: Prototypes) -> Weights:
    """Weights with other prototypes, as :func:`prototypes_of` reads them back."""
    added = {"sums": prototypes.sums, "examples": prototypes.examples, "offsets": prototypes.offsets}
    return replace(
        stored,
        label_space=prototypes.label_space,
        prototypes=prototypes.vectors,
        present=prototypes.present,
        added=added if bool(prototypes.added.any()) else {},
        temperature=prototypes.temperature,
    )
