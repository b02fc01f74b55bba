"""Everything that is wrong with the data of a recipe or a folder, found before a run finds the first of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mdpseg.config import DatasetConfig, EvaluateConfig, FinetuneConfig, PretrainConfig, SubsetConfig
from mdpseg.data.check_report import Part, Report
from mdpseg.data.class_shares import ClassShares
from mdpseg.data.duplicates import same_bytes, same_look
from mdpseg.data.entries import RECIPES, single
from mdpseg.data.examine import examine
from mdpseg.data.loader import Reader
from mdpseg.data.merge import read_mapping
from mdpseg.data.open import label_space_of, open_dataset
from mdpseg.data.problems import KINDS, Problem
from mdpseg.data.readers.complaints import gather
from mdpseg.data.recognise.found import VAL
from mdpseg.data.sources import Source, is_folder, sources_in
from mdpseg.errors import UserError, printable
from mdpseg.recipe import load_any

AnyConfig = PretrainConfig | FinetuneConfig | EvaluateConfig

# The table of class shares has all of them; a message is for reading.
_MOST_NAMES = 8


def check(config: AnyConfig | str | Path, overrides: Sequence[str] = (), *, workers: int = 2) -> Report:
    """Opens every file of datasets and lists all problems.

    Args:
        config: the recipe of a pretraining, fine-tuning or evaluation; or a folder that ``mdpseg init`` recognises; or
            a dataset's entry, see :func:`mdpseg.data.entries.entries`.
        overrides: ``key=value``, where ``config`` is a path or an entry.
        workers: processes that read.

    Raises:
        UserError: the recipe itself is wrong, no dataset is in the folder, or a process that reads died.
    """
    recipe, sources, remarks = _asked(config, overrides)
    problems: list[Problem] = []
    parts = [part for source in sources for part in _open(source, problems)]
    if recipe is not None and len(parts) == len(sources):
        problems += _together(recipe, [part.reader for part in parts])
    for part in parts:
        problems += _examine(part, workers)
        problems += _twice(part)
    for part in parts:
        problems += [leak for train in parts if train.title == part.trained_on for leak in _leaks(train, part)]
    return Report(sorted(problems, key=lambda problem: list(KINDS).index(problem.kind)), parts, remarks)


def _asked(
    config: AnyConfig | str | Path, overrides: Sequence[str]
) -> tuple[AnyConfig | None, list[Source], list[str]]:
    """The recipe, if it is one, the datasets, and remarks on a folder."""
    if isinstance(config, str | Path):
        if is_folder(config):
            with gather():  # each is told when the dataset is opened
                return None, *sources_in(Path(config), overrides, trusting=True)
        alone = single(str(config), overrides)
        if alone is not None:
            return None, [_source(alone.config.name, alone.config, alone.data_root)], []
        loaded = load_any(Path(config), RECIPES, overrides)
        assert isinstance(loaded, AnyConfig)
        config = loaded
    return config, _sources(config), []


def _sources(config: AnyConfig) -> list[Source]:
    match config:
        case PretrainConfig():
            return [_source(entry.name, entry, config.data_root) for entry in config.datasets]
        case EvaluateConfig():
            return [_source(config.dataset.name, config.dataset, config.data_root, small=True)]
        case FinetuneConfig():
            train = _source(f"{config.train.name} (train)", config.train, config.data_root)
            if config.val is None:
                return [train]
            return [train, _source(f"{config.val.name} (val)", config.val, config.data_root, train.title)]


def _source(
    title: str, entry: DatasetConfig, data_root: Path, trained_on: str | None = None, small: bool = False
) -> Source:
    small = small or trained_on is not None or entry.subset != SubsetConfig() or entry.split.lower() in VAL
    return Source(title, entry.name, partial(open_dataset, entry, data_root), trained_on, small)


def _open(source: Source, problems: list[Problem]) -> Iterator[Part]:
    """The dataset as a part, unless it cannot be opened at all."""
    with gather() as faults:
        try:
            reader = source.open()
        except UserError as error:
            message = str(error).removeprefix(f"{source.name}: ").removeprefix(f"Dataset {source.name!r}: ")
            problems.append(_problem("dataset", source.title, message, "correct its entry in the recipe"))
            return
        finally:
            problems += [Problem.of(fault, source.title) for fault in faults]
    shares = ClassShares(source.title, reader.classes) if reader.label_set else None
    yield Part(source.title, reader, shares, trained_on=source.trained_on, small=source.small)


def _problem(kind: str, title: str, message: str, todo: str) -> Problem:
    """What a message says is wrong, and what to do; ``todo`` where it does not say that, or only asks."""
    message = message.rstrip(".")
    wrong, _, said = message.partition("; ")
    if not said or said.endswith("?"):  # did you mean ...?
        return Problem(kind, title, "", message, todo)
    return Problem(kind, title, "", wrong, said)


def _together(config: AnyConfig, readers: Sequence[Reader]) -> Iterator[Problem]:
    """What only shows once all datasets are open: label sets that do not fit each other."""
    try:
        label_space_of(readers)
        if isinstance(config, PretrainConfig) and config.merge:
            read_mapping(config.merge, readers)
    except UserError as error:
        yield _problem("recipe", "the recipe", str(error), "correct the recipe or the file it names")
    if isinstance(config, FinetuneConfig) and len(readers) == 2 and readers[0].classes != readers[1].classes:
        wrong = f"train has {len(readers[0].classes)} classes, val {len(readers[1].classes)}, or other names"
        yield Problem("recipe", "the recipe", "", wrong, "both must have equal classes in the same order")


def _examine(part: Part, workers: int) -> Iterator[Problem]:
    """Reads all files of a dataset, with progress on stderr."""
    console = Console(stderr=True)
    images = examine(part.reader, workers)
    title = printable(part.title)
    for seen in track(images, title, len(part.reader), console=console, disable=not console.is_terminal):
        part.names.append(printable(seen.name))
        part.images.append(seen.image)
        part.masks.append(seen.mask)
        part.looks.append(seen.look)
        if part.shares is not None and seen.pixels is not None:
            part.shares.add(seen.pixels)
        yield from (Problem.of(fault, part.title) for fault in seen.faults)
        if seen.orientation != 1:
            noted = f"stored turned (EXIF orientation {seen.orientation}), which is not followed"
            todo = "its mask must be drawn on the pixels as stored"
            yield Problem("turned", part.title, part.names[-1], f"image {part.names[-1]} is {noted}", todo)
    absent = part.shares.absent() if part.shares is not None else []
    if absent:
        names = ", ".join(absent[:_MOST_NAMES]) + (" ..." if absent[_MOST_NAMES:] else "")
        wrong = f"{len(absent)} of {len(part.reader.classes)} classes have no pixel ({names})"
        kept = "do not take lines out of the class list, whose order is the ids"
        if part.small:
            yield Problem("absent_part", part.title, "", wrong, f"that is no mistake in a part; {kept}")
        else:
            yield Problem("absent", part.title, "", wrong, f"add images that show them, or leave them be; {kept}")


def _twice(part: Part) -> Iterator[Problem]:
    """Images that are there twice inside one split."""
    same = same_bytes(part.images)
    for place, first in same.items():
        masks = " and another mask" if part.masks[place] != part.masks[first] else ""
        wrong = f"image {part.names[place]} has the same bytes as {part.names[first]}{masks}"
        yield Problem("duplicate", part.title, part.names[place], wrong, "keep one of both")
    for place, first in same_look([None if i in same else bits for i, bits in enumerate(part.looks)]).items():
        wrong = f"image {part.names[place]} looks like {part.names[first]}"
        yield Problem("near", part.title, part.names[place], wrong, "keep both if they are two views")


def _leaks(train: Part, val: Part) -> Iterator[Problem]:
    """Images of val that were trained on."""
    todo = "take it out of one of both, or the scores are too good"
    same = same_bytes(val.images, train.images)
    for place, other in same.items():
        wrong = f"image {val.names[place]} has the same bytes as {train.names[other]} of train"
        yield Problem("leak", val.title, val.names[place], wrong, todo)
    looks = [None if i in same else bits for i, bits in enumerate(val.looks)]
    for place, other in same_look(looks, train.looks).items():
        wrong = f"image {val.names[place]} looks like {train.names[other]} of train"
        yield Problem("near_leak", val.title, val.names[place], wrong, f"look at both; {todo}")
