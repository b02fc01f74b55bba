"""Every command of the documents is run, page by page from top to bottom, where lies what the page presumes.

Trainings are two steps of a tiny network on few images; what a page's command says itself goes before that. Lines that
are not run stand in ``NOT_RUN`` of :mod:`tests.documents`.
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from PIL import Image

import mdpseg
from mdpseg.data.download.get import MIRROR
from tests import tiny, web_server
from tests.conftest import with_curves
from tests.data.download.test_get import published, tar
from tests.documents import BLOCKS, DOCUMENTS, ROOT, mdpseg_arguments, shell_commands
from tests.engine.test_replay import break_weights
from tests.serving import served
from tests.tables import tiny_preset
from tests.test_docs_data import make_data
from tests.test_docs_recipes import FEWER, NETWORK, trained

# page -> what its reader has besides photographs and the data that it names: where it lies, and of which kind
GIVEN = {
    "atlas.md": {"RUN": "two", "RUN-2": "two", "RUN-3": "three", "runs/three-worlds": "three"},
    "downloads.md": {"www": "mirror"},
    "export.md": {"RUN": "two"},
    "investigation.md": {
        "benchmarks/tables-small.csv": "results",
        "benchmarks/new-classes.csv": "results",
        "benchmarks/new-classes.yaml": "results",
    },
    "logging.md": {"runs/pretrain": "two"},
    "prototypes.md": {"RUN": "two"},
    "results.md": {"benchmarks/tables-small.csv": "results"},
    "running.md": {"runs/broken": "broken"},
    "serve.md": {"runs/three-worlds": "three"},
    "settings.md": {"runs/fields": "fields"},
    "tables.md": {"tiny.yaml": "preset"},
    "your-data.md": {"RECIPE_OR_FOLDER": "dataset"},
}
# page -> files that it says are written
WRITTEN = {
    "README.md": ["runs/pretrain/weights.safetensors", "runs/finetune"],
    "atlas.md": [
        *(f"runs/three-worlds/atlas/{name}" for name in ("atlas.html", "classes.csv", "nearest.csv", "relations.csv")),
        "runs/three-worlds/atlas/atlas.json",
        "somewhere/atlas.html",
        "RUN/report.html",
        "compare.html",
    ],
    "data.md": ["runs/check/problems.json", "runs/check/classes.csv", "runs/check/classes.png"],
    "downloads.md": ["data/voc2012/LICENCE.txt", "data/voc2012/downloads.json"],
    "export.md": ["encoder.safetensors"],
    "investigation.md": ["PAGE.md"],
    "logging.md": [
        *(f"runs/finetune/{name}" for name in ("metrics.jsonl", "curves.png", "log.txt", "tensorboard")),
        "runs/sweep",
    ],
    "prototypes.md": ["masks", "RUN/weights-mug.safetensors"],
    "results.md": ["docs/tables"],
    "running.md": ["runs/pretrain/last.ckpt", "runs/pretrain/metrics.jsonl"],
    "serve.md": ["mask.png"],
    "shards.md": ["shards/voc/train/index.json", "shards/voc/train/shard-000000.tar"],
    "tables.md": ["runs/tables/results.csv"],
    "your-data.md": ["recipe.yaml", "sheet.png"],
}
WITH_COMMANDS = {block.document for block in BLOCKS if block.language == "bash" and block.runs}
# The five-minute start runs with its own networks, slowly, in tests/test_docs.py.
PAGES = [page for page in DOCUMENTS if page in WITH_COMMANDS and page.name != "start.md"]
PROGRAMS = ("mdpseg", "curl", "python examples/")  # what Reader runs

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished tiny pretrainings: on the three worlds, and on two that are called voc and msrc; read only."""
    folder = tmp_path_factory.mktemp("runs")
    worlds = {
        "three": [tiny.toy(world) for world in ("coarse", "fine", "things")],
        "two": [tiny.toy("coarse", name="voc"), tiny.toy("fine", name="msrc")],
    }
    for name, datasets in worlds.items():
        mdpseg.pretrain(tiny.pretraining(folder / name, datasets=datasets, network=tiny.FAST_NETWORK, device="cpu"))
    return {name: folder / name for name in worlds}


