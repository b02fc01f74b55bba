"""``mdpseg classes``: what a network tells apart, and more of it from examples. Heavy imports happen inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="See the classes of a network, and add some from examples.")

Run = Annotated[Path, typer.Argument(help="Folder of a run, or a weights file.")]


@app.command(name="list")
def list_classes(run: Run) -> None:
    """Show each dataset whose classes the network knows."""
    from mdpseg.engine.add_class import classes_of

    for dataset, names in classes_of(run).items():
        typer.echo(f"{dataset} ({len(names)}): {', '.join(names)}")


@app.command()
def add(
    run: Run,
    name: Annotated[str, typer.Argument(help="The new class.")],
    examples: Annotated[
        list[str],
        typer.Option(help="IMAGE:MASK, where the mask (PNG) is not 0; or a folder with images/ and masks/."),
    ],
    dataset: Annotated[str, typer.Option(help="Which dataset it joins; a new one, or one of the network's.")] = "mine",
    taxonomy: Annotated[str | None, typer.Option(help="The classes that it stands beside; default: all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Weights file to write; default: beside RUN's, with NAME.")] = None,
) -> None:
    """Write a new weights file with one more class, whose prototype comes from examples; nothing is trained."""
    from mdpseg.engine.add_class import add_class

    typer.echo(f"{dataset}/{name} added: {add_class(run, name, examples, dataset, taxonomy, out)}")
