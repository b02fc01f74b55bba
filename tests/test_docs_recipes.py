"""Every recipe of the documents, or part of one, is run: two steps of a tiny network on data that lies where it says.

What a block says stands: of the settings only length, batch, crop and (where it names none) the network are made small.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import yaml

from mdpseg.config import EvaluateConfig, FinetuneConfig, PretrainConfig
from mdpseg.data.toy import ToyWorld
from tests import tiny, web_server
from tests.documents import BLOCKS, Block
from tests.test_docs_data import make_data

KINDS = {"pretrain": PretrainConfig, "finetune": FinetuneConfig, "evaluate": EvaluateConfig}
FEWER = ["iterations=2", "batch_size=2", "workers=0", "device=cpu", "augment.crop=32", "log_every=1"]
NETWORK = ["network.encoder=test_efficientnet", "network.decoder=fpn", "network.decoder_channels=32"]
# What a part of a recipe is put into.
REST = {
    "pretrain": {"out": "runs/part", "datasets": [tiny.toy("coarse"), tiny.toy("fine")]},
    "finetune": {"out": "runs/part", "train": tiny.toy("things")},
    "evaluate": {"weights": "runs/finetune/weights.safetensors", "dataset": tiny.toy("things")},
}
WEIGHTS = "runs/pretrain/weights.safetensors"

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def run(tmp_path, monkeypatch, mdpseg_command):
    """Runs a command in a folder that is the test's own; it must succeed."""
    monkeypatch.chdir(tmp_path)

    def succeeds(*arguments: object) -> str:
        code, out, err = mdpseg_command(*arguments)
        assert code == 0, (arguments, out, err)
        return out

    return succeeds


def kind_of(content: Any) -> str:
    """What a block of YAML is: whose recipe (the command that knows most of its keys), or another file."""
    if isinstance(content, list):
        return "datasets" if all("reader" in entry for entry in content) else "classes"
    if "reader" in content:
        return "datasets"
    if "ignore_color" in content:
        return "classes"
    if "roles" in content:
        return "preset"
    names = [name for value in content.values() for name in (value if isinstance(value, list) else [value])]
    if all(isinstance(name, str) and re.fullmatch(r"[\w.+-]+/.+", name) for name in names):
        return "merge"
    return max(KINDS, key=lambda kind: len(set(content) & set(KINDS[kind].model_fields)))


def recipes() -> list:
    """The blocks, those of one text once."""
    blocks = {block.text: block for block in reversed(BLOCKS) if block.language == "yaml" and block.runs}
    return [pytest.param(block, id=block.name) for block in reversed(blocks.values())]


@pytest.mark.slow
@pytest.mark.parametrize("block", recipes())
def test_a_recipe_runs(block, run):
    content = yaml.safe_load(block.text)
    assert isinstance(content, dict | list), "no YAML; give it a language, or an entry in NOT_RUN"
    {"datasets": entries, "classes": classes, "preset": preset, "merge": merge}.get(kind_of(content), recipe)(
        block, content, run
    )


def recipe(block: Block, content: dict[str, Any], run: Any) -> None:
    kind = kind_of(content)
    whole = {**REST[kind], **content}
    Path("recipe.yaml").write_text(block.text if whole == content else yaml.safe_dump(whole))
    make_data(block.text)
    network = [] if "network" in content else NETWORK
    init = whole.get("init", "")
    if init.startswith("runs/"):
        pretrain_first(run, Path(init).parent, content.get("network"))
        network = []
    elif init.endswith(".pth"):
        Path(init).parent.mkdir()
        torch.save(getattr(torchvision.models, Path(init).stem)().state_dict(), init)
    if "merge" in content:
        Path(content["merge"]).write_text(merge_file(block))
    with ExitStack() as stack:
        elsewhere = served_shards(whole.get("datasets", []), run, stack)
        streams = [
            f"datasets.{place}.hf.stream=4"
            for place, entry in enumerate(whole.get("datasets", []))
            if "stream" in entry.get("hf", {})
        ]
        run(kind, "recipe.yaml", *([] if kind == "evaluate" else FEWER), *network, *elsewhere, *streams)
    if kind != "evaluate":
        trained(whole["out"])


