"""What lies beside a dataset and speaks of its licence."""

from __future__ import annotations

from pathlib import Path

from mdpseg.data.download.get import LICENCE
from mdpseg.errors import printable

_MOST_READ = 2**16  # bytes
_MOST_TOLD = 400  # characters


def licence_note(reader: str, folder: Path | None) -> str:
    """In one line, what is known of a dataset's licence; empty where nothing is.

    Args:
        reader: the dataset's reader; toy worlds are mdpseg's own.
        folder: where the dataset lies (or its list of files). Its ``SOURCE.md`` is asked for the lines that speak of a
            licence or of terms, then the ``LICENCE.txt`` that ``mdpseg data get`` writes for all of it.
    """
    if reader == "toy":
        return "made by mdpseg (Apache-2.0)"
    if folder is None:
        return ""
    folder = folder.parent if folder.is_file() else folder
    lines = [line for line in _lines(folder / "SOURCE.md") if "licen" in line.lower() or "terms" in line.lower()]
    told = " ".join((lines or _lines(folder / LICENCE))[:3])
    return told if len(told) <= _MOST_TOLD else f"{told[: _MOST_TOLD - 4]} ..."


def _lines(file: Path) -> list[str]:
    """The lines that say something, without Markdown's marks."""
    try:
        if not file.is_file() or file.stat().st_size > _MOST_READ:
            return []
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # a note that may not be read stops no training
        return []
    told: list[str] = []
    for line in lines:
        bare = printable(line.strip(" -*#|").replace("**", ""))
        if bare and told and line.startswith((" ", "\t")):  # goes on with the line above
            told[-1] += f" {bare}"
        elif bare:
            told.append(bare)
    return told
