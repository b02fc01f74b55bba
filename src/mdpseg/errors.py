"""The errors that users are meant to see."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

FaultKind = Literal["missing", "damaged", "format", "large", "size", "id", "name"]


def printable(text: str) -> str:
    r"""Control characters as escapes (``\x1b``): a file's name must not move the cursor or forge a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UserError(ValueError):
    """Something in the user's input is wrong; the message says what, where and what to do, in one printable line.

    The command line prints the message alone and exits with code 2. It derives from ValueError, so that callers from
    Python may catch it as the ordinary complaint about a value.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class BadFileError(UserError):
    """A file of a dataset that cannot be used. Training may skip it; ``data check`` lists all of them.

    Attributes:
        dataset: the dataset's name.
        file: which file.
        kind: what sort of fault it is.
        wrong: what is wrong with the file, which is named.
        todo: what was expected, and what to do.
    """

    def __init__(self, dataset: str, file: Path, kind: FaultKind, wrong: str, todo: str) -> None:
        super().__init__(f"{dataset}: {wrong}; {todo}.")
        self.dataset, self.file, self.kind, self.wrong, self.todo = dataset, file, kind, wrong, todo

    def __reduce__(self) -> tuple[Any, ...]:  # faults travel from worker processes
        return BadFileError, (self.dataset, self.file, self.kind, self.wrong, self.todo)
