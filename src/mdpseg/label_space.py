"""Concatenated label spaces: every class of every dataset is a class of its own.

Global id = offset of the dataset + local id. Nothing is merged: ``voc/person`` and ``ade20k/person`` are two classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from mdpseg.errors import UserError

CatchAll = Literal["class", "ignore", "private"]
Denominator = Literal["all", "own_dataset", "no_lookalikes"]

# Codes in targets beside the global ids.
_IGNORED = -1  # counts for nothing
UNLABELLED = -2  # came without a label; pretraining may mine one
_UNKNOWN = -3  # inside this file only: an id that a mask must not hold
_BEYOND_8_BITS = 256  # inside this file only: stands in a mask for an ignore index that 8 bits do not hold


def unlabelled_targets(mask: Tensor) -> Tensor:
    """Targets of an image that came without labels.

    Args:
        mask: its mask, in which only 255 (outside the image) has a meaning; any shape.

    Returns:
        int64 of the same shape, -1 where ignored, else :data:`UNLABELLED`.
    """
    return torch.where(mask == 255, _IGNORED, UNLABELLED)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip()) and name.isprintable()


class LabelSpace:
    """The classes of several datasets, laid end to end.

    Build it with :meth:`concatenate`. Attributes are read-only by convention.

    Attributes:
        datasets: dataset names, in order.
        names: ``"dataset/class"`` for each global id.
        num_classes: K, the number of global ids.
        catch_alls: dataset name -> its catch-all class, for those that have one.
        catch_all_as: how catch-alls are treated, see :meth:`concatenate`.
    """

    def __init__(
        self,
        classes: Mapping[str, Sequence[str]],
        catch_alls: Mapping[str, str] | None = None,
        catch_all_as: CatchAll = "private",
    ) -> None:
        for dataset, names in classes.items():
            if isinstance(names, str):  # would be a class a letter
                raise UserError(f"Dataset {dataset!r} has the text {names!r:.60} for its classes; expected a list.")
        self._classes = {dataset: list(names) for dataset, names in classes.items()}
        self.catch_alls = dict(catch_alls or {})
        self.catch_all_as: CatchAll = catch_all_as
        self._check()
        self.datasets = list(self._classes)
        self.names = [f"{dataset}/{name}" for dataset, names in self._classes.items() for name in names]
        self.num_classes = len(self.names)
        ends = accumulate(map(len, self._classes.values()), initial=0)
        self._offsets = dict(zip(self.datasets, ends, strict=False))
        self._tables: dict[tuple[str, int], Tensor] = {}

    @classmethod
    def concatenate(
        cls,
        classes: Mapping[str, Sequence[str]],
        *,
        catch_alls: Mapping[str, str] | None = None,
        catch_all_as: CatchAll = "private",
    ) -> LabelSpace:
        """Lays the label sets of several datasets end to end, in the order given.

        Args:
            classes: dataset name -> its class names in the order of their local ids.
            catch_alls: dataset name -> the class that collects whatever has no class there (VOC ``background``).
            catch_all_as: what becomes of a catch-all's pixels. ``class``: a class like any other. ``ignore``: they
                count for nothing. ``private``: a class, but never a negative for pixels of other datasets.

        Raises:
            UserError: a label set is empty, too long, or names a class twice; a name that is not plain text, or of a
                dataset with "/"; a catch-all that is not a class.
        """
        return cls(classes, catch_alls, catch_all_as)

    def _check(self) -> None:
        if not self._classes:
            raise UserError("A label space needs at least one dataset; none was given.")
        for dataset, names in self._classes.items():  # they may come from the header of somebody's weights file
            if not _is_name(dataset) or "/" in dataset:  # the first "/" of a full name ends its dataset
                raise UserError(f"A dataset is called {dataset!r:.60}; expected a name in plain text, without '/'.")
            if not names:
                raise UserError(f"Dataset {dataset!r} has no classes; give it at least one class name.")
            if len(names) > 255:
                raise UserError(
                    f"Dataset {dataset!r} has {len(names)} classes; masks of 8 bits hold at most 255 (255 itself is "
                    "'ignored')."
                )
            for name in names:
                if not _is_name(name):
                    raise UserError(f"Dataset {dataset!r} has a class {name!r:.60}; expected a name in plain text.")
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise UserError(f"Dataset {dataset!r} names class {twice[0]!r} more than once; names must differ.")
        for dataset, name in self.catch_alls.items():
            if name not in self._classes.get(dataset, ()):
                raise UserError(f"Catch-all {name!r} is not a class of dataset {dataset!r}; name one of its classes.")
        if self.catch_all_as not in ("class", "ignore", "private"):
            raise UserError(f"catch_all_as is {self.catch_all_as!r}; expected class, ignore or private.")

    def offset(self, dataset: str) -> int:
        """The global id of the dataset's first class."""
        self._known(dataset)
        return self._offsets[dataset]

    def classes_of(self, dataset: str) -> range:
        """The global ids of the dataset's classes."""
        start = self.offset(dataset)
        return range(start, start + len(self._classes[dataset]))

    def class_names(self, dataset: str) -> list[str]:
        """The dataset's own class names, in the order of their local ids."""
        self._known(dataset)
        return list(self._classes[dataset])

    def encode(
        self,
        mask: Tensor,
        dataset: str,
        ignore_index: int = 255,
        *,
        file: str | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Turns a mask of local ids into global ids, by one look-up in a table.

        Args:
            mask: local ids, uint8 (or any integer dtype with values 0..255), any shape.
            dataset: whose local ids these are.
            ignore_index: the id that means "ignored"; in a mask of more than 8 bits it may be any, such as -1.
            file: the mask's file, for the message of an error.
            out: int64 tensor of the mask's shape, contiguous, to put the ids into; default: a new one.

        Returns:
            int64 global ids of the same shape, -1 where ignored.

        Raises:
            UserError: (a ValueError) an id outside the dataset's classes; names dataset, file and id.
        """
        self._known(dataset)
        mask = torch.as_tensor(mask)
        if mask.is_floating_point() or mask.is_complex():
            raise UserError(f"Dataset {dataset!r}: the mask has dtype {mask.dtype}; expected integers, best uint8.")
        if mask.dtype != torch.uint8:
            mask = mask.long()
            ignored = mask == ignore_index
            outside = mask[((mask < 0) | (mask > 255)) & ~ignored]
            if outside.numel():
                raise self._bad_ids(dataset, outside, file)
            if not 0 <= ignore_index <= 255:
                mask = mask.masked_fill(ignored, _BEYOND_8_BITS)
        mask = mask.int()
        # index_select: indexing with [mask] takes eight times as long
        table = self._table(dataset, ignore_index).to(mask.device)
        encoded = mask.new_empty(mask.shape, dtype=torch.int64) if out is None else out
        torch.index_select(table, 0, mask.reshape(-1), out=encoded.view(-1))
        if encoded.numel() and int(encoded.min()) == _UNKNOWN:  # the lowest of all ids
            raise self._bad_ids(dataset, mask[encoded == _UNKNOWN], file)
        return encoded

    def _table(self, dataset: str, ignore_index: int) -> Tensor:
        key = (dataset, ignore_index)
        if key not in self._tables:
            table = torch.full((256 + 1,), _UNKNOWN, dtype=torch.int64)
            ids = self.classes_of(dataset)
            table[: len(ids)] = torch.arange(ids.start, ids.stop)
            if dataset in self.catch_alls and self.catch_all_as == "ignore":
                table[self._classes[dataset].index(self.catch_alls[dataset])] = _IGNORED
            table[ignore_index if 0 <= ignore_index <= 255 else _BEYOND_8_BITS] = _IGNORED
            self._tables[key] = table
        return self._tables[key]

    def _bad_ids(self, dataset: str, values: Tensor, file: str | None) -> UserError:
        shown = ", ".join(str(int(v)) for v in torch.unique(values)[:5])
        where = f" in {file}" if file else ""
        count = len(self._classes[dataset])
        return UserError(
            f"Dataset {dataset!r}: mask id {shown}{where} is outside its {count} classes (0..{count - 1}, or the "
            "ignore index). Correct the mask or the class list."
        )

    def _known(self, dataset: str) -> None:
        if dataset not in self._classes:
            raise UserError(f"No dataset {dataset!r} in this label space; it has {', '.join(self._classes)}.")

    def dataset_of_class(self) -> Tensor:
        """The index of each class's dataset, int64 [K]."""
        sizes = torch.tensor([len(names) for names in self._classes.values()])
        return torch.repeat_interleave(torch.arange(len(sizes)), sizes)  # [K]

    def private_classes(self) -> Tensor:
        """Which classes are never negatives for other datasets' pixels, bool [K]."""
        private = torch.zeros(self.num_classes, dtype=torch.bool)
        if self.catch_all_as == "private":
            for dataset, name in self.catch_alls.items():
                private[self._offsets[dataset] + self._classes[dataset].index(name)] = True
        return private

    def denominator(self, kind: Denominator = "all") -> Tensor:
        """Which classes stand in the softmax denominator of a pixel, by the pixel's class.

        Args:
            kind: ``own_dataset`` counts the classes of the pixel's own dataset only; ``all`` (and ``no_lookalikes``,
                which depends on prototypes and is narrowed down from here) counts all but other datasets' private ones.

        Returns:
            bool [K, K]; entry (c, j) says whether class j counts for a pixel of class c. The diagonal is True.
        """
        dataset = self.dataset_of_class()
        own = dataset[:, None] == dataset[None, :]  # [K, K]
        if kind == "own_dataset":
            return own
        return own | ~self.private_classes()[None, :]

    def to_json(self) -> str:
        """The whole label space as one line of JSON, as it is stored beside weights."""
        content = {
            "classes": self._classes,
            "catch_alls": self.catch_alls,
            "catch_all_as": self.catch_all_as,
        }
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> LabelSpace:
        """The inverse of :meth:`to_json`."""
        content = json.loads(text)
        return cls(content["classes"], content["catch_alls"], content["catch_all_as"])

    def __len__(self) -> int:
        return self.num_classes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSpace) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __repr__(self) -> str:
        parts: Iterable[str] = (f"{d}: {len(names)}" for d, names in self._classes.items())
        return f"LabelSpace({', '.join(parts)}; {self.num_classes} classes)"
