"""The command line: one short function a command. Heavy imports happen inside."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from mdpseg import __version__
from mdpseg.class_commands import app as classes
from mdpseg.data.commands import app as data
from mdpseg.errors import LACK_OF_MEMORY, UserError, is_lack_of_memory, printable
from mdpseg.tables.commands import app as tables

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich's takes as long to import as all the rest, and half a second is the bound
    help="Pretrain one segmentation network on many datasets whose label sets do not agree; fine-tune it on yours.",
)

app.add_typer(classes, name="classes")
app.add_typer(data, name="data")
app.add_typer(tables, name="tables")

Recipe = Annotated[Path, typer.Argument(help="YAML recipe.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as optim.lr=0.1.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in its folder.")]
Devices = Annotated[int | None, typer.Option("--devices", help="Devices a machine, one process each.")]
Nodes = Annotated[
    int | None, typer.Option("--nodes", help="Machines; start the command on each, or by torchrun, srun.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mdpseg {__version__} (torch {metadata.version('torch')}, Python {platform.python_version()})")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of every command; :func:`main` looks at --debug itself."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for runs, table and picture.")] = Path("runs/demo"),
    seed: int = 0,
) -> None:
    """Show the main job on embedded worlds: pretrain on two, fine-tune on the third, beside from scratch."""
    from mdpseg.engine.demo import run_demo

    run_demo(out, seed)


@app.command()
def init(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH [PATH]...", help="Folders of your datasets.")],
    out: Annotated[Path, typer.Option(help="The recipe to write; others lie beside it.")] = Path("recipe.yaml"),
    target: Annotated[str | None, typer.Option(help="Dataset to fine-tune on; default: the only one.")] = None,
) -> None:
    """Look at folders of images and masks, and write a recipe that runs."""
    from mdpseg.data.start import start

    for line in start(paths, out, target):
        typer.echo(line)


@app.command()
def pretrain(
    recipe: Recipe, overrides: Overrides = None, resume: Resume = False, devices: Devices = None, nodes: Nodes = None
) -> None:
    """Pretrain one network on several datasets."""
    from mdpseg.engine.pretrain import pretrain

    pretrain(recipe, [*(overrides or []), *_as_overrides(resume, devices, nodes)])


@app.command()
def finetune(
    recipe: Recipe, overrides: Overrides = None, resume: Resume = False, devices: Devices = None, nodes: Nodes = None
) -> None:
    """Fine-tune a network on one dataset."""
    from mdpseg.engine.finetune import finetune

    finetune(recipe, [*(overrides or []), *_as_overrides(resume, devices, nodes)])


def _as_overrides(resume: bool, devices: int | None, nodes: int | None) -> list[str]:
    given = {"resume": "true" if resume else None, "devices": devices, "nodes": nodes}
    return [f"{name}={value}" for name, value in given.items() if value is not None]


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="replay-STEP.pt of a run that stopped at a loss that is not finite.")],
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps; default: as in the run.")] = None,
) -> None:
    """Run the batch whose loss was not finite once more, and name the first layer that is not."""
    from rich.console import Console

    from mdpseg.engine.replay import replay

    found = replay(file, device)
    Console().print(f"step {found.step}: {', '.join(found.names)}", found.table(), markup=False, highlight=False)
    typer.echo(f"first not finite: {found.culprit or 'nothing; it came out finite here'}")


@app.command()
def evaluate(
    recipe: Annotated[
        Path, typer.Argument(help="YAML recipe (weights, dataset), or the folder of a fine-tuning: on its own val.")
    ],
    overrides: Overrides = None,
) -> None:
    """Judge fine-tuned weights on a labelled dataset."""
    from rich.console import Console

    from mdpseg.engine.evaluate import evaluate

    Console().print(evaluate(recipe, overrides or []).table())


@app.command()
def predict(
    weights: Annotated[Path, typer.Argument(help="Folder or weights.safetensors of a fine-tuning.")],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE [IMAGE]... [KEY=VALUE]...",
            help="Images, folders or globs; then settings, such as device=cpu.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for masks and overlays.")],
    opacity: Annotated[float, typer.Option(help="Of the colours in the overlay.")] = 0.5,
    prototypes: Annotated[
        bool, typer.Option("--prototypes", help="By the class prototypes of a pretraining, without fine-tuning.")
    ] = False,
    taxonomy: Annotated[str | None, typer.Option(help="With --prototypes: classes of DATASET, or of A+B.")] = None,
) -> None:
    """Write a palette mask and an overlay for each image."""
    from mdpseg.engine.predict import left_out, predict

    by = {"prototypes": prototypes or taxonomy is not None, "taxonomy": taxonomy}
    overrides = [text for text in images if re.match(r"[\w.]+=", text) and not Path(text).exists()]
    patterns = [text for text in images if text not in overrides]
    masks = predict({"weights": weights, "images": patterns, "out": out, "opacity": opacity, **by}, overrides)
    for pattern in patterns:
        if also := left_out(pattern):
            typer.echo(f"{pattern}:{also}", err=True)
    typer.echo(f"{len(masks)} masks in {out}")


@app.command()
def atlas(
    run: Annotated[Path, typer.Argument(help="Folder of a pretraining.")],
    overrides: Overrides = None,
    images: Annotated[int, typer.Option(min=1, help="Sample images of each dataset.")] = 40,
    out: Annotated[Path | None, typer.Option(help="Folder for the page; default: atlas inside RUN.")] = None,
) -> None:
    """Show how the classes of a pretraining's datasets relate: one HTML page, CSV, JSON, and a mapping file."""
    from mdpseg.atlas.build import build_atlas

    made = build_atlas(run, overrides or [], images, out)
    typer.echo(f"{len(made.relations)} relations, {len(made.groups)} merged classes: {made.page}")


