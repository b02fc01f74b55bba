"""Class lists: a text file, a YAML file, or the same as a Python list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdpseg import yaml_text
from mdpseg.data.readers.subset import read_lines
from mdpseg.errors import UserError

Colour = tuple[int, int, int]

_EXAMPLE = "expected a list of names, or of {name: car, color: [64, 0, 128]}"


@dataclass(frozen=True)
class ClassList:
    """Class names, and the colours that stand for them in RGB masks.

    Attributes:
        names: in the order of the local ids.
        colours: one RGB colour a class, or None if masks hold ids.
        ignore: the colour of ignored pixels, or None.
    """

    names: list[str]
    colours: list[Colour] | None = None
    ignore: Colour | None = None


def read_classes(classes: str | Path | Sequence[Any], dataset: str) -> ClassList:
    """Reads a class list.

    Args:
        classes: a ``.yaml`` or ``.yml`` file; any other file is text with one name a line (blank lines and
            ``#`` comments are left out); or what the YAML would hold, as a Python list.
        dataset: the dataset's name, for messages.

    Returns:
        Between 1 and 255 classes of different names and, if given, different colours.

    Raises:
        UserError: the file cannot be read, or is not such a list; names the file and the entry.
    """
    if not isinstance(classes, str | Path):
        return _from_content(list(classes), f"{dataset}: class list")
    path = Path(classes)
    where = f"{dataset}: class list {path}"
    if path.suffix.lower() in (".yaml", ".yml"):
        return _from_content(yaml_text.read(path, where), where)
    return _checked(ClassList(read_lines(path, where)), where)


def _from_content(content: Any, where: str) -> ClassList:
    ignore = None
    if isinstance(content, Mapping):
        unknown = [key for key in content if key not in ("classes", "ignore_color")]
        if unknown:
            raise UserError(f"{where} has no key {unknown[0]!r:.60}; it takes classes and ignore_color.")
        if content.get("ignore_color") is not None:
            ignore = _colour(content["ignore_color"], f"{where}, ignore_color")
        content = content.get("classes")
    if content is None:
        content = []
    if not isinstance(content, list):
        raise UserError(f"{where} is not a list; {_EXAMPLE}.")
    entries = [_entry(entry, where) for entry in content]
    names = [name for name, _ in entries]
    colours = [colour for _, colour in entries if colour is not None]
    if colours and len(colours) < len(names):
        bare = next(name for name, colour in entries if colour is None)
        raise UserError(f"{where}: class {bare!r} has no color, but others have; give all classes one, or none.")
    if ignore is not None and not colours:
        raise UserError(f"{where} has an ignore_color, but its classes have no colors; give each class one.")
    return _checked(ClassList(names, colours or None, ignore), where)


def _entry(entry: Any, where: str) -> tuple[str, Colour | None]:
    if isinstance(entry, str) and entry.strip():
        return entry.strip(), None
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str) and set(entry) <= {"name", "color"}:
        name, _ = _entry(entry["name"], where)
        colour = entry.get("color")
        return name, None if colour is None else _colour(colour, f"{where}, {name!r}")
    raise UserError(f"{where}: {entry!r:.60} is not a class; {_EXAMPLE} (put names such as no or 5 in quotes).")


def _colour(value: Any, where: str) -> Colour:
    if isinstance(value, str) and len(value) == 7 and value[0] == "#":
        try:
            red, green, blue = bytes.fromhex(value[1:])
        except ValueError:
            pass
        else:
            return red, green, blue
    if isinstance(value, list | tuple) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value):
        return value[0], value[1], value[2]
    raise UserError(
        f'{where}: {value!r:.60} is not a color; expected [red, green, blue] of 0..255 or "#rrggbb" in quotes.'
    )


def _checked(classes: ClassList, where: str) -> ClassList:
    count = len(classes.names)
    if not count:
        raise UserError(f"{where} has no classes; give at least one name.")
    if count > 255:
        raise UserError(f"{where} has {count} classes; 8-bit masks hold at most 255 (255 itself is 'ignored').")
    hidden = next((name for name in classes.names if not name.isprintable()), None)
    if hidden is not None:
        raise UserError(f"{where}: class name {hidden!r:.60} holds a control character; write it in plain text.")
    twice = _repeated(classes.names)
    if twice is not None:
        raise UserError(f"{where} names class {twice!r:.60} more than once; names must differ.")
    colours = [*(classes.colours or []), *([classes.ignore] if classes.ignore is not None else [])]
    same = _repeated(colours)
    if same is not None:
        raise UserError(f"{where} gives the color {list(same)} more than once; colors must differ.")
    return classes


def _repeated(values: Sequence[Any]) -> Any:
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