def trained(out: str | Path, steps: int = 2) -> None:
    assert Path(out, "weights.safetensors").is_file()
    records = [json.loads(line) for line in Path(out, "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == steps
    assert all(math.isfinite(loss) for loss in losses)


def pretrain_first(run: Any, out: Path, network: dict[str, Any] | None) -> None:
    """The pretraining that a fine-tuning starts from: of its network, if it names one."""
    small = tiny.pretraining(out, network=network or tiny.FAST_NETWORK, iterations=1, batch_size=2, device="cpu")
    run("pretrain", tiny.write_recipe(Path("first.yaml"), small))


def merge_file(block: Block) -> str:
    """The mapping file that the block's page shows before it."""
    above = [other for other in BLOCKS if other.document == block.document and other.line < block.line]
    return next(
        other.text
        for other in reversed(above)
        if other.language == "yaml" and kind_of(yaml.safe_load(other.text)) == "merge"
    )


def served_shards(datasets: list[dict[str, Any]], run: Any, stack: ExitStack) -> list[str]:
    """Packs what entries of reader shards name, and serves those with an address from this machine."""
    settings = []
    for place, entry in enumerate(datasets):
        if entry["reader"] != "shards":
            continue
        folder = Path("www" if "url" in entry else entry["path"])
        source = json.dumps(tiny.toy("coarse", name=entry["name"]))
        run("data", "pack", source, "--out", folder / entry.get("split", ""), "--workers", 0)
        if "classes" in entry:
            Path(entry["classes"]).write_text("\n".join(ToyWorld("coarse").classes))
        if "url" in entry:
            server = stack.enter_context(web_server.serving(folder))
            settings += [f"datasets.{place}.url={server.url}", f"datasets.{place}.cache=cache"]
    return settings


def entries(block: Block, content: Any, run: Any) -> None:
    datasets = content if isinstance(content, list) else [content]
    recipe(block, {"datasets": datasets}, run)


def classes(block: Block, content: Any, run: Any) -> None:
    """A class list: of a folder whose masks hold these colours."""
    make_data("data/coloured")
    Path("classes.yaml").write_text(block.text)
    entry = {"name": "coloured", "reader": "folder", "path": "data/coloured", "classes": "classes.yaml"}
    recipe(block, {"datasets": [entry]}, run)
    listed = content["classes"] if isinstance(content, dict) else content
    assert [entry["name"] for entry in listed] == Path("data/coloured/classes.txt").read_text().split()


def merge(block: Block, content: dict[str, Any], run: Any) -> None:
    """A mapping file: of the pretraining that its page shows behind it."""
    below = [other for other in BLOCKS if other.document == block.document and other.line > block.line]
    user = next(other for other in below if other.language == "yaml" and "merge:" in other.text)
    recipe(user, yaml.safe_load(user.text), run)
    said = run("classes", "list", yaml.safe_load(user.text)["out"])
    assert all(name in said for name in content)


def preset(block: Block, content: dict[str, Any], run: Any) -> None:
    """A preset: one row by it, of a smaller network, fewer images and steps."""
    make_data("data/cityscapes", "data/ADEChallengeData2016", "data/camvid")
    for role in content["roles"].values():
        role["images"] = 4
    content["targets"]["VOC"]["train"]["subset"] = {"count": 3}
    content["network"] = tiny.FAST_NETWORK
    content["pretraining"] |= {"batch_size": 2, "augment": {"crop": 32}, "workers": 0}
    content["finetuning"] |= {"iterations": 2, "batch_size": 2, "augment": {"crop": 32}, "workers": 0}
    content["epoch_scale"] = 0.01
    Path("mine.yaml").write_text(yaml.safe_dump(content))
    run("tables", "run", "--preset", "mine.yaml", "--rows", "A2", "--seeds", 1)
    assert Path("runs/tables/results.csv").read_text().count("\n") == 4  # header, the pretraining, early and late