class Reader:
    """Somebody who does what a page says.

    Attributes:
        page: the page.
        mdpseg: runs a command in this process: arguments -> exit code, stdout, stderr.
        stack: what ends with the test.
        url: of the server that was started.
        settings: of each recipe that was run, so that a resumed run has them, too.
        ran: the commands' names.
    """

    def __init__(self, page, mdpseg_command, stack, tmp_path):
        self.page, self.mdpseg, self.stack, self.folder = page, mdpseg_command, stack, tmp_path
        self.url, self.settings, self.ran = "", {}, []

    def follow(self, line: str) -> None:
        commands = shell_commands(line)
        assert commands, f"{self.page.name}: {line!r} is no command; see NOT_RUN"
        for words in commands:
            arguments = mdpseg_arguments(words)
            if arguments is None:
                self.other(words)
            elif arguments[0] == "serve":
                (self.folder / "server").mkdir()
                self.url = self.stack.enter_context(served(Path(arguments[1]), self.folder / "server")).url
            else:
                if arguments[0] == "replay":
                    shutil.copy("runs/broken/replay-1.pt", arguments[1])
                self.succeeds(*self.fewer(arguments))
            self.ran.append(" ".join(words[:2]))

    def succeeds(self, *arguments: object) -> None:
        code, out, err = self.mdpseg(*arguments)
        assert code == 0, (self.page.name, arguments, out, err)
        if arguments[0] in ("pretrain", "finetune"):
            chosen = [word.removeprefix("out=") for word in arguments if str(word).startswith("out=")]
            steps = 4 if "--resume" in arguments else 2
            trained(*chosen or [yaml.safe_load(Path(arguments[1]).read_text())["out"]], steps)

    def fewer(self, arguments: list[str]) -> list[str]:
        """The command with what keeps it small."""
        command, rest = arguments[0], arguments[1:]
        if command in ("pretrain", "finetune"):
            recipe, own = rest[0], rest[1:]
            before = [*FEWER, *NETWORK] if command == "pretrain" else FEWER
            if "--resume" in own:
                return [command, recipe, *self.settings[recipe], "iterations=4", *own]
            self.settings[recipe] = [*before, *own]
            return [command, recipe, *self.settings[recipe]]
        if command == "data" and rest[0] == "check":
            return [*arguments, "--workers", "2"]
        if command == "predict" and any(word.startswith("device=") for word in rest):
            return [*arguments, "device=cpu"]
        if command == "atlas":
            return [*arguments, "--images", "4"]
        if command == "tables" and rest[0] == "run":
            return [*arguments, "--preset", "tiny.yaml", "--rows", "A2", "--seeds", "1"]
        if command == "tables" and rest == ["show"]:
            return [*arguments, "--preset", "tiny.yaml", "--rows", "A2"]
        if command == "tables" and rest == ["compare", "F4", "F1"]:
            return [command, "compare", "A2", "D3", "--preset", "tiny.yaml"]  # D3 shares A2's cells
        return arguments

    def other(self, words: list[str]) -> None:
        if words[0] == "curl":
            asked = [re.sub(r"http://127.0.0.1:\d+", self.url, word) for word in words]
            subprocess.run([*asked, "--silent", "--fail", "--noproxy", "*"], check=True, timeout=60)
        elif words[0] == "python" and words[1].startswith("examples/"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", [*words[1:], "--trials", "1", *FEWER, *NETWORK])
                runpy.run_path(str(ROOT / words[1]), run_name="__main__")
        else:
            pytest.fail(f"{self.page.name}: nothing runs {words[0]!r}; teach it to Reader.other, or add it to NOT_RUN")


def test_what_pages_presume_and_write_is_of_pages_with_commands():
    assert {*GIVEN, *WRITTEN} <= {page.name for page in PAGES}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page(page, tmp_path, monkeypatch, mdpseg_command, runs):
    if page.name == "serve.md" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if page.name == "logging.md":
        pytest.importorskip("optuna")
        pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in BLOCKS if block.document == page]
    recipes = write_recipes(blocks)
    make_data("photos", *recipes, *(block.text for block in blocks if block.language == "bash"))
    with ExitStack() as stack:
        stack.enter_context(with_curves())  # some pages show them
        reader = Reader(page, mdpseg_command, stack, tmp_path)
        for place, kind in GIVEN.get(page.name, {}).items():
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            give(kind, Path(place), runs, monkeypatch, reader)
        for block in blocks:
            for line in block.steps() if block.language == "bash" else []:
                if block.why_not(line) is None:
                    reader.follow(line)
        if page.name == "serve.md":
            the_python_client_gives_the_same(blocks, reader.url)
    assert reader.ran
    text = page.read_text(encoding="utf-8")
    for path in WRITTEN.get(page.name, []):
        assert Path(path).name in text
        assert Path(path).stat().st_size > 0
        assert not Path(path).is_dir() or any(Path(path).iterdir())


