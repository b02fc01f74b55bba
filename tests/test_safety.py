"""Hostile input through the command line: one message, the one in docs/safety.md, nothing run, memory bounded.

`python -m tests.test_safety` prints the table of the document.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

from tests import hostile, tiny
from tests.data.readers.files import write_image, write_lines, write_mask

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "safety.md"
MEMORY = 2**29  # bytes beside what Python, torch and the rest take


def recipe_of(root: Path, **more) -> Path:
    return tiny.write_recipe(root / "recipe.yaml", tiny.pretraining(root / "out", datasets=[tiny.toy("fine")], **more))


def weights_at(root: Path, good: Path, make: Callable[[Path], Path]) -> list:
    return ["pretrain", recipe_of(root), f"init={make(root / 'weights.safetensors')}"]


def recipe_text(text: str) -> Callable[[Path, Path], list]:
    def case(root, good):
        (root / "recipe.yaml").write_text(text)
        return ["pretrain", root / "recipe.yaml"]

    return case


def folder(root: Path, **more) -> list:
    recipe = tiny.pretraining(root / "out", datasets=[{**tiny.image_folder(root / "data"), **more}])
    return ["pretrain", tiny.write_recipe(root / "recipe.yaml", recipe)]


def pickled(root, good):
    return weights_at(root, good, lambda path: hostile.pickled_weights(path, root / "ran"))


def pickled_checkpoint(root, good):
    (root / "out").mkdir()
    hostile.pickled_weights(root / "out" / "last.ckpt", root / "ran")
    return ["pretrain", recipe_of(root), "--resume"]


def absurd_header(root, good):
    return weights_at(root, good, lambda path: hostile.safetensors(path, b"{}", 2**60))


def lying_header(root, good):
    header = b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}'
    return weights_at(root, good, lambda path: hostile.safetensors(path, header, data=bytes(4)))


def wrong_shapes(root, good):
    import torch

    return weights_at(root, good, lambda path: hostile.rewritten(path, good, {"mean": torch.zeros(7)}))


def network_that_fits_no_memory(root, good):
    with safe_open(good, "pt") as file:
        known = file.metadata()["network"]
    return weights_at(root, good, lambda path: hostile.rewritten(path, good, network=hostile.huge_network(known)))


def deep_metadata(root, good):
    return weights_at(root, good, lambda path: hostile.rewritten(path, good, label_space=hostile.deep_json()))


def large_recipe(root, good):
    (root / "recipe.yaml").write_bytes(b"# " + b"x" * 2**24)
    return ["pretrain", root / "recipe.yaml"]


def merge_bomb(root, good):
    (root / "merge.yaml").write_text(hostile.yaml_bomb())
    return ["pretrain", recipe_of(root, merge=str(root / "merge.yaml"))]


def endless_list(root, good):
    os.mkfifo(root / "list.txt")
    return folder(root, subset={"list": str(root / "list.txt")})


def way_out_in_a_subset_list(root, good):
    write_lines(root / "list.txt", ["0", "../../../etc/passwd"])
    return folder(root, subset={"list": str(root / "list.txt")})


def way_out_in_a_split_list(root, good):
    voc = root / "VOC2012"
    write_image(root / "secret.jpg")
    write_image(voc / "JPEGImages/a.jpg")
    write_mask(voc / "SegmentationClass/a.png", [0])
    write_lines(voc / "ImageSets/Segmentation/train.txt", ["a", "../../secret"])
    recipe = tiny.pretraining(root / "out", datasets=[{"name": "voc", "reader": "voc2012", "path": str(voc)}])
    return ["pretrain", tiny.write_recipe(root / "recipe.yaml", recipe)]


def coco(text: str) -> Callable[[Path, Path], list]:
    """COCO instances with this annotation file, beside one good photograph."""

    def case(root, good):
        write_image(root / "coco/train/0.jpg")
        (root / "coco/annotations").mkdir()
        (root / "coco/annotations/instances_train.json").write_text(text)
        recipe = tiny.pretraining(
            root / "out", datasets=[{"name": "mine", "reader": "coco_instances", "path": str(root / "coco")}]
        )
        return ["pretrain", tiny.write_recipe(root / "recipe.yaml", recipe)]

    return case


def coco_text(file_name: str = "0.jpg", segmentation: object = None, height: int = 8, width: int = 10) -> str:
    return json.dumps(
        {
            "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
            "categories": [{"id": 1, "name": "car"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}],
        }
    )


def way_out_in_a_list_of_pairs(root, good):
    entry = tiny.image_folder(root / "data")
    write_lines(root / "data/pairs.csv", ["images/train/0.jpg,../../secret.png"])
    recipe = tiny.pretraining(
        root / "out", datasets=[{**entry, "reader": "list", "path": str(root / "data/pairs.csv")}]
    )
    return ["pretrain", tiny.write_recipe(root / "recipe.yaml", recipe)]


def image_bomb(make: Callable[[Path], Path], name: str, kind: str = "images") -> Callable[[Path, Path], list]:
    def case(root, good):
        entry = tiny.image_folder(root / "data", count=1)
        suffix = ".jpg" if kind == "images" else ".png"
        path = root / "data" / kind / "train" / f"0{suffix}"
        path.unlink()
        make(path.with_name(name))
        recipe = tiny.pretraining(root / "out", datasets=[entry])
        return ["pretrain", tiny.write_recipe(root / "recipe.yaml", recipe)]

    return case


def picture_of_a_pipe(root, good):
    arguments = image_bomb(lambda path: path, "0.png", "masks")(root, good)
    os.mkfifo(root / "data/masks/train/0.png")
    return arguments


def classes_that_move_the_cursor(root, good):
    arguments = folder(root)
    (root / "data/classes.txt").write_bytes(b"road\n\x1b[2J\x1b[31mcar\nsky\n")
    return arguments


def classes_that_turn_the_text(root, good):
    return folder(root, classes=["road", "\u202ecar", "sky"])


def file_name_that_forges_a_line(root, good):
    arguments = folder(root)
    Image.new("RGB", (4, 4)).save(root / "data/images/train/x\nmdpseg: all is well.png")
    return arguments


# what the document says of the input -> what makes it and gives the command line
CASES = {
    "weights that are a pickle with a payload": pickled,
    "a checkpoint with a payload": pickled_checkpoint,
    "safetensors with an absurd header length": absurd_header,
    "safetensors that claim a tensor of 4 TB": lying_header,
    "safetensors with a wrong shape": wrong_shapes,
    "safetensors that name a network of terabytes": network_that_fits_no_memory,
    "safetensors whose metadata nest without end": deep_metadata,
    "a YAML bomb: aliases of aliases of aliases": recipe_text(hostile.yaml_bomb()),
    "YAML that contains itself": recipe_text("a: &a [*a]"),
    "YAML that nests without end": recipe_text("out: " + "[" * 100_000),
    "YAML with a number of a million digits": recipe_text("iterations: " + "9" * 1_000_000),
    "YAML that calls Python": recipe_text("out: !!python/object/apply:os.mkdir [ran]"),
    "YAML with control characters": recipe_text('out: "\\e[2Jruns"'),
    "a recipe of 16 MB": large_recipe,
    "a bomb as merge file": merge_bomb,
    "a subset list that is a pipe": endless_list,
    "`../../` in a subset list": way_out_in_a_subset_list,
    "`../../` in a split's list": way_out_in_a_split_list,
    "a PNG of 50000 x 50000 pixels": image_bomb(hostile.png_bomb, "0.png"),
    "a JPEG of 65500 x 65500 pixels": image_bomb(hostile.jpeg_bomb, "0.jpg"),
    "a WebP of 16383 x 16383 pixels": image_bomb(hostile.webp_bomb, "0.webp"),
    "a TIFF of 50000 x 50000 pixels": image_bomb(hostile.tiff_bomb, "0.tif"),
    "a mask of 50000 x 50000 pixels": image_bomb(hostile.png_bomb, "0.png", "masks"),
    "a mask that is a pipe": picture_of_a_pipe,
    "`../../` in a list of image and mask": way_out_in_a_list_of_pairs,
    "`../../` in a COCO annotation file": coco(coco_text("../../secret.jpg")),
    "COCO annotations that nest without end": coco(hostile.deep_json()),
    "COCO annotations that claim an image of 10^12 pixels": coco(coco_text(height=10**6, width=10**6)),
    "a COCO polygon a billion pixels away": coco(coco_text(segmentation=[[0, 0, 1e9, 0, 1e9, 1e9]])),
    "COCO run lengths that are longer than the image": coco(
        coco_text(segmentation={"size": [8, 10], "counts": [0, 4_000_000_000]})
    ),
    "a class list with control characters": classes_that_move_the_cursor,
    "a class name that turns the text's direction": classes_that_turn_the_text,
    "a file name that forges a line": file_name_that_forges_a_line,
}


def shown(message: str, root: Path) -> str:
    """A message as the document has it: no folders of this machine, no bar that would end the table's cell."""
    message = re.sub(r"\(Error while.*?\)", "(...)", message)  # safetensors' own words differ by version
    return message.removeprefix("mdpseg: ").replace(f"{root}/", "").replace("|", r"\|")


