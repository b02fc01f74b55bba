"""``mdpseg data``: check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The datasets of a recipe: check them before a run.")


@app.callback()
def group() -> None:
    """The datasets of a recipe: check them before a run."""


@app.command()
def check(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe of pretrain, finetune or evaluate.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as data_root=/data.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read; 0 reads in this one.")] = 2,
    lines: Annotated[int, typer.Option(min=1, help="Lines shown of each kind of problem, and of each table.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Folder for problems.json, classes.csv, classes.png.")] = None,
) -> None:
    """Open every file and list all problems. Exit code 0: none; 1: there are some; 2: the recipe is wrong."""
    from mdpseg.data.check import check

    report = check(recipe, overrides or [], workers=workers)
    typer.echo(report.text(lines))
    if out is not None:
        report.write(out)
    if not report.clean:
        raise typer.Exit(1)
