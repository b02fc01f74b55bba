"""``mdpseg data check``: all problems at once, and nothing where there is none."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import ExifTags, Image

from mdpseg.data import examine
from mdpseg.data.check import check
from mdpseg.data.problems import KINDS, Problem, listing
from mdpseg.data.readers import Folder
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests import tiny

IDS = (0, 1, 2, 255)


def dataset(root, train=6, val=4):
    """A clean dataset of reader ``folder``; no two images look alike. Returns a fine-tuning recipe."""
    for split, count, first in (("train", train, 0), ("val", val, 100)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            source = np.random.default_rng(first + number)
            coarse = source.integers(0, 256, (5, 6, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((48, 40), Image.Resampling.BICUBIC).save(
                root / "images" / split / f"{number}.png"
            )
            mask = source.choice(np.array(IDS, np.uint8), (40, 48))
            Image.fromarray(mask).save(root / "masks" / split / f"{number}.png")
    (root / "classes.txt").write_text("a\nb\nc\n")
    entry = {"name": "mine", "reader": "folder", "path": str(root)}
    return tiny.finetuning(root.parent / "out", train={**entry, "split": "train"}, val={**entry, "split": "val"})


def found(recipe, tmp_path, **more):
    path = tiny.write_recipe(tmp_path / "recipe.yaml", recipe)
    return check(path, workers=0, **more)


def kinds(report):
    return [problem.kind for problem in report.problems]


def test_a_clean_dataset(tmp_path):
    report = found(dataset(tmp_path / "d"), tmp_path)
    assert report.problems == []
    assert report.clean
    assert [(part.title, len(part.names)) for part in report.parts] == [("mine (train)", 6), ("mine (val)", 4)]
    assert "No problems in 10 images." in report.text(5)


def test_of_many_absent_classes_the_first_are_named(tmp_path):
    recipe = dataset(tmp_path / "d")
    (tmp_path / "d/classes.txt").write_text("".join(f"class {number}\n" for number in range(30)))
    wrong = found(recipe, tmp_path).problems[0].wrong
    assert wrong == "27 of 30 classes have no pixel (" + ", ".join(f"class {n}" for n in range(3, 11)) + " ...)"


def test_classes_that_a_part_lacks_are_a_remark(tmp_path, mdpseg_command):
    """Lines taken out of a class list would rename all classes behind them."""
    recipe = dataset(tmp_path / "d", train=6, val=1)
    for mask in (tmp_path / "d/masks/val").iterdir():
        Image.fromarray(np.zeros((40, 48), np.uint8)).save(mask)
    kept = "do not take lines out of the class list, whose order is the ids."
    line = f"mine (val): 2 of 3 classes have no pixel (b, c); that is no mistake in a part; {kept}"
    for report in (found(recipe, tmp_path), check(tmp_path / "d", workers=0)):
        (problem,) = report.problems
        assert report.clean
        assert problem.line().replace("d (val)", "mine (val)") == line
    entry = f"{{name: mine, reader: folder, path: {tmp_path / 'd'}, split: val}}"
    assert check(entry, workers=0).clean
    (tmp_path / "list.txt").write_text("0\n")
    shutil.copy(tmp_path / "d/masks/val/0.png", tmp_path / "d/masks/train/0.png")
    recipe["train"]["subset"] = {"list": str(tmp_path / "list.txt")}
    assert kinds(found(recipe, tmp_path)) == ["absent_part", "absent_part"]
    assert found({"weights": "none.safetensors", "dataset": recipe["train"]}, tmp_path).clean
    for mask in (tmp_path / "d/masks/train").iterdir():
        shutil.copy(tmp_path / "d/masks/val/0.png", mask)
    code, out, _ = mdpseg_command("data", "check", tmp_path / "d", "--workers", 0)
    assert code == 1
    assert f"add images that show them, or leave them be; {kept}" in out
    assert "leave them out" not in out


def turned(path, number, **more):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = number
    with Image.open(path) as picture:
        picture.load()
    picture.save(path.with_suffix(f".{more['format']}"), exif=exif, **more)
    if path.suffix != f".{more['format']}":
        path.unlink()


def test_an_image_that_is_stored_turned_is_a_remark(tmp_path):
    """Its mask has the same size, and nothing else tells that it may be drawn on the upright picture."""
    recipe = dataset(tmp_path / "d")
    images = tmp_path / "d/images/train"
    for number, kind in enumerate(("jpeg", "png", "webp", "jpeg")):
        turned(images / f"{number}.png", number + 1, format=kind)
    (tmp_path / "d/masks/train/3.png").unlink()
    Image.fromarray(np.zeros((48, 40), np.uint8)).save(tmp_path / "d/masks/train/3.png")  # told as of another size
    report = found(recipe, tmp_path)
    assert [(problem.kind, problem.file) for problem in report.problems] == [
        ("size", str(tmp_path / "d/masks/train/3.png")),
        ("turned", str(images / "1.png")),
        ("turned", str(images / "2.webp")),
    ]
    assert not report.clean
    said = "stored turned (EXIF orientation 2), which is not followed; its mask must be drawn on the pixels as stored."
    assert report.problems[1].line() == f"mine (train): image {images / '1.png'} is {said}"
    (tmp_path / "d/images/train/3.jpeg").unlink()
    (tmp_path / "d/masks/train/3.png").unlink()
    assert found(recipe, tmp_path).clean
    assert kinds(check(f"{{name: web, reader: folder, images: {images}, unlabelled: true}}", workers=0)) == []


def spoil(root):
    """Every problem that a file may have, and what must be said of it: kind -> texts."""
    images, masks = root / "images", root / "masks"
    (masks / "train/0.png").unlink()
    (images / "train/1.png").write_bytes((images / "train/1.png").read_bytes()[:900])
    Image.fromarray(np.zeros((48, 40), np.uint8)).save(masks / "train/1.png")  # found, though its image is damaged
    Image.fromarray(np.zeros((30, 48), np.uint8)).save(masks / "train/2.png")
    Image.fromarray(np.full((40, 48), 7, np.uint8)).save(masks / "train/3.png")
    Image.fromarray(np.full((40, 48), 700, np.uint16)).save(masks / "train/4.png")
    shutil.copy(images / "train/5.png", images / "train/copy.png")
    shutil.copy(masks / "val/0.png", masks / "train/copy.png")
    (images / "val/0.png").write_text("hello")
    Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(masks / "val/0.png")
    shutil.copy(images / "train/5.png", images / "val/1.png")
    shutil.copy(masks / "train/5.png", masks / "val/1.png")
    Image.open(images / "train/2.png").convert("RGB").save(images / "val/2.jpg", quality=70)
    (images / "val/2.png").unlink()
    shutil.copy(images / "val/3.png", images / "val/3.jpg")
    shutil.copy(masks / "val/3.png", masks / "val/lone.png")
    (root / "classes.txt").write_text("a\nb\nc\nnever seen\n")
    return [
        ("missing", "mine (train)", ["images/train/0.png has no mask", "expected", "masks/train/0.png"]),
        ("missing", "mine (val)", ["lone.png has no image"]),
        ("damaged", "mine (train)", ["images/train/1.png", "re-copy"]),
        ("format", "mine (train)", ["masks/train/4.png", "16-bit", "8 bits"]),
        ("format", "mine (val)", ["images/val/0.png", "not a JPEG"]),
        ("format", "mine (val)", ["masks/val/0.png", "colors (RGB)"]),
        ("name", "mine (val)", ["3.jpg", "3.png", "same name"]),
        ("size", "mine (train)", ["2.png", "48x40", "48x30", "equal"]),
        ("id", "mine (train)", ["masks/train/3.png", "id 7", "0..3"]),
        ("absent", "mine (train)", ["1 of 4 classes", "never seen"]),
        ("absent_part", "mine (val)", ["1 of 4 classes", "never seen", "no mistake in a part"]),
        ("duplicate", "mine (train)", ["copy.png", "same bytes", "5.png", "another mask"]),
        ("leak", "mine (val)", ["val/1.png", "train/5.png", "take it out"]),
        ("near_leak", "mine (val)", ["val/2.jpg", "train/2.png"]),
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_everything_that_is_wrong_is_listed_at_once(workers, tmp_path):
    recipe = dataset(tmp_path / "d")
    expected = spoil(tmp_path / "d")
    report = check(tiny.write_recipe(tmp_path / "r.yaml", recipe), workers=workers)
    told = [(problem.kind, problem.dataset) for problem in report.problems]
    assert sorted(told) == sorted((kind, dataset) for kind, dataset, _ in expected)
    assert [kind for kind, _ in told] == sorted((kind for kind, _ in told), key=list(KINDS).index)
    text = report.text(50)
    for kind, where, parts in expected:
        lines = [p.line() for p in report.problems if (p.kind, p.dataset) == (kind, where)]
        assert any(all(part in line for part in parts) for line in lines), (kind, parts, lines)
    for problem in report.problems:
        assert f"\n  {problem.line()}\n" in text
        assert problem.todo
        assert problem.file or problem.kind in ("absent", "absent_part")
    assert "13 problems in " in text  # and a remark


def test_both_files_of_a_pair_are_told(tmp_path):
    recipe = dataset(tmp_path / "d")
    for kind in ("images", "masks"):
        (tmp_path / "d" / kind / "train/0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    report = found(recipe, tmp_path)
    assert kinds(report) == ["damaged", "damaged"]


def test_command_and_exit_codes(tmp_path, mdpseg_command):
    recipe = dataset(tmp_path / "d")
    path = tiny.write_recipe(tmp_path / "r.yaml", recipe)
    code, out, err = mdpseg_command("data", "check", path, "--workers", 0)
    assert (code, err) == (0, "")
    assert "No problems in 10 images." in out
    spoil(tmp_path / "d")
    code, out, err = mdpseg_command("data", "check", path, "--workers", 0, "--lines", 1, "--out", tmp_path / "a" / "b")
    assert (code, err) == (1, "")
    assert "Missing partners: 2\n" in out
    assert "... and 1 more; --out FOLDER" in out
    content = json.loads((tmp_path / "a/b/problems.json").read_text())
    assert len(content["problems"]) == 14
    assert set(content["problems"][0]) == {"kind", "dataset", "file", "wrong", "todo"}
    with (tmp_path / "a/b/classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["a", "b", "c", "never seen"] * 2
    assert Image.open(tmp_path / "a/b/classes.png").width > 100
    assert not list((tmp_path / "a/b").glob(".*"))
    assert not (tmp_path / "out").exists()

    code, out, err = mdpseg_command("data", "check", path, "train.nam=x")
    assert (code, out) == (2, "")
    assert "did you mean 'name'?" in err
    (tmp_path / "file").write_text("")
    code, _, err = mdpseg_command("data", "check", path, "--workers", 0, "--out", tmp_path / "file" / "x")
    assert code == 2
    assert "cannot be written" in err


def test_a_recipe_of_no_command(tmp_path, mdpseg_command):
    path = tiny.write_recipe(tmp_path / "r.yaml", {"weights": "w", "images": ["a.jpg"], "out": "o"})
    code, _, err = mdpseg_command("data", "check", path)
    assert code == 2
    assert "none of the keys datasets, train, dataset" in err


def test_pretraining_with_all_sorts_of_datasets(tmp_path):
    recipe = dataset(tmp_path / "d")
    bare = tiny.bare_images(tmp_path / "bare", count=3)
    (tmp_path / "bare/images/train/1.jpg").write_bytes(b"\xff\xd8\xff")
    pretraining = tiny.pretraining(
        tmp_path / "out",
        datasets=[
            tiny.toy("things", count=12),
            {**tiny.toy("fine"), "name": "unlabelled-toy", "unlabelled": True},
            bare,
            recipe["train"],
            {**recipe["val"], "name": "gone", "path": str(tmp_path / "none")},
        ],
    )
    report = found(pretraining, tmp_path)
    assert [part.title for part in report.parts] == ["things", "unlabelled-toy", "bare", "mine"]
    assert [(problem.kind, problem.dataset) for problem in report.problems] == [
        ("dataset", "gone"),
        ("damaged", "bare"),
    ]
    assert "none" in report.problems[0].wrong
    shares = report.parts[0].shares
    assert shares.absent() == []
    assert sum(pixels for _, pixels, _, _ in shares.rows()) + shares.pixels[255] == 12 * 64 * 64
    assert report.parts[2].shares is None
    assert "bare: 3 images, without labels" in report.text(3)


@pytest.mark.parametrize("role", ["train", "val"])
def test_a_dataset_that_cannot_be_opened_is_one_line(tmp_path, role):
    recipe = dataset(tmp_path / "d")
    recipe[role]["path"] = str(tmp_path / "none")
    report = found(recipe, tmp_path)
    (problem,) = report.problems
    assert problem.line() == (
        f"mine ({role}): no folder {tmp_path / 'none/images' / role}; expected a folder of images and a folder of PNG "
        "(or TIFF) masks of the same names. Correct the path."
    )
    assert [part.title for part in report.parts] == [f"mine ({'val' if role == 'train' else 'train'})"]


def test_a_message_that_says_only_what_is_wrong_gets_one_instruction(tmp_path):
    recipe = dataset(tmp_path / "d")
    recipe["train"]["classes"] = str(tmp_path / "latin.txt")
    (tmp_path / "latin.txt").write_bytes(b"stra\xdfe\n")
    (problem,) = found(recipe, tmp_path).problems
    assert problem.line().count("mine") == 1
    assert problem.todo
    assert problem.line() == f"mine (train): {problem.wrong}; {problem.todo}."


def test_a_folder_is_checked_as_its_recipe_is(tmp_path, mdpseg_command):
    recipe = dataset(tmp_path / "mine")
    code, out, err = mdpseg_command("data", "check", tmp_path / "mine", "--workers", 0)
    assert (code, err) == (0, "")
    assert "mine (train): 6 images" in out
    spoil(tmp_path / "mine")
    by_recipe, by_folder = found(recipe, tmp_path), check(tmp_path / "mine", workers=0)
    assert by_folder.problems == by_recipe.problems
    assert len(by_folder.problems) == 14


def test_what_of_a_folder_is_not_checked_is_told(tmp_path, mdpseg_command):
    dataset(tmp_path / "all" / "mine")
    (tmp_path / "all/odd/pics").mkdir(parents=True)
    shutil.copytree(tmp_path / "all/mine/images/val", tmp_path / "all/mine/images/test")
    code, out, err = mdpseg_command("data", "check", tmp_path / "all", "--workers", 0, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    passed = f"{tmp_path / 'all/odd'}: passed over, folders pics, and 0 files"
    left = f"Left out: {tmp_path / 'all/mine/images/test'}; there is no {tmp_path / 'all/mine/masks/test'}."
    assert f"What was taken for datasets, and what was not:\n  {passed}\n  mine: Read as two folders" in out
    assert left in out
    assert "No problems in 10 images." in out
    remarks = json.loads((tmp_path / "out/problems.json").read_text())["remarks"]
    assert remarks[0] == passed
    assert left in remarks[1]


def test_an_entry_is_checked(tmp_path, mdpseg_command):
    dataset(tmp_path / "d")
    entry = f"{{name: mine, reader: folder, path: {tmp_path / 'd'}}}"
    (tmp_path / "entry.yaml").write_text(entry)
    for source, *overrides in ([entry, "split=val"], [tmp_path / "entry.yaml", "split=val"]):
        code, out, _ = mdpseg_command("data", "check", source, *overrides, "--workers", 0)
        assert code == 0
        assert "mine: 4 images" in out
    code, _, err = mdpseg_command("data", "check", "{name: mine}", "--workers", 0)
    assert code == 2
    assert "'reader' is missing" in err


def test_pixels_are_counted_as_a_slow_loop_counts_them(tmp_path):
    report = found(dataset(tmp_path / "d"), tmp_path)
    masks = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "d/masks/train").iterdir())]
    labelled = sum((mask != 255).sum() for mask in masks)
    for number, (_, pixels, share, images) in enumerate(report.parts[0].shares.rows()):
        assert pixels == sum((mask == number).sum() for mask in masks)
        assert share == pytest.approx(pixels / labelled)
        assert images == sum((mask == number).any() for mask in masks)


def test_label_sets_that_do_not_go_together(tmp_path):
    recipe = dataset(tmp_path / "d")
    recipe["val"]["classes"] = ["a", "b", "other"]
    report = found(recipe, tmp_path)
    assert kinds(report) == ["recipe"]
    (tmp_path / "merge.yaml").write_text("x: [fine/sky, fine/treee]")
    merged = tiny.pretraining(
        tmp_path / "out", datasets=[tiny.toy("fine", count=30)], merge=str(tmp_path / "merge.yaml")
    )
    report = found(merged, tmp_path)
    assert kinds(report) == ["recipe"]
    assert "did you mean 'fine/tree'" in report.problems[0].wrong


def test_a_mapping_is_not_judged_while_a_dataset_of_it_cannot_be_opened(tmp_path):
    gone = {**dataset(tmp_path / "d")["train"], "name": "gone", "path": str(tmp_path / "none")}
    (tmp_path / "merge.yaml").write_text("x: [fine/sky, gone/a]")
    datasets = [tiny.toy("fine", count=30), gone]
    merged = tiny.pretraining(tmp_path / "out", datasets=datasets, merge=str(tmp_path / "merge.yaml"))
    assert kinds(found(merged, tmp_path)) == ["dataset"]


def test_frames_of_a_film_are_a_remark(tmp_path, mdpseg_command):
    recipe = dataset(tmp_path / "d")
    frame = Image.open(tmp_path / "d/images/train/0.png")
    frame.point(lambda value: min(255, value + 2)).save(tmp_path / "d/images/train/1.png")
    report = found(recipe, tmp_path)
    assert kinds(report) == ["near"]
    assert report.clean
    assert "(a remark, not a problem)" in report.text(5)
    assert mdpseg_command("data", "check", tmp_path / "recipe.yaml", "--workers", 0)[0] == 0


def test_an_evaluation_and_a_configuration(tmp_path):
    recipe = dataset(tmp_path / "d")
    evaluation = {"weights": "none.safetensors", "dataset": recipe["val"]}
    assert found(evaluation, tmp_path).clean
    from mdpseg.config import FinetuneConfig

    assert check(load(recipe, FinetuneConfig), workers=0).clean


def test_a_subset_is_checked_alone(tmp_path):
    recipe = dataset(tmp_path / "d")
    (tmp_path / "d/images/train/3.png").write_text("hello")
    recipe["train"]["subset"] = {"list": str(tmp_path / "list.txt")}
    (tmp_path / "list.txt").write_text("0\n1\n2\n")
    report = found(recipe, tmp_path)
    assert report.clean
    assert len(report.parts[0].names) == 3


def test_a_copy_with_its_mask(tmp_path):
    recipe = dataset(tmp_path / "d")
    for kind in ("images", "masks"):
        shutil.copy(tmp_path / "d" / kind / "train/5.png", tmp_path / "d" / kind / "train/copy.png")
    (problem,) = found(recipe, tmp_path).problems
    images = tmp_path / "d/images/train"
    assert problem.wrong == f"image {images / 'copy.png'} has the same bytes as {images / '5.png'}"


def test_a_split_of_another_case_is_a_part_too(tmp_path):
    dataset(tmp_path / "d", val=1)
    for kind in ("images", "masks"):
        (tmp_path / "d" / kind / "val").rename(tmp_path / "d" / kind / "VAL")
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(tmp_path / "d/masks/VAL/0.png")
    report = check(f"{{name: mine, reader: folder, path: {tmp_path / 'd'}, split: VAL}}", workers=0)
    assert kinds(report) == ["absent_part"]


def test_file_names_cannot_forge_lines(tmp_path):
    recipe = dataset(tmp_path / "d")
    (tmp_path / "d/images/train/x\n\x1b[2J.png").write_text("hello")
    report = found(recipe, tmp_path)
    assert kinds(report) == ["missing"]
    assert r"x\n\x1b[2J.png" in report.problems[0].wrong
    assert "\x1b" not in report.text(5)


def test_a_process_that_dies_is_told(tmp_path, monkeypatch):
    recipe = dataset(tmp_path / "d")
    parent = os.getpid()

    def killed(*_):
        if os.getpid() != parent:
            os.kill(os.getpid(), 9)

    monkeypatch.setattr(examine, "_examine_one", killed)
    with pytest.raises(UserError, match=r"mine: a process that reads images died after 0 of 6.*--workers"):
        check(tiny.write_recipe(tmp_path / "r.yaml", recipe), workers=1)


def test_a_long_listing_is_cut_a_kind(tmp_path):
    problems = [Problem("damaged", "d", f"{i}", f"{i} is damaged", "remove it") for i in range(9)]
    problems.append(Problem("id", "d", "x", "x has id 7", "correct it"))
    lines = listing(problems, 3).splitlines()
    assert lines[0] == "Unreadable or truncated files: 9"
    assert lines[1:5] == [*(f"  d: {i} is damaged; remove it." for i in range(3)), lines[4]]
    assert "6 more" in lines[4]
    assert lines[6:8] == ["Ids or colors without a class: 1", "  d: x has id 7; correct it."]


@pytest.mark.slow
def test_hundreds_of_images_in_bounded_memory(tmp_path):
    """400 images of 3 MB each once decoded would be 1.2 GB."""
    recipe = dataset(tmp_path / "d")
    for kind in ("images", "masks"):
        with Image.open(tmp_path / "d" / kind / "train/0.png") as small:
            small.resize((1200, 900), Image.Resampling.NEAREST).save(tmp_path / "d" / kind / "train/0.png")
        for number in range(400):
            os.link(tmp_path / "d" / kind / "train/0.png", tmp_path / "d" / kind / f"train/big{number}.png")
    path = tiny.write_recipe(tmp_path / "r.yaml", recipe)
    script = (
        "import sys, resource; from mdpseg.data import check, examine, class_shares; import matplotlib.pyplot\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"report = check.check({str(path)!r}, workers=0)\n"
        "print(len(report.problems), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    problems, megabytes = map(int, done.stdout.split())
    assert problems == 400
    assert megabytes < 150


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_no_fault_of_a_file_is_one_message(workers, tmp_path, monkeypatch):
    """As where an extra is not installed; a worker's traceback is no part of it."""

    def lacking(*_):
        raise UserError("mine: a.tif is a TIFF, which needs rasterio.")

    dataset(tmp_path / "data", train=2, val=1)
    monkeypatch.setattr(Folder, "image", lacking)
    entry = f"{{name: mine, reader: folder, path: {tmp_path / 'data'}, split: train}}"
    with pytest.raises(UserError) as error:
        check(entry, workers=workers)
    assert str(error.value) == "mine: a.tif is a TIFF, which needs rasterio."
