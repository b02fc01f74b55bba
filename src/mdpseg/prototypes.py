"""A pretrained network's classes as one unit vector each: views of some of them, and classes added from examples."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace


@dataclass(frozen=True)
class Prototypes:
    """The class prototypes of a pretraining.

    Attributes:
        label_space: the K classes.
        vectors: float32 [K, D], of unit length where present.
        present: bool [K], which of them are real.
        sums: float32 [K, D], for classes that :meth:`with_class` added the sum of their region embeddings, else 0.
        temperature: tau of the pretraining; a pixel's logits are its cosines over it.
    """

    label_space: LabelSpace
    vectors: Tensor
    present: Tensor
    sums: Tensor
    temperature: float

    @property
    def taxonomies(self) -> list[str]:
        """The datasets of which a class has a prototype."""
        space = self.label_space
        return [name for name in space.datasets if bool(self.present[torch.tensor(space.classes_of(name))].any())]

    def datasets_of(self, taxonomy: str | None) -> list[str]:
        """The datasets that ``taxonomy`` means: one name, several joined by ``+``, or None for all.

        Raises:
            UserError: one of them is no dataset with prototypes, or is named twice.
        """
        known = self.taxonomies
        if taxonomy is None:
            return known
        names = [taxonomy] if taxonomy in known else taxonomy.split("+")  # a dataset's name may have a + itself
        for name in names:
            if name not in known:
                raise UserError(f"No prototypes of {name!r}; there are those of {', '.join(known)}, also joined by +.")
            if names.count(name) > 1:
                raise UserError(f"Taxonomy {taxonomy!r} names {name!r} more than once; name each dataset once.")
        return names

    def ids(self, datasets: list[str]) -> Tensor:
        """The global ids of the datasets' classes, in that order, int64 [N]."""
        return torch.tensor([number for name in datasets for number in self.label_space.classes_of(name)])

    def with_class(self, dataset: str, name: str, regions: Tensor) -> Prototypes:
        """The same prototypes and one more: the normalised mean of region embeddings (step 2 of the two-step average).

        Args:
            dataset: the new class's dataset; a new one, or one of these.
            name: the class. If it was added before, its mean goes on over the examples of both.
            regions: float32 [R, D] of unit length, one for each example.

        Raises:
            UserError: the class is one of the pretraining's, or a name cannot be one.
        """
        space = self.label_space
        if not re.fullmatch(r"[\w.-]+", dataset):  # without +, which joins the names of a taxonomy
            raise UserError(f"{dataset!r} cannot be a dataset's name; use letters, digits, '.', '_' and '-'.")
        classes = {known: space.class_names(known) for known in space.datasets}
        if name in classes.get(dataset, ()):
            place = space.offset(dataset) + classes[dataset].index(name)
            if bool(self.present[place]) and not bool(self.sums[place].any()):
                raise UserError(
                    f"{dataset}/{name} is a class of the pretraining, and stays as it was learned; give the new class "
                    "another name or dataset."
                )
            grown = self
        else:
            place = space.classes_of(dataset).stop if dataset in classes else space.num_classes
            classes.setdefault(dataset, []).append(name)
            wider = LabelSpace.concatenate(classes, catch_alls=space.catch_alls, catch_all_as=space.catch_all_as)
            vectors, present, sums = (_insert_zeros(rows, place) for rows in (self.vectors, self.present, self.sums))
            grown = replace(self, label_space=wider, vectors=vectors, present=present, sums=sums)
        total = grown.sums[place] + regions.sum(0)  # the direction of the mean is that of the sum
        return replace(
            grown,
            vectors=_with_row(grown.vectors, place, F.normalize(total, dim=0)),
            present=_with_row(grown.present, place, torch.tensor(True)),
            sums=_with_row(grown.sums, place, total),
        )


def _insert_zeros(rows: Tensor, place: int) -> Tensor:
    return torch.cat([rows[:place], torch.zeros_like(rows[:1]), rows[place:]])


def _with_row(rows: Tensor, place: int, row: Tensor) -> Tensor:
    changed = rows.clone()
    changed[place] = row
    return changed