@app.command()
def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN [RUN]... [KEY=VALUE]...", help="Folders of runs.")],
    images: Annotated[int, typer.Option(min=0, help="Validation images of each fine-tuning to look at.")] = 50,
    out: Annotated[Path | None, typer.Option(help="The page; default: report.html in the first run.")] = None,
) -> None:
    """Write one HTML page about a run, or about several beside each other."""
    from mdpseg.report.build import build_report

    folders = [Path(text) for text in runs if "=" not in text or Path(text).is_dir()]
    overrides = [text for text in runs if Path(text) not in folders]
    typer.echo(build_report(folders, overrides, images, out))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or its weights.safetensors.")],
    to: Annotated[
        Literal["timm", "torchvision", "smp", "mmseg", "transformers", "onnx", "safetensors"],
        typer.Option(help="The library that is to load it."),
    ],
    part: Annotated[Literal["encoder", "network"] | None, typer.Option(help="Default: what the target takes.")] = None,
    out: Annotated[Path | None, typer.Option(help="What to write; default: in RUN/export.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="onnx only: weights of 8 bits, in a second file.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="onnx only: an evaluation's recipe, by whose dataset the files are judged.")
    ] = None,
) -> None:
    """Write a network, or its encoder, for another library, and show the code that loads it."""
    from mdpseg.export.command import export

    made = export(run, to, part, out, int8=int8, data=data)
    typer.echo(f"{made.path}\n\n{made.how_to_load}")


@app.command()
def serve(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a weights file.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8000,
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    allow: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Host name that it answers to, too.")] = None,
) -> None:
    """Serve a page to try a network on images, and an HTTP interface."""
    from mdpseg.serve.start import serve

    serve(run, host, port, device, allow or [])


def main() -> None:
    """Runs the command line; a user's error is one message and exit code 2, with its traceback after --debug."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    if not debug:  # torch's own code writes warnings of its inner workings past Python's filters
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        app([argument for argument in arguments if argument != "--debug"])
    except UserError as error:
        if debug:
            raise
        print(f"mdpseg: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if debug or not error.filename:
            raise
        print(f"mdpseg: {printable(str(error.filename)):.200}: {error.strerror}.", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if debug or not is_lack_of_memory(error):
            raise
        print(f"mdpseg: {LACK_OF_MEMORY} ({' '.join(str(error).split()):.200})", file=sys.stderr)
        sys.exit(2)
