"""``mdpseg tables``: list, run, show, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mdpseg.tables.grid import Row
    from mdpseg.tables.preset import Preset

app = typer.Typer(no_args_is_help=True, help="The published tables, row by row: run them, and see what holds.")

Tables = Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="A to F; default: all.")]
Rows = Annotated[
    list[str] | None, typer.Option("--rows", help="Only these, such as A2,A3; E14 stands for E14-100 and so on.")
]
PresetName = Annotated[str, typer.Option("--preset", help="small, paper, or a YAML file of your own.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Only so many seeds.  [default: all]")]
FirstSeed = Annotated[int | None, typer.Option("--first-seed", min=0, help="The first of them.  [default: 0]")]
Results = Annotated[Path, typer.Option("--results", help="CSV file of what was measured.")]
RESULTS = Path("runs/tables/results.csv")


@app.command("list")
def list_rows(
    tables: Tables = None, rows: Rows = None, preset: PresetName = "small", results: Results = RESULTS
) -> None:
    """List the rows: what each pretrains on, its targets, and how many seeds are measured."""
    from rich.console import Console

    from mdpseg.tables.listing import listing
    from mdpseg.tables.preset import load_preset

    setting = load_preset(preset)
    Console().print(listing(_chosen(tables, rows, setting), setting, _there(results)))


@app.command()
def run(
    tables: Tables = None,
    rows: Rows = None,
    preset: PresetName = "small",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 3,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them; the others follow it.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Runs at a time; the cores are shared out among them.")] = 1,
    data_root: Annotated[
        Path,
        typer.Option(help="Where the preset's dataset paths start. Other data want another --results and --runs."),
    ] = Path("data"),
    runs: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs/tables"),
    results: Results = RESULTS,
    start: Annotated[bool, typer.Option("--start", help="Start what is too large to start unasked.")] = False,
) -> None:
    """Run what is not measured yet; interrupted cells go on from their checkpoint."""
    from mdpseg.errors import UserError
    from mdpseg.tables.cells import cells_of
    from mdpseg.tables.preset import load_preset
    from mdpseg.tables.run import Place, run_cells

    setting = load_preset(preset)
    chosen = _chosen(tables, rows, setting)
    if setting.start_by_hand:
        from mdpseg.tables.estimate import estimates
        from mdpseg.tables.recipes import write_recipes

        count = write_recipes(chosen, setting, runs / "recipes", data_root)
        typer.echo(f"{count} recipes are in {runs / 'recipes'}; probing what they would take ...\n")
        try:
            typer.echo(estimates(chosen, setting, data_root))
        except UserError as error:  # class lists are part of the data, which may lie on another machine
            if start or data_root.is_dir():
                raise
            typer.echo(f"No estimate, as there is no {data_root}: {error}", err=True)
        if not start:
            typer.echo("Nothing was started; --start runs them here.")
            return
    place = Place(runs, results, data_root)
    cells = list(cells_of(chosen, setting, range(first_seed, first_seed + seeds)))
    count = run_cells(cells, place, processes, typer.echo)
    typer.echo(f"{count} cells were run; the results are in {results}.")


@app.command()
def show(
    tables: Tables = None,
    rows: Rows = None,
    preset: PresetName = "small",
    results: Results = RESULTS,
    seeds: Seeds = None,
    first_seed: FirstSeed = None,
    out: Annotated[Path | None, typer.Option(help="Folder for TABLE.md, TABLE.csv, TABLE.png.")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the page with the conclusions here.")] = None,
) -> None:
    """Print published and measured side by side, with mean and 95 % interval over seeds."""
    from mdpseg.tables.preset import load_preset
    from mdpseg.tables.show import show_tables

    setting = load_preset(preset)
    chosen, there = _chosen(tables, rows, setting), _there(results)
    typer.echo(show_tables(chosen, setting, there, out, report, _only(seeds, first_seed)))


@app.command()
def compare(
    row: Annotated[str, typer.Argument(metavar="ROW", help="Such as F4.")],
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="What it is compared with.")],
    preset: PresetName = "small",
    results: Results = RESULTS,
    seeds: Seeds = None,
    first_seed: FirstSeed = None,
) -> None:
    """Print how far a row is ahead of others, by target, paired by seed, with 95 % interval."""
    from mdpseg.errors import UserError
    from mdpseg.tables.compare import compare_rows
    from mdpseg.tables.preset import load_preset

    setting = load_preset(preset)
    chosen, compared, there = _chosen(None, [row], setting), _chosen(None, others, setting), _there(results)
    if len(chosen) > 1:
        raise UserError(f"{row} stands for {', '.join(one.id for one in chosen)}; name one of them.")
    typer.echo(compare_rows(chosen[0], compared, setting, there, _only(seeds, first_seed)))


def _only(seeds: int | None, first_seed: int | None) -> range | None:
    from mdpseg.errors import UserError

    if seeds is None and first_seed is not None:
        raise UserError(f"--first-seed {first_seed} alone would change nothing; say with --seeds how many.")
    first = first_seed or 0
    return range(first, first + seeds) if seeds else None


def _there(results: Path) -> Path:
    """The results file, which may be missing only where nobody named it."""
    from mdpseg.errors import UserError

    if results != RESULTS and not results.is_file():
        raise UserError(f"No results at {results}; give the CSV file that `mdpseg tables run` wrote to.")
    return results


def _chosen(tables: list[str] | None, ids: list[str] | None, preset: Preset) -> list[Row]:
    """The rows, and on standard error what is left out of them."""
    from mdpseg.tables.choose import choose

    rows, left_out = choose(tables or [], ids or [], preset)
    if left_out:
        typer.echo(left_out, err=True)
    return rows