def row(name: str, message: str) -> str:
    return f"| {name} | `` {message} `` |"


def files_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.name not in ("recipe.yaml", "log.txt"))


@pytest.mark.parametrize("name", CASES)
def test_one_message_which_the_document_has(name, pretrained, tmp_path, monkeypatch, mdpseg_command):
    monkeypatch.chdir(tmp_path)
    arguments = CASES[name](tmp_path, pretrained / "weights.safetensors")
    before = files_below(tmp_path)
    code, out, err = mdpseg_command(*arguments)
    assert (code, out) == (2, ""), err
    *earlier, message = err.strip().splitlines()
    assert not any("rror" in line or "Warning" in line for line in earlier)
    assert message.startswith("mdpseg: ")
    assert len(message) < 800
    assert message.isprintable()
    assert not (tmp_path / "ran").exists()
    assert files_below(tmp_path) == before
    assert row(name, shown(message, tmp_path)) in DOCUMENT.read_text()


def test_the_document_has_no_other_rows():
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ") and "``" in line]
    assert len(rows) == len(CASES)


CHILD = """
import resource, sys
from pathlib import Path
import mdpseg.engine.pretrain
from tests import test_safety as safety

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + safety.MEMORY, used + safety.MEMORY))
for name, case in safety.CASES.items():
    root = Path(sys.argv[1], str(list(safety.CASES).index(name)))
    root.mkdir()
    print(name, "->", safety.message_of(case(root, Path(sys.argv[2])), root), flush=True)
"""


