"""The documents' own code: Python runs, command lines parse, linked files exist, and no block is left out.

A block that needs a finished run in the current folder has ``<!-- given: runs/pretrain -->`` before it, one that goes
on with the block above ``<!-- continues: the block above -->``. :mod:`tests.documents` finds the blocks, and lists what
is not run; tests/test_docs_recipes.py, test_docs_commands.py and test_docs_data.py run what is not Python.
"""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import typer
from PIL import Image

from mdpseg.cli import app
from mdpseg.config import EvaluateConfig, FinetuneConfig, PretrainConfig
from mdpseg.recipe import load
from tests import test_docs_commands, test_docs_recipes, tiny
from tests.documents import BLOCKS, DOCUMENTS, NOT_RUN, ROOT, Block, blocks_of, mdpseg_arguments, shell_commands

RECIPES = {"pretrain": PretrainConfig, "finetune": FinetuneConfig, "evaluate": EvaluateConfig}
SMALLEST = {
    PretrainConfig: {"out": "out", "datasets": [tiny.toy("fine")]},
    FinetuneConfig: {"out": "out", "train": tiny.toy("fine")},
    EvaluateConfig: {"weights": "weights.safetensors", "dataset": tiny.toy("fine")},
}


def of(*languages):
    return [pytest.param(b, id=b.name) for b in BLOCKS if b.language in languages and b.runs]


def left_out(blocks: list[Block]) -> list[tuple[str, str]]:
    """What is neither run by a test nor in the table, as (block, step)."""
    recipes = {parameter.values[0].text for parameter in test_docs_recipes.recipes()}
    pages = {page.name for page in test_docs_commands.PAGES}

    def runs(block: Block, step: str) -> bool:
        if block.language == "bash":
            program = re.sub(r"^(\w+=\S+ )*(\S*/bin/)?", "", step)
            programs = test_docs_commands.PROGRAMS if block.document.name in pages else ("mdpseg",)
            return block.document.name in (*pages, "start.md") and program.startswith(programs)
        return block.language in ("python", "text") or (block.language == "yaml" and block.text in recipes)

    steps = [(block, step) for block in blocks for step in block.steps()]
    return [(block.name, step) for block, step in steps if block.why_not(step) is None and not runs(block, step)]


def test_every_block_is_run_or_stands_in_the_table():
    assert not left_out(BLOCKS)
    assert {"python", "yaml", "bash", "text"} >= {block.language for block in BLOCKS if block.runs}


def test_a_new_block_cannot_slip_through(tmp_path):
    page = tmp_path / "README.md"
    blocks = {"toml": "a = 1", "yaml": "a: 1", "sh": "make it", "bash": "mdpseg pretrain a.yaml\nfrobnicate photos"}
    page.write_text("\n\n".join(f"```{kind}\n{text}\n```" for kind, text in blocks.items()))
    assert [step for _, step in left_out(blocks_of(page))] == ["a = 1", "a: 1", "frobnicate photos"]


def test_no_entry_of_the_table_is_stale():
    steps = [(block.document.name, step) for block in BLOCKS for step in block.steps()]
    for page, beginning in NOT_RUN:
        assert any(page == name and step.startswith(beginning) for name, step in steps), (page, beginning)


@pytest.mark.slow
@pytest.mark.parametrize("block", of("python"))
def test_python_blocks_run(block, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (70, 50), "teal").save("photo.jpg")  # the reader has one
    for path in block.given:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).symlink_to(
            request.getfixturevalue({"pretrain": "pretrained", "finetune": "finetuned"}[Path(path).name])
        )
    space = {"__name__": "__main__"}
    exec(compile(block.before, str(block.document), "exec"), space)
    exec(compile("\n" * block.line + block.text, str(block.document), "exec"), space)


@pytest.mark.parametrize("block", [pytest.param(b, id=b.name) for b in BLOCKS if b.language == "bash"])
def test_command_lines_parse(block):
    assert block.text.strip()
    for words in shell_commands(block.text):
        arguments = mdpseg_arguments(words)
        if arguments is not None:
            parse(arguments)
        else:
            check_other(words)


def test_command_lines_inside_sentences_parse():
    inside = [
        (document.name, code)
        for document in DOCUMENTS
        for code in re.findall(r"(?<!`)`(mdpseg [^`\n]+)`(?!`)", document.read_text(encoding="utf-8"))
    ]
    assert inside
    for _, code in inside:
        for words in shell_commands(code):
            parse(words[1:], whole=False)


