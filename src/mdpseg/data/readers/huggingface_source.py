"""Opens a Hugging Face dataset: saved to disk, parquet files, or from the hub; whole or as a stream."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mdpseg.data.readers.json_file import entries, read_json
from mdpseg.data.readers.layout import files_below, inside
from mdpseg.errors import UserError
from mdpseg.text_file import LARGEST_TEXT

LAYOUT = "a folder of Dataset.save_to_disk, or parquet files called SPLIT.parquet, SPLIT-*.parquet or SPLIT/*.parquet"

# A run's own recipe.yaml writes it out, too, so nobody may have asked for it.
_DEFAULT = "train"


def open_rows(source: str | Path, split: str, stream: bool, cache: str | Path | None, name: str) -> Any:
    """The rows of a split, as ``datasets`` gives them.

    Args:
        source: a folder or parquet file, as a path; or a name on the hub, as a text.
        split: which split; ``train``, the default of an entry, is also whatever a place of a single split holds.
        stream: whether rows come one by one, without being kept.
        cache: folder of what ``datasets`` downloads or makes.
        name: the dataset's name, for messages.

    Raises:
        UserError: ``datasets`` is not installed, or there is no such dataset or split. What ``datasets`` itself raises
            is for :func:`told`.
    """
    try:
        import datasets
    except ImportError:
        raise UserError(f'{name}: reader huggingface needs the package datasets: pip install "mdpseg[hf]".') from None
    cache_dir = None if cache is None else str(cache)
    if isinstance(source, str):
        return datasets.load_dataset(source, split=split, streaming=stream, cache_dir=cache_dir)
    alone = not (source / "dataset_dict.json").is_file()
    if not alone:
        where = f"{name}: {source / 'dataset_dict.json'}"
        splits = read_json(source / "dataset_dict.json", where, LARGEST_TEXT).get("splits")
        if not isinstance(splits, list) or split not in splits:
            found = ", ".join(map(str, splits)) if isinstance(splits, list) else "none"
            raise UserError(f"{name}: no split {split!r} in {source}; found: {found:.200}.")
        source = inside(source, split, where)
    if (source / "state.json").is_file():
        where = f"{name}: {source / 'state.json'}"
        state = read_json(source / "state.json", where, LARGEST_TEXT)
        for file in entries(state, "_data_files", {"filename": str}, where):
            inside(source, file["filename"], where)
        if alone:
            _refuse_other_split(name, split, source, state.get("_split"))
        saved = datasets.load_from_disk(str(source))
        return saved.to_iterable_dataset() if stream else saved
    files = _parquet_files(source, split, name)
    patterns = [glob.escape(str(file)) for file in files]  # what `datasets` takes them for
    return datasets.load_dataset("parquet", data_files=patterns, split="train", streaming=stream, cache_dir=cache_dir)


def _refuse_other_split(name: str, split: str, source: Path, saved: object) -> None:
    """Complains where a single split was saved, such as ``train`` or ``train[:50%]+test``, and another is asked for."""
    if split == _DEFAULT or not isinstance(saved, str) or not saved:
        return
    if split != saved and split not in [part.partition("[")[0].strip() for part in saved.split("+")]:
        raise UserError(
            f"{name}: no split {split!r} in {source}, which was saved of split {saved!r:.60}; correct the path, or "
            "leave `split` out to read it as it is."
        )


def _parquet_files(source: Path, split: str, name: str) -> list[Path]:
    if source.is_file():
        if split != _DEFAULT and not _is_of(source, split, source.parent.name):
            raise UserError(
                f"{name}: the name of {source} does not say that it is of split {split!r}; expected {split}.parquet, "
                f"{split}-*.parquet or {split}/*.parquet. Correct the path, or leave `split` out to read it as it is."
            )
        return [source]
    if not source.is_dir():
        raise UserError(f"{name}: no folder {source}; expected {LAYOUT}. Correct the path.")
    found = files_below(source, [".parquet"])
    chosen = [file for file in found if _is_of(file, split, file.parent.relative_to(source).name)]
    if not chosen:
        shown = ", ".join(str(file.relative_to(source)) for file in found[:5]) or "no parquet files"
        raise UserError(f"{name}: no split {split!r} in {source}; expected {LAYOUT}; found: {shown}.")
    return chosen


def _is_of(file: Path, split: str, folder: str) -> bool:
    """Whether a parquet file is of a split, by its name or its folder's."""
    return file.stem == split or file.stem.startswith(f"{split}-") or folder == split


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turns what ``datasets`` and what it reads raise into a message."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise _cannot_be_read(where, error) from error
    except Exception as error:
        if not type(error).__module__.startswith(("datasets", "huggingface_hub", "pyarrow", "httpx", "fsspec")):
            raise
        raise _cannot_be_read(where, error) from error


def _cannot_be_read(where: str, error: BaseException) -> UserError:
    cause = error.__cause__ or error
    reason = " ".join(str(cause).split()) or type(cause).__name__
    return UserError(f"{where} cannot be read ({reason:.300}); correct its path, name or split, or re-copy it.")


def features_of(rows: Any, where: str) -> dict[str, Any]:
    """Column -> its type, as ``datasets`` tells it; ``where`` is for messages."""
    features = rows.features
    if features is None:  # a stream that does not say
        with told(where):
            features = rows._resolve_features().features
    return dict(features)