def message_of(arguments: list, root: Path) -> str:
    """What the command line would say."""
    import mdpseg
    from mdpseg.errors import UserError

    overrides = [str(a) for a in arguments[2:]]
    try:
        mdpseg.pretrain(str(arguments[1]), ["resume=true" if a == "--resume" else a for a in overrides])
    except UserError as error:
        return shown(str(error), root)
    raise AssertionError("it was not refused")


@pytest.mark.slow
def test_memory_is_bounded(pretrained, tmp_path):
    """All cases in one process that may take half a gigabyte beside its libraries."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), str(pretrained / "weights.safetensors")],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" -> ", 1) for line in done.stdout.splitlines())
    assert list(said) == list(CASES)
    for name, message in said.items():
        assert row(name, message) in DOCUMENT.read_text()


# Tested with links, `..`, absolute paths and bombs: tests/data/download, tests/data/shards, tests/test_torch_file.py.
MAY_OPEN_ARCHIVES = {"data/download/unpack.py", "data/shards/pack.py", "data/shards/scan.py", "torch_file.py"}


def test_nothing_else_opens_archives():
    """A path inside an archive must lead nowhere; whoever opens one must refuse `..` and absolute paths."""
    unpackers = re.compile(r"\b(tarfile|zipfile|unpack_archive|extractall|\.extract\(|py7zr|rarfile)")
    found = {path for path in (ROOT / "src/mdpseg").rglob("*.py") if unpackers.search(path.read_text())}
    assert {path.relative_to(ROOT / "src/mdpseg").as_posix() for path in found} == MAY_OPEN_ARCHIVES
    everywhere = re.compile(r"unpack_archive|extractall")  # these write wherever the archive says
    assert not [path for path in found if everywhere.search(path.read_text())]


def test_nothing_runs_what_it_reads():
    """No pickle, no eval, no shell; torch.load only with weights_only."""
    runs = re.compile(
        r"(?<![\w.])(eval|exec|compile)\(|pickle\.loads?|yaml\.(unsafe_|full_)?load\(|shell=True|os\.system"
    )
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        assert not runs.search(text), path
        assert text.count("torch.load(") == text.count("weights_only=True"), path


def main() -> None:
    """Prints the table of the document."""
    sys.path.insert(0, str(ROOT))
    import mdpseg

    with tempfile.TemporaryDirectory() as place:
        good = mdpseg.pretrain(tiny.pretraining(Path(place, "good"))).weights
        os.chdir(place)
        for number, (name, case) in enumerate(CASES.items()):
            root = Path(place, str(number))
            root.mkdir()
            print(row(name, message_of(case(root, good), root)))


if __name__ == "__main__":
    main()
