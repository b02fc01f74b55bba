"""The errors that users are meant to see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

FaultKind = Literal["missing", "damaged", "format", "large", "size", "id", "name"]


def printable(text: str) -> str:
    r"""Control characters as escapes (``\x1b``): a file's name must not move the cursor or forge a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# What torch's allocators and its loader say; a worker that the system killed most likely had too much.
_LACKS_MEMORY = re.compile(
    r"out of memory|can't allocate memory|DataLoader worker .* (killed|exited unexpectedly)", re.S
)
LACK_OF_MEMORY = (
    "there is not enough memory; set batch_size, augment.crop, workers or the scales of eval lower, or eval.window, "
    "which takes large images in parts"
)


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error of Python or torch means that the memory, of the machine or of its GPU, was too small."""
    return isinstance(error, MemoryError) or _LACKS_MEMORY.search(str(error)) is not None


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