def write_recipes(blocks: list) -> list[str]:
    """Writes the recipes that the page calls by a name, else the README's of these names; returns them."""
    found: dict[str, str] = {}
    for block in [*blocks, *(block for block in BLOCKS if block.document.name == "README.md")]:
        named = re.match(r"# (\w+\.yaml)\n", block.text)
        if block.language == "yaml" and named:
            found.setdefault(named[1], block.text)
    used = {name: text for name, text in found.items() if any(name in b.text for b in blocks if b.language == "bash")}
    for name, text in used.items():
        Path(name).write_text(text)
    return list(used.values())


def give(kind: str, place: Path, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, reader: Reader) -> None:
    """Puts what a page presumes where it says."""
    if kind in runs:
        shutil.copytree(runs[kind], place)
    elif kind == "mirror":
        place.mkdir()
        server = reader.stack.enter_context(web_server.serving(place))
        tar(place / "VOCtrainval_11-May-2012.tar", Path("data"))
        published(monkeypatch, server, "voc2012")
        monkeypatch.setenv(MIRROR, server.url)
    elif kind == "results":
        shutil.copy(ROOT / "benchmarks" / place.name, place)
    elif kind == "preset":
        tiny_preset.write(place.parent, network=tiny.FAST_NETWORK)
    elif kind == "dataset":
        shutil.copytree("photos", place)
    elif kind == "fields":
        tiff = {"bands": [4, 3, 2], "range": [0, 3000]}
        entry = {"name": "fields", "reader": "folder", "path": "data/fields", "tiff": tiff}
        recipe = tiny.finetuning(place, train=entry, val=None, network=tiny.FAST_NETWORK, device="cpu")
        reader.succeeds("finetune", tiny.write_recipe(Path("fields.yaml"), recipe), "iterations=2")
    elif kind == "broken":
        with pytest.MonkeyPatch.context() as patch:
            break_weights(patch, 1)
            recipe = tiny.write_recipe(Path("broken.yaml"), tiny.pretraining(place, network=tiny.FAST_NETWORK))
            assert reader.mdpseg("pretrain", recipe)[0] == 2


def the_python_client_gives_the_same(blocks: list, url: str) -> None:
    """The page's Python function and its curl command answer alike."""
    import numpy as np

    (block,) = (block for block in blocks if block.language == "python")
    space: dict = {}
    exec(compile(block.text, str(block.document), "exec"), space)
    ids = space["class_ids"](Path("photo.jpg").read_bytes(), url)
    np.testing.assert_array_equal(ids, np.asarray(Image.open("mask.png")))
    assert ids.shape == Image.open("photo.jpg").size[::-1]
