"""Label sets merged by hand, as a mapping file says: the baseline that concatenated label spaces are judged by."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdpseg import yaml_text
from mdpseg.data.loader import Reader
from mdpseg.data.readers.pairs import IGNORED, Sample, id_table, look_up
from mdpseg.errors import UserError
from mdpseg.label_space import CatchAll

LABEL_SET = "merged"
_EXPECTED = "expected `merged name: [dataset/class, dataset/class]`, one a line"


class MergedReader:
    """A dataset whose masks are turned into ids of the merged label set, which several such readers share.

    The datasets stay apart as sources: draws and mixing are what they are without the merging.

    Args:
        reader: the dataset.
        classes: names of the merged classes.
        local_ids: the dataset's class name -> merged id, or 255 (ignored).

    Attributes:
        name: the dataset's name.
        label_set: the merged one.
        classes: names of the merged classes.
        catch_all: None. A merged label set may hold several catch-alls; ``private`` would have no meaning there.
    """

    def __init__(self, reader: Reader, classes: Sequence[str], local_ids: Mapping[str, int]) -> None:
        self.reader = reader
        self.name = reader.name
        self.label_set: str | None = LABEL_SET
        self.classes = list(classes)
        self.catch_all: str | None = None
        table = {local: local_ids[name] for local, name in enumerate(reader.classes)}
        self._table = id_table(table | {IGNORED: IGNORED})  # uint8 [256]; readers refuse other ids themselves

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> Sample:
        sample = self.reader[index]
        return Sample(sample.image, look_up(sample.mask, self._table), sample.id)


def merge_readers(
    readers: Sequence[Reader], mapping: Mapping[str, Sequence[str]], catch_all_as: CatchAll
) -> list[Reader]:
    """Gives all labelled readers the merged label set; unlabelled ones stay as they are.

    Args:
        readers: the datasets.
        mapping: merged class -> the full names of its classes, see :func:`read_mapping`.
        catch_all_as: with ``ignore`` the pixels of the datasets' catch-alls count for nothing, else they are classes
            like any other.
    """
    merged_ids = {full: number for number, members in enumerate(mapping.values()) for full in members}

    def local_ids(reader: Reader) -> dict[str, int]:
        ids = {name: merged_ids[f"{reader.name}/{name}"] for name in reader.classes}
        if catch_all_as == "ignore" and reader.catch_all:
            ids[reader.catch_all] = IGNORED
        return ids

    return [
        reader if reader.label_set is None else MergedReader(reader, list(mapping), local_ids(reader))
        for reader in readers
    ]


def read_mapping(path: Path, readers: Sequence[Reader]) -> dict[str, list[str]]:
    """Reads a mapping file (``person: [voc/person, msrc/body]``) and completes it.

    Args:
        path: the YAML file.
        readers: the datasets whose classes it may list.

    Returns:
        Merged class -> full names, in the order of the file; then each class that the file does not list, as one of its
        own under its full name.

    Raises:
        UserError: the file cannot be read, is no such mapping, lists an unknown class or one class twice, or leaves
            more than 255 classes.
    """
    where = f"merge file {path}"
    known = [f"{reader.name}/{name}" for reader in readers for name in reader.classes]
    mapping = _load(path, where)
    merged_as: dict[str, str] = {}
    for merged, members in mapping.items():
        _check_entry(merged, members, where)
        for full in members:
            if full not in known:
                near = difflib.get_close_matches(full, known, n=1, cutoff=0.0)[0]
                raise UserError(
                    f"{where}: {merged!r} lists {full!r}, which is no class of this recipe's labelled datasets; "
                    f"did you mean {near!r}?"
                )
            if full in merged_as:
                raise UserError(
                    f"{where} lists {full!r} twice (in {merged_as[full]!r} and in {merged!r}); a class becomes one "
                    "merged class, remove it from the other."
                )
            merged_as[full] = merged
    complete = mapping | {full: [full] for full in known if full not in merged_as}
    if len(complete) > 255:
        raise UserError(f"{where} leaves {len(complete)} classes; 8-bit masks hold at most 255, so merge more of them.")
    return complete


def _load(path: Path, where: str) -> dict[Any, Any]:
    content = yaml_text.read(path, where)
    if not isinstance(content, dict) or not content:
        raise UserError(f"{where} holds {content!r:.60}; {_EXPECTED}.")
    return content


def _check_entry(merged: Any, members: Any, where: str) -> None:
    if not isinstance(merged, str) or not merged.strip() or "/" in merged:
        raise UserError(
            f"{where}: {merged!r} is no name for a merged class; expected one without a slash (those are the names of "
            "classes that stay alone), in quotes if it is a word such as no or 5."
        )
    if not isinstance(members, list) or not all(isinstance(full, str) for full in members):
        raise UserError(f"{where}: {merged!r} is {members!r:.60}; {_EXPECTED}.")
    if not members:
        raise UserError(f"{where}: {merged!r} lists no class; list at least one, or remove it.")
