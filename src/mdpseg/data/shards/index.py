"""The index of a folder of shards: where each image and mask lies, and whose they are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mdpseg.data.readers.decode import LARGEST_FILE
from mdpseg.data.shards.keys import is_id
from mdpseg.errors import UserError
from mdpseg.files import write_text

NAME = "index.json"
LARGEST_INDEX = 2**29  # bytes, some five million images
_FORMAT = "mdpseg-shards-1"
_PACKED = re.compile(rb'"fingerprint":\s*"')  # in an index that pack wrote, however damaged it is


class Member(NamedTuple):
    """A file inside a shard.

    Attributes:
        offset: its first byte in the shard.
        length: bytes.
        crc: CRC-32 of its content, None where nobody computed it.
    """

    offset: int
    length: int
    crc: int | None


class Row(NamedTuple):
    """An image, with its mask if it has one.

    Attributes:
        id: the image's name inside its dataset.
        shard: place of its shard in :attr:`Index.shards`.
        image: its file.
        mask: its mask's file, or None.
    """

    id: str
    shard: int
    image: Member
    mask: Member | None


class Shard(NamedTuple):
    """One .tar file.

    Attributes:
        name: its file name.
        bytes: its size.
        sha256: of all of it, None where nobody computed it.
    """

    name: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Index:
    """What a folder of shards holds.

    Attributes:
        shards: the .tar files.
        rows: all images, in the order in which they were packed.
        dataset: name of the packed dataset, None for shards that others wrote.
        classes: names in the order of the local ids, None where nobody told.
        catch_all: the class that collects the rest.
        fingerprint: of what was packed, see :mod:`mdpseg.data.shards.pack`.
        rule: by which images and masks were told apart, see :mod:`mdpseg.data.shards.scan`; None where pack knew them.
    """

    shards: list[Shard]
    rows: list[Row]
    dataset: str | None = None
    classes: list[str] | None = None
    catch_all: str | None = None
    fingerprint: str | None = None
    rule: int | None = None

    def write(self, path: Path) -> None:
        """Writes it whole, one image a line; in ASCII, because names of files need not be UTF-8."""
        head: dict[str, Any] = {
            "format": _FORMAT,
            "dataset": self.dataset,
            "classes": self.classes,
            "catch_all": self.catch_all,
            "fingerprint": self.fingerprint,
            "columns": "id, shard, offset, length and CRC-32 of the image, then of the mask",
        }
        if self.rule is not None:
            head["rule"] = self.rule
        lines = [f'"{key}": {json.dumps(value)},' for key, value in head.items()]
        write_text(
            path, "\n".join(["{", *lines, f'"shards": {_list(self.shards)},', f'"rows": {_list(self.rows)}', "}\n"])
        )


def _list(rows: Sequence[Shard] | Sequence[Row]) -> str:
    def flat(row: Shard | Row) -> str:
        values: Sequence[Any] = row
        if isinstance(row, Row):
            values = [row.id, row.shard, *row.image, *(row.mask or ())]
        return json.dumps(list(values), separators=(",", ":"))

    return "[\n" + ",\n".join(flat(row) for row in rows) + "\n]"


def parse(content: bytes, where: str) -> Index:
    """Reads an index that anybody may have written.

    Args:
        content: of the file.
        where: its path or address, for messages.

    Raises:
        UserError: it is not an index, or names places outside its shards.
    """
    try:
        data = json.loads(content)
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT}")
        shards = [_shard(entry) for entry in data["shards"]]
        rows = [_row(entry, shards) for entry in data["rows"]]
        if len({row.id for row in rows}) != len(rows):
            raise ValueError("an id stands there twice")
        if len({shard.name for shard in shards}) != len(shards):
            raise ValueError("a shard stands there twice")
        texts = {key: _text(data.get(key)) for key in ("dataset", "catch_all", "fingerprint")}
        classes = data.get("classes")
        if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
            raise ValueError("its classes are not a list of names")
        rule = None if data.get("rule") is None else _number(data["rule"])
        return Index(shards, rows, classes=classes, rule=rule, **texts)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else f"{error}"
        # what pack knows, such as the classes, no scan of the shards finds again
        todo = "remove it if it lies beside the shards, it is then made anew, or pack the dataset again"
        if _PACKED.search(content):
            todo = "copy it again from where the dataset was packed, or pack it again into another folder"
        raise UserError(f"{where} is not the index of shards ({reason:.200}); {todo}.") from None


def _text(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and len(value) < 1000):
        raise ValueError(f"{value!r:.60} is not a name")
    return value


def _shard(entry: Any) -> Shard:
    name, size, digest = entry
    if not isinstance(name, str) or not name.endswith(".tar") or not is_safe(name) or "/" in name:
        raise ValueError(f"{name!r:.60} is not the name of a shard beside it")
    return Shard(name, _number(size), _text(digest))


def _row(entry: Any, shards: Sequence[Shard]) -> Row:
    name, shard, *numbers = entry
    if not isinstance(name, str) or not is_id(name):
        raise ValueError(f"{name!r:.60} is not an id")
    if _number(shard) >= len(shards) or len(numbers) not in (3, 6):
        raise ValueError(f"the entry of {name!r:.60} is not whole")
    members = [_member(numbers[i : i + 3], name, shards[shard]) for i in range(0, len(numbers), 3)]
    return Row(name, shard, members[0], members[1] if len(members) > 1 else None)


def _member(numbers: Sequence[Any], name: str, shard: Shard) -> Member:
    offset, length = _number(numbers[0]), _number(numbers[1])
    if not 0 < length <= LARGEST_FILE or offset + length > shard.bytes:
        raise ValueError(f"{name!r:.60} is said to lie at {offset}, {length} bytes, in {shard.bytes} of {shard.name}")
    return Member(offset, length, None if numbers[2] is None else _number(numbers[2]))


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.60} is not a size or place")
    return value


def is_safe(name: str) -> bool:
    """Whether a name from an archive stays below the folder that it is for, by the rules of any machine."""
    return is_id(name) and "\\" not in name and name[1:2] != ":"