def parse(arguments: list[str], whole: bool = True) -> None:
    """Reads a command line as mdpseg does, without running it; an unknown command, option or setting fails."""
    command, path = typer.main.get_command(app), "mdpseg"
    rest = [argument for argument in arguments if argument not in ("--debug", "--help", "...")]
    while hasattr(command, "get_command"):
        if not rest:
            assert not whole, f"{path}: no command"
            return
        found = command.get_command(None, rest[0])
        assert found is not None, f"{path} has no command {rest[0]!r}"
        command, path, rest = found, f"{path} {rest[0]}", rest[1:]
    if "--help" in arguments:
        return
    try:
        context = command.make_context(path, rest)
    except Exception as error:
        if whole or type(error).__name__ != "MissingParameter":
            raise
        return
    kind = RECIPES.get(path.removeprefix("mdpseg "))
    overrides = [text for text in context.params.get("overrides") or () if "=" in text]
    if kind is not None:
        load(SMALLEST[kind], kind, [override for override in overrides if "..." not in override])


def check_other(words: list[str]) -> None:
    """make: the target is there; pip install: the extra is; python: the script is; pytest: the tests are."""
    program, rest = Path(words[0]).name, words[1:]
    if program == "make":
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
        assert {word for word in rest if "=" not in word} <= targets
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = [extra for group in re.findall(r"\[([\w,-]+)\]", " ".join(rest)) for extra in group.split(",")]
        assert set(asked) <= set(extras)
    elif program.startswith("python") and rest and rest[0].endswith(".py"):
        assert (ROOT / rest[0]).is_file()
    elif program == "pytest":
        assert all((ROOT / word.split("::")[0]).exists() for word in rest if word.startswith("tests"))


@pytest.mark.parametrize(
    "line, what",
    [
        ("mdpseg pretrian recipe.yaml", "no command"),
        ("mdpseg", "no command"),
        ("mdpseg pretrain recipe.yaml --recume", "recume"),
        ("mdpseg pretrain recipe.yaml optim.lt=0.1", "optim.lt"),
        ("srun mdpseg pretrain", "Missing"),
        ("torchrun -m mdpseg data chek recipe.yaml", "no command"),
    ],
)
def test_a_wrong_command_line_fails(line, what):
    (words,) = shell_commands(line)
    with pytest.raises(Exception, match=what):
        parse(mdpseg_arguments(words))


def test_settings_page_is_what_its_script_writes():
    script = load_script("make_settings")
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == script.page(), "python docs/make_settings.py"


def load_script(name: str):
    specification = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_pictures_of_the_method_are_those_that_its_script_draws():
    names = {f"method-{name}.png" for name in load_script("make_figures").FIGURES}
    shown = set(re.findall(r"\]\((method-[\w-]+\.png)\)", (ROOT / "docs" / "method.md").read_text(encoding="utf-8")))
    assert names == shown


@pytest.mark.slow
def test_the_script_draws_them(tmp_path):
    load_script("make_figures").main(tmp_path)
    for path in (ROOT / "docs").glob("method-*.png"):
        assert (tmp_path / path.name).stat().st_size > 5000


@pytest.mark.slow
def test_the_five_minute_start_runs_from_top_to_bottom(tmp_path, monkeypatch, mdpseg_command):
    """Its files are written, its command lines run in their order, only with fewer steps."""
    monkeypatch.chdir(tmp_path)
    fewer = {
        "pretrain": ["iterations=4", "workers=0"],
        "finetune": ["iterations=4", "workers=0"],
        "atlas": ["--images", 4],
    }
    run = []
    for block in [block for block in BLOCKS if block.document.name == "start.md"]:
        if block.language == "yaml" and "data/mine" not in block.text:
            Path(re.match(r"# (\S+)", block.text)[1]).write_text(block.text)
        for words in shell_commands(block.text) if block.language == "bash" else []:
            arguments = mdpseg_arguments(words)
            if arguments is not None:
                code, out, err = mdpseg_command(*arguments, *fewer.get(arguments[0], []))
                assert code == 0, (arguments, out, err)
                run.append(arguments[0])
    assert run == ["data", "pretrain", "finetune", "finetune", "report", "evaluate", "atlas"]
    assert (tmp_path / "compare.html").stat().st_size > 10_000
    assert (tmp_path / "runs/pretrain/atlas/atlas.html").is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing
