"""Annotations as JSON: read up to a bound, and one kind of error for every fault."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mdpseg.errors import UserError
from mdpseg.text_file import read_text

LARGEST_JSON = 2**30  # bytes; instances_train2017.json of COCO has 449 MB


def read_json(path: Path, where: str, most: int = LARGEST_JSON) -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Args:
        path: the file.
        where: what and which it is, for messages.
        most: bytes that are read at most.

    Raises:
        UserError: it cannot be read, is too large, is no JSON, nests without end, holds NaN, Infinity or endless
            numbers, or is no object.
    """
    text = read_text(path, where, most)
    try:
        content = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise UserError(f"{where} is not valid JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise UserError(f"{where} is not valid JSON: {error}; re-copy it.") from None
    if not isinstance(content, dict):
        raise UserError(f"{where} is a {type(content).__name__}; expected an object of keys and values.")
    return content


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def entries(content: Mapping[str, Any], key: str, fields: Mapping[str, type], where: str) -> list[dict[str, Any]]:
    """The list of objects under ``key``, each of which has all ``fields``, of their types.

    Raises:
        UserError: it is no such list; names the entry and the field.
    """
    found = content.get(key)
    if not isinstance(found, list):
        raise UserError(f"{where} has no list {key!r}; expected one, of objects with {', '.join(fields)}.")
    for place, entry in enumerate(found):
        for field, kind in fields.items():
            value = entry.get(field) if isinstance(entry, dict) else None
            if not isinstance(value, kind) or isinstance(value, bool):
                raise UserError(
                    f"{where}: {key}[{place}] has {field} {value!r:.60}; expected an object whose {field} is "
                    f"{'a whole number' if kind is int else 'a text' if kind is str else f'a {kind.__name__}'}."
                )
    return found


class PackedJson:
    """Many JSON values as one block of bytes: processes that read share it, and Python's counters never touch it.

    Args:
        values: what is kept; ``packed[i]`` makes the i-th anew.
    """

    def __init__(self, values: Iterable[Any]) -> None:
        texts = [json.dumps(value, separators=(",", ":")).encode() for value in values]
        self._ends = np.cumsum([0, *map(len, texts)])  # [N + 1]
        self._bytes = b"".join(texts)

    def __getitem__(self, index: int) -> Any:
        return json.loads(self._bytes[self._ends[index] : self._ends[index + 1]])
