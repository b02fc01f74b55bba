"""``mdpseg data``: check, pack, get, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Datasets: check, pack, get, inspect them.")

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as data_root=/data.")
]


@app.callback()
def group() -> None:
    """Datasets: check, pack, get, inspect them."""


@app.command()
def check(
    source: Annotated[str, typer.Argument(metavar="RECIPE_OR_FOLDER", help="YAML file, folder, or an entry.")],
    overrides: Overrides = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read; 0 reads in this one.")] = 2,
    lines: Annotated[int, typer.Option(min=1, help="Lines shown of each kind of problem, and of each table.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Folder for problems.json, classes.csv, classes.png.")] = None,
) -> None:
    """Open every file and list all problems. Exit code 0: none; 1: there are some; 2: the recipe or folder is wrong."""
    from mdpseg.data.check import check

    report = check(source, overrides or [], workers=workers)
    typer.echo(report.text(lines))
    if out is not None:
        report.write(out)
    if not report.clean:
        raise typer.Exit(1)


@app.command()
def pack(
    source: Annotated[str, typer.Argument(metavar="RECIPE_OR_ENTRY", help="YAML file, or {name: .., reader: ..}.")],
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder for the shards; of a recipe: OUT/NAME/SPLIT.")] = Path("shards"),
    shard_size: Annotated[int, typer.Option(min=1, help="Megabytes of a shard.")] = 256,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read; 0 reads in this one.")] = 2,
) -> None:
    """Write datasets as .tar shards with an index; run again, it goes on where it was interrupted."""
    from mdpseg.data.entries import entries
    from mdpseg.data.open import open_dataset
    from mdpseg.data.shards.pack import pack

    for entry in entries(source, overrides or []):
        reader, folder = open_dataset(entry.config, entry.data_root), out / entry.folder
        index = pack(reader, folder, shard_bytes=shard_size * 10**6, workers=workers)
        size = sum(shard.bytes for shard in index.shards)
        typer.echo(f"{folder}: {len(index.rows)} images in {len(index.shards)} shards, {size / 1e6:.1f} MB")


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="voc2012, sbd, ade20k, oxford-pets or cocostuff.")],
    out: Annotated[Path | None, typer.Option(help="The dataset's folder; default: data/NAME.")] = None,
) -> None:
    """Get a public dataset from its official address; run again, it goes on where it was interrupted."""
    from mdpseg.data.download.get import get
    from mdpseg.data.download.sources import find_source

    source = find_source(name)
    get(source, out or Path("data") / source.folder, typer.echo)


@app.command()
def inspect(
    source: Annotated[str, typer.Argument(metavar="RECIPE_OR_FOLDER", help="YAML file, folder, or an entry.")],
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("sheet.png"),
    images: Annotated[int, typer.Option(min=1, help="Images of each dataset.")] = 18,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 0,
) -> None:
    """Draw a sample of each dataset with its masks and a legend, and print what its pixels are."""
    from mdpseg.data.inspect import inspect

    for looked in inspect(source, out, images, seed, overrides or [], typer.echo):
        typer.echo(looked.text())
    typer.echo(f"Drew {out}")
