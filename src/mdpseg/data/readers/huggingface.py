"""Hugging Face datasets: saved to disk, parquet files, or from the hub; whole, or the first samples of a stream."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mdpseg.data.readers.classes import read_classes
from mdpseg.data.readers.decode import (
    DAMAGE,
    LARGEST_FILE,
    damaged,
    decode_ids,
    decode_photograph,
    read_bytes,
    refuse_too_large,
)
from mdpseg.data.readers.json_file import entries, read_json
from mdpseg.data.readers.layout import files_below, inside
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.spool import spool
from mdpseg.data.readers.subset import Subset
from mdpseg.errors import BadFileError, UserError
from mdpseg.text_file import LARGEST_TEXT

LAYOUT = "a folder of Dataset.save_to_disk, or parquet files called SPLIT.parquet, SPLIT-*.parquet or SPLIT/*.parquet"
_TIFF = (b"II*\0", b"MM\0*")


class HuggingFace(PairReader):
    """An image and a mask column of a Hugging Face dataset (extra ``hf``).

    Masks hold ids 0 to K-1 and 255 (ignored): images of one channel, or lists of lists of numbers. Images and masks
    are read as the bytes that the dataset holds, by the decoders of all other readers. Ids are row numbers
    (``00000017``). Samples are uint8 [3, H, W] images and uint8 [H, W] masks.

    With ``stream`` the first samples of the stream, in its own order, are kept as files in ``cache``; from then on the
    dataset is those files.

    Args:
        source: a folder or parquet file, as a path; or a name on the hub, as a text.
        split: which split; a folder that was saved of a single split has only that.
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
        with _told(where):
            rows = _open(source, split, stream is not None, cache, name)
        features = _features(rows, where)
        for column in [image, mask, *([names] if names else [])]:
            if column not in features:
                raise UserError(f"{where} has no column {column!r}; it has {', '.join(features)}.")
        listed = _class_names(classes, features, names or mask, where, name)
        if catch_all is not None and catch_all not in listed:
            raise UserError(f"{name}: catch_all {catch_all!r} is not one of the classes; name one of {listed}.")
        with _told(where):
            rows = _undecoded(rows.select_columns([image, mask]), image, mask)
        self._columns = {"image": image, "mask": mask}
        self._rows: Any = None
        if stream is None:
            self._rows = rows
            pairs = [_row_pair(source, split, row, image, mask) for row in range(len(rows))]
        else:
            if cache is None:
                raise UserError(f"{where} is streamed and needs a cache, a folder for its samples.")
            identity = {"source": str(source), "split": split, "image": image, "mask": mask}

            def samples(start: int) -> Iterator[tuple[bytes, bytes]]:
                with _told(where):
                    for number, row in enumerate(rows.skip(start), start):
                        pair = _row_pair(source, split, number, image, mask)
                        yield _content(row[image], pair.image, name), _content(row[mask], pair.mask, name)

            pairs = spool(samples, Path(cache), stream, identity, name)
        table = id_table({i: i for i in range(len(listed))} | {255: IGNORED})
        super().__init__(pairs, listed, table, name=name, catch_all=catch_all, subset=subset)

    def image(self, index: int) -> Tensor:
        """Reads the image alone, uint8 [3, H, W]."""
        path = self.pairs[index].image
        return decode_photograph(self._file(index, "image", path), path, self.name)

    def mask(self, index: int) -> Tensor:
        """Reads the mask alone, uint8 [H, W]."""
        path = self.pairs[index].mask
        return self.to_local(_decode_ids(self._file(index, "mask", path), path, self.name), path)

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
        return _content(value, path, self.name)


def _row_pair(source: str | Path, split: str, row: int, image: str, mask: str) -> Pair:
    """What a row is called in messages: not a file that is there."""
    key = f"{row:08d}"
    place = Path(source) / split / key
    return Pair(key, place / image.replace("/", "_"), place / mask.replace("/", "_"))


