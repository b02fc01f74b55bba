"""An image's id as the key of its files in a shard, and back."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

# WebDataset ends a key at its first dot; a colon or a backslash would make it a path of another machine.
_ESCAPES = str.maketrans({character: f"%{ord(character):02X}" for character in "%.:\\"})
_ESCAPED = re.compile("%(25|2E|3A|5C)")


def key_of(name: str) -> str:
    """The id as a key."""
    return name.translate(_ESCAPES)


def id_of(key: str) -> str:
    """The id whose key it is; the key itself where :func:`key_of` makes no such key, or the id would be none."""
    name = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), key)
    return name if key_of(name) == key and is_id(name) else key


def is_id(name: str) -> bool:
    """Whether a name stays below the folder that it is for: neither absolute nor with ``..``."""
    path = PurePosixPath(name)
    return bool(name) and "\0" not in name and not path.is_absolute() and ".." not in path.parts
