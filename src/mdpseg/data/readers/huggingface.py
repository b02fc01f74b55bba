"""Hugging Face datasets: saved to disk, parquet files, or from the hub; whole, or the first samples of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from mdpseg.data.readers.classes import read_classes
from mdpseg.data.readers.decode import damaged, decode_photograph, read_bytes
from mdpseg.data.readers.huggingface_cells import content_of, decode_cell_ids, undecoded
from mdpseg.data.readers.huggingface_source import features_of, open_rows, told
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.spool import kept, spool
from mdpseg.data.readers.subset import Subset
from mdpseg.errors import UserError


class HuggingFace(PairReader):
    """An image and a mask column of a Hugging Face dataset (extra ``hf``).

    Masks hold ids 0 to K-1 and 255 (ignored): images of one channel, or lists of lists of numbers. Images and masks
    are read as the bytes that the dataset holds, by the decoders of all other readers. Ids are row numbers
    (``00000017``). Samples are uint8 [3, H, W] images and uint8 [H, W] masks.

    With ``stream`` the first samples of the stream, in its own order, are kept as files in ``cache``; from then on the
    dataset is those files, and the source is not opened again.

    Args:
        source: a folder or parquet file, as a path; or a name on the hub, as a text.
        split: which split; ``train`` is also whatever a single parquet file, or a folder that was saved of a single
            split, holds.
        classes: a class list, see :func:`mdpseg.data.readers.classes.read_classes`; default: the names of ``names``, or
            of the mask column if its numbers are a ClassLabel.
        image: column of the images.
        mask: column of the masks.
        names: column whose ClassLabel, also inside a list, has the class names.
        stream: how many samples are streamed; default: all are there.
        cache: folder of streamed samples, or of the Arrow files that ``datasets`` makes of parquet.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.
        catch_all: the class that collects whatever has no class here, if there is one.

    Raises:
        UserError: ``datasets`` is not installed, there is no such dataset, split or column, no class names, a
            catch-all that is not a class, or the cache holds another stream.
    """

    def __init__(
        self,
        source: str | Path,
        split: str,
        classes: str | Path | Sequence[Any] | None = None,
        *,
        image: str = "image",
        mask: str = "mask",
        names: str | None = None,
        stream: int | None = None,
        cache: str | Path | None = None,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "huggingface",
        catch_all: str | None = None,
    ) -> None:
        where = f"{name}: dataset {source}"
        if stream is not None and cache is None:
            raise UserError(f"{where} is streamed and needs a cache, a folder for its samples.")
        labels = names or mask
        identity = {"source": str(source), "split": split, "image": image, "mask": mask}
        there = kept(Path(cache), stream, identity, name) if stream is not None and cache is not None else None
        rows: Any = None
        if there is not None and (classes is not None or labels in there.names):
            known = there.names.get(labels)  # and nothing is opened: neither the network nor the source is needed
        else:
            with told(where):
                rows = open_rows(source, split, stream is not None, cache, name)
            features = features_of(rows, where)
            for column in (image, mask, labels):
                if column not in features:
                    raise UserError(f"{where} has no column {column!r}; it has {', '.join(features)}.")
            with told(where):
                rows = undecoded(rows.select_columns([image, mask]), image, mask)
            known = _class_label(features[labels])
        listed = _class_names(classes, known, labels, where, name)
        if catch_all is not None and catch_all not in listed:
            raise UserError(f"{name}: catch_all {catch_all!r} is not one of the classes; name one of {listed}.")
        self._columns = {"image": image, "mask": mask}
        self._rows: Any = rows if stream is None else None
        naming = partial(_row_pair, source, split, image=image, mask=mask)
        if there is not None and rows is None:
            pairs = there.pairs
        elif stream is None or cache is None:
            pairs = [naming(row) for row in range(len(rows))]
        else:
            samples = partial(_samples, rows, naming, image, mask, where, name)
            noted = {labels: known} if known is not None and classes is None else {}
            try:
                pairs = spool(samples, Path(cache), stream, identity, name, noted)
            except UserError:
                if there is None:
                    raise
                pairs = there.pairs  # where class names cannot be noted they are asked for each time
        table = id_table({i: i for i in range(len(listed))} | {255: IGNORED})
        super().__init__(pairs, listed, table, name=name, catch_all=catch_all, subset=subset)

    def image(self, index: int) -> Tensor:
        """Reads the image alone, uint8 [3, H, W]."""
        path = self.pairs[index].image
        return decode_photograph(self._file(index, "image", path), path, self.name)

    def mask(self, index: int) -> Tensor:
        """Reads the mask alone, uint8 [H, W]."""
        path = self.pairs[index].mask
        return self.to_local(decode_cell_ids(self._file(index, "mask", path), path, self.name), path)

    def paths(self, index: int) -> tuple[Path, ...]:
        """The files of a streamed sample; those of a row are all rows'."""
        return () if self._rows is not None else super().paths(index)

    def check_files(self) -> None:
        """Rows have no files of their own that might be missing."""
        if self._rows is None:
            super().check_files()

    def _file(self, index: int, kind: str, path: Path) -> bytes:
        """The content of an image's or mask's file."""
        if self._rows is None:
            return read_bytes(path, self.name)
        row, column = int(self.pairs[index].id), self._columns[kind]
        try:
            value = self._rows[row][column]
        except (OSError, ValueError, TypeError, OverflowError) as error:
            raise damaged(path, self.name, error) from error
        return content_of(value, path, self.name)


def _samples(
    rows: Any, naming: Callable[[int], Pair], image: str, mask: str, where: str, name: str, start: int
) -> Iterator[tuple[bytes, bytes]]:
    """The content of image and mask of each row of a stream from one on."""
    with told(where):
        for number, row in enumerate(rows.skip(start), start):
            pair = naming(number)
            yield content_of(row[image], pair.image, name), content_of(row[mask], pair.mask, name)


def _row_pair(source: str | Path, split: str, row: int, image: str, mask: str) -> Pair:
    """What a row is called in messages: not a file that is there."""
    key = f"{row:08d}"
    place = Path(source) / split / key
    return Pair(key, place / image.replace("/", "_"), place / mask.replace("/", "_"))


def _class_names(
    classes: str | Path | Sequence[Any] | None, names: Sequence[Any] | None, column: str, where: str, name: str
) -> list[str]:
    if classes is not None:
        listed = read_classes(classes, name)
        if listed.colours is not None:
            raise UserError(f"{name}: its class list gives colors, but masks of this reader hold ids; leave them out.")
        return listed.names
    if names is None:
        raise UserError(
            f"{where}: column {column!r} has no ClassLabel with class names; give them by `classes`, a list or a file, "
            "or name the column that has them by hf.names."
        )
    return read_classes(list(names), name).names


def _class_label(feature: Any) -> list[str] | None:
    """The names of a ClassLabel, also inside of lists and structures."""
    from datasets import ClassLabel

    if isinstance(feature, ClassLabel):
        return list(feature.names)
    inner = getattr(feature, "feature", None)
    parts = [inner] if inner is not None else list(feature.values()) if isinstance(feature, dict) else []
    parts = feature if isinstance(feature, list) else parts
    return next((found for part in parts if (found := _class_label(part)) is not None), None)
