"""Very large images in blocks, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# An image of more pixels than this is taken block by block. All are multiples of any decoder's stride.
LARGEST_WHOLE = 2**23
SIDE = 1536
MARGIN = 256


class Block(NamedTuple):
    """A part of an image: what it decides about, and what the network sees of it (a margin more).

    Attributes:
        inner: slices of rows and columns.
        outer: the same, with margins as far as the image goes.
    """

    inner: tuple[slice, slice]
    outer: tuple[slice, slice]

    def within(self, stride: int = 1) -> tuple[slice, slice]:
        """Where the inner part lies in the outer one, in cells of ``stride`` pixels."""
        rows, columns = (
            slice((inner.start - outer.start) // stride, -(-(inner.stop - outer.start) // stride))
            for inner, outer in zip(self.inner, self.outer, strict=True)
        )
        return rows, columns


def blocks(height: int, width: int, largest: int = LARGEST_WHOLE) -> Iterator[Block]:
    """The blocks of an image, which tile it; a single one where it has at most ``largest`` pixels."""
    if height * width <= largest:
        whole = slice(0, height), slice(0, width)
        yield Block(whole, whole)
        return
    for top in range(0, height, SIDE):
        for left in range(0, width, SIDE):
            inner = slice(top, min(top + SIDE, height)), slice(left, min(left + SIDE, width))
            outer = (
                slice(max(0, top - MARGIN), min(top + SIDE + MARGIN, height)),
                slice(max(0, left - MARGIN), min(left + SIDE + MARGIN, width)),
            )
            yield Block(inner, outer)