def _open(source: str | Path, split: str, stream: bool, cache: str | Path | None, name: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise UserError(f'{name}: reader huggingface needs the package datasets: pip install "mdpseg[hf]".') from None
    cache_dir = None if cache is None else str(cache)
    if isinstance(source, str):
        return datasets.load_dataset(source, split=split, streaming=stream, cache_dir=cache_dir)
    if (source / "dataset_dict.json").is_file():
        where = f"{name}: {source / 'dataset_dict.json'}"
        splits = read_json(source / "dataset_dict.json", where, LARGEST_TEXT).get("splits")
        if not isinstance(splits, list) or split not in splits:
            found = ", ".join(map(str, splits)) if isinstance(splits, list) else "none"
            raise UserError(f"{name}: no split {split!r} in {source}; found: {found:.200}.")
        source = inside(source, split, where)
    if (source / "state.json").is_file():
        where = f"{name}: {source / 'state.json'}"
        for file in entries(
            read_json(source / "state.json", where, LARGEST_TEXT), "_data_files", {"filename": str}, where
        ):
            inside(source, file["filename"], where)
        saved = datasets.load_from_disk(str(source))
        return saved.to_iterable_dataset() if stream else saved
    files = _parquet_files(source, split, name)
    return datasets.load_dataset(
        "parquet", data_files=[str(file) for file in files], split="train", streaming=stream, cache_dir=cache_dir
    )


def _parquet_files(source: Path, split: str, name: str) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{name}: no folder {source}; expected {LAYOUT}. Correct the path.")
    found = files_below(source, [".parquet"])
    chosen = [
        file
        for file in found
        if file.stem == split or file.stem.startswith(f"{split}-") or file.parent.relative_to(source).name == split
    ]
    if not chosen:
        shown = ", ".join(str(file.relative_to(source)) for file in found[:5]) or "no parquet files"
        raise UserError(f"{name}: no split {split!r} in {source}; expected {LAYOUT}; found: {shown}.")
    return chosen


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turns what ``datasets`` and what it reads raise into a message."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
        raise _cannot_be_read(where, error) from error
    except Exception as error:
        if not type(error).__module__.startswith(("datasets", "huggingface_hub", "pyarrow", "httpx", "fsspec")):
            raise
        raise _cannot_be_read(where, error) from error


def _cannot_be_read(where: str, error: BaseException) -> UserError:
    cause = error.__cause__ or error
    reason = " ".join(str(cause).split()) or type(cause).__name__
    return UserError(f"{where} cannot be read ({reason:.300}); correct its path, name or split, or re-copy it.")


def _features(rows: Any, where: str) -> dict[str, Any]:
    features = rows.features
    if features is None:  # a stream that does not say
        with _told(where):
            features = rows._resolve_features().features
    return dict(features)


def _class_names(
    classes: str | Path | Sequence[Any] | None, features: Mapping[str, Any], column: str, where: str, name: str
) -> list[str]:
    if classes is not None:
        listed = read_classes(classes, name)
        if listed.colours is not None:
            raise UserError(f"{name}: its class list gives colors, but masks of this reader hold ids; leave them out.")
        return listed.names
    names = _class_label(features[column])
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


def _undecoded(rows: Any, image: str, mask: str) -> Any:
    """The same rows; images as the bytes of their files."""
    import datasets

    rows = rows.cast_column(image, datasets.Image(decode=False))
    if isinstance(rows.features[mask], datasets.Image) or _is_file(rows.features[mask]):
        rows = rows.cast_column(mask, datasets.Image(decode=False))
    return rows


def _is_file(feature: Any) -> bool:
    """Whether it holds a file without saying that it is an image: bytes, or a structure of bytes and path."""
    return isinstance(feature, dict) or getattr(feature, "dtype", "") in ("binary", "large_binary", "string")


def _content(value: Any, path: Path, dataset: str) -> bytes:
    """An image's or mask's file; of a mask in lists, as PNG."""
    if isinstance(value, dict):
        content = value.get("bytes")
        if not isinstance(content, bytes) or not content:
            only = f"only the path {value['path']!r:.100}" if value.get("path") else "it is empty"
            wrong = f"{path} has no bytes ({only})"
            todo = "embed the files in the dataset, as save_to_disk and push_to_hub do"
            raise BadFileError(dataset, path, "missing", wrong, todo)
        if len(content) > LARGEST_FILE:
            wrong = f"{path} has {len(content)} bytes, and at most {LARGEST_FILE} are read, which bounds the memory"
            raise BadFileError(dataset, path, "large", wrong, "shrink it, cut it into tiles or remove it")
        return content
    try:
        ids = np.asarray(value)
    except ValueError:  # rows of different lengths
        ids = np.zeros(0)
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or not ids.size or ids.min() < 0 or ids.max() > 255:
        wrong = f"{path} is no image and no mask of height x width whole numbers from 0 to 255"
        raise BadFileError(dataset, path, "format", wrong, "correct the dataset, or name another column")
    buffer = io.BytesIO()
    Image.fromarray(ids.astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _decode_ids(content: bytes, path: Path, dataset: str) -> Tensor:
    """Ids of a PNG, or of a TIFF, which ``datasets`` makes of palettes and of more than 8 bits."""
    if not content.startswith(_TIFF):
        return decode_ids(content, path, dataset)
    try:
        image = Image.open(io.BytesIO(content), formats=["TIFF"])
        refuse_too_large(image.size, path, dataset)
        ids = np.asarray(image)
    except BadFileError:
        raise
    except DAMAGE as error:
        raise damaged(path, dataset, error) from error
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() > 255:
        wrong = f"mask {path} is a TIFF of other values than ids from 0 to 255"
        raise BadFileError(dataset, path, "format", wrong, "save the ids as an 8-bit image of one channel")
    return torch.from_numpy(ids.astype(np.uint8))
