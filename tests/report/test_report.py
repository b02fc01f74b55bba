import json
import os
import re
import shutil

import pytest
import torch
import yaml

from mdpseg.errors import UserError
from mdpseg.report.build import build_report
from mdpseg.report.compare import differing, repetitions
from mdpseg.report.judged import judge
from mdpseg.report.page import report_page
from mdpseg.report.read import read_run
from mdpseg.tables.statistics import estimate
from mdpseg.weights import load
from tests.data.readers.files import write_image, write_mask


@pytest.fixture
def three(tmp_path, finetuned):
    """Three repetitions of a fine-tuning, by hand, with mIoU 0.1, 0.2, 0.6 at the end."""
    folders = []
    for seed, iou in enumerate((0.1, 0.2, 0.6)):
        folder = tmp_path / f"seed{seed}"
        shutil.copytree(finetuned, folder)
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text()) | {"seed": seed, "out": str(folder)}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        file = max(folder.glob("scores-*.json"))
        file.write_text(json.dumps(json.loads(file.read_text()) | {"mean_iou": iou}))
        folders.append(folder)
    return folders


def test_one_page_for_one_run(finetuned, tmp_path, mdpseg_command):
    code, _, err = mdpseg_command("report", finetuned, "--images", 2, "--out", tmp_path / "page.html")
    assert code == 0, err
    page = (tmp_path / "page.html").read_text()
    for head in ("Overview", "Curves", "IoU of each class", "Confusion", "Best and worst", "Data", "All settings"):
        assert head in page
    assert not re.search("https?://", page)
    assert "<script" not in page
    assert page.count("data:image/jpeg") == 6  # two images, each with truth and prediction


def test_a_pretraining_has_a_page_too(pretrained, tmp_path):
    page = build_report([pretrained], out=tmp_path / "page.html").read_text()
    assert "Curves" in page
    assert "Confusion" not in page


def test_repetitions_have_a_mean_and_an_interval(three):
    runs = [read_run(folder) for folder in three]
    (group,) = repetitions(runs)
    step = max(group.figures)
    assert group.figures[step] == estimate([0.1, 0.2, 0.6])
    page = report_page(runs, {})
    assert "share everything but the seed" in page
    assert "30.0 ± 65.7 %" in page
    assert set(differing(runs)) == {"out", "seed"}


def test_other_settings_are_no_repetition(three):
    recipe = yaml.safe_load((three[0] / "recipe.yaml").read_text())
    recipe["optim"]["lr"] *= 2
    (three[0] / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    groups = repetitions([read_run(folder) for folder in three])
    assert [[run.name for run in group.runs] for group in groups] == [["seed1", "seed2"]]


def test_one_run_a_seed_counts_and_what_has_no_effect_does_not_part_them(three):
    for folder, change in zip(three, ({}, {"seed": 0}, {"log_every": 7}), strict=True):
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text()) | change
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (group,) = repetitions([read_run(folder) for folder in three])
    assert [run.name for run in group.runs] == ["seed0", "seed2"]


def test_means_are_of_the_steps_that_all_runs_were_judged_after(three):
    last = max(read_run(three[0]).scores)
    for folder, step in zip(three[:2], (last, last + 5), strict=True):
        shutil.copy(folder / f"scores-{last}.json", folder / f"scores-{step + 1}.json")
    (group,) = repetitions([read_run(folder) for folder in three])
    assert list(group.figures) == sorted(read_run(three[2]).scores)


def test_the_seed_of_a_subset_parts_no_repetitions(three):
    for seed, folder in enumerate(three):
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
        recipe["train"]["subset"] = {"count": 4, "seed": seed}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (group,) = repetitions([read_run(folder) for folder in three])
    assert len(group.runs) == 3


def test_a_setting_that_a_run_does_not_have_is_a_dash(three, pretrained):
    values = differing([read_run(three[0]), read_run(pretrained)])
    assert values["train.name"] == ["things", "—"]
    assert values["datasets.1.name"] == ["—", "fine"]
    assert "batch_size" not in values


def test_speed_is_the_median(three):
    lines = [{"step": step, "images_per_second": speed} for step, speed in ((1, 1.0), (2, 2.0), (3, 9.0))]
    (three[0] / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_run(three[0]).speed == 2


def test_data_of_other_classes_are_refused(finetuned):
    with pytest.raises(UserError, match="they must be equal, in the same order"):
        build_report([finetuned], ["val.world=coarse"])


def test_runs_of_one_name_go_by_their_folders(three, tmp_path):
    other = shutil.copytree(three[1], tmp_path / "other" / three[0].name)
    page = build_report([three[0], other], images=0, out=tmp_path / "page.html").read_text()
    assert f"<h1>Run report: {three[0]}, {other}</h1>" in page


def test_the_best_and_the_worst_images_by_their_own_mean_iou(finetuned):
    found = judge(read_run(finetuned, ["val.count=8"]), 7)
    assert (found.images, found.of) == (7, 8)
    assert 64 * 64 < int(found.counts.sum()) <= 7 * 64 * 64  # of more than one image
    worst, best = ([judged.iou for judged in images] for images in (found.worst, found.best))
    assert (len(worst), len(best)) == (3, 3)
    assert worst == sorted(worst)
    assert best == sorted(best, reverse=True)
    assert worst[-1] <= best[-1]
    other = judge(read_run(finetuned, ["val.count=8", "seed=5"]), 7)  # the same images, whatever the seed
    assert torch.equal(other.counts, found.counts)


def test_an_image_without_labels_is_neither_best_nor_worst(finetuned, tmp_path):
    for number, ids in enumerate(([0, 1, 2], [255])):
        write_image(tmp_path / f"images/{number}.jpg", 40, 48)
        write_mask(tmp_path / f"masks/{number}.png", ids, 40, 48)
    classes = load(finetuned / "weights.safetensors").label_space.class_names("things")
    val = {"name": "things", "reader": "folder", "images": "images", "masks": "masks", "classes": classes}
    found = judge(read_run(finetuned, [f"val={json.dumps(val)}", f"data_root={tmp_path}"]), 2)
    assert [judged.image for judged in found.worst + found.best] == ["0"]


def test_a_setting_that_is_not_utf_8(three, tmp_path):
    recipe = yaml.safe_load((three[0] / "recipe.yaml").read_text()) | {"init": "B\udce4r.safetensors"}
    (three[0] / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert r"B\udce4r.safetensors" in build_report(three[:2], images=0, out=tmp_path / "page.html").read_text()


def test_a_folder_is_no_page(three):
    with pytest.raises(UserError, match=r"is a folder; name a file .*report\.html"):
        build_report(three[:1], out=three[0])


def test_a_page_that_cannot_be_written(three, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/page\.html cannot be written .*--out"):
        build_report(three[:1], images=0, out=tmp_path / "file" / "page.html")


def test_two_runs_stand_beside_each_other_with_their_difference(three, tmp_path):
    page = build_report(three[:2], images=0, out=tmp_path / "page.html").read_text()
    assert "+10.0 % mIoU" in page
    assert "second less first" in page


def test_names_from_files_stay_text(three, tmp_path):
    evil = "<script>alert(1)</script>"
    file = max(three[0].glob("scores-*.json"))
    content = json.loads(file.read_text())
    content["class_iou"] = {evil: 0.5, "x": None}
    file.write_text(json.dumps(content))
    recipe = yaml.safe_load((three[0] / "recipe.yaml").read_text())
    recipe["init"] = evil
    (three[0] / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    page = build_report(three[:1], images=0, out=tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_names_that_are_not_utf_8(finetuned, tmp_path):
    odd = os.fsdecode(b"B\xe4r")
    run, other = (shutil.copytree(finetuned, tmp_path / name) for name in ("run", odd))
    (other / "weights.safetensors").unlink()  # safetensors itself needs UTF-8
    write_image(run / f"images/{odd}.jpg", 40, 48)
    write_mask(run / f"masks/{odd}.png", [0, 1, 2], 40, 48)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    classes = load(run / "weights.safetensors").label_space.class_names("things")
    recipe["val"] = {"name": "things", "reader": "folder", "images": "images", "masks": "masks", "classes": classes}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    page = build_report([run, other], [f"data_root={run}"], out=tmp_path / "page.html").read_text()
    assert page.count(r"<p>B\udce4r: mIoU") == 1
    assert r"<h1>Run report: run, B\udce4r</h1>" in page


@pytest.mark.parametrize(
    "given, shown",
    [
        ({"reader": "shards", "url": "http://host/shards"}, "http://host/shards"),
        ({"reader": "folder", "images": "i", "masks": "m", "classes": ["a"]}, "i, m"),
        ({"reader": "folder", "path": "d"}, "d"),
        ({"reader": "folder", "path": "B\udce4r"}, r"B\udce4r"),
        ({"reader": "huggingface", "hf": {"hub": "owner/name"}}, "owner/name"),
    ],
)
def test_where_the_data_is(given, shown, three):
    recipe = yaml.safe_load((three[0] / "recipe.yaml").read_text())
    (three[0] / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"train": {"name": "mine", **given}}))
    page = report_page([read_run(three[0])], {})
    assert page.encode()  # it can be written
    assert f"<td>mine</td><td>{given['reader']}</td><td>{shown}</td><td>train</td>" in page


def test_a_run_that_still_goes_on(three, tmp_path):
    (three[0] / "weights.safetensors").unlink()
    for file in three[0].glob("scores-*.json"):
        file.unlink()
    (three[0] / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "lo')
    page = build_report(three[:1], out=tmp_path / "page.html").read_text()
    assert "1 of 3" in page


def test_a_step_that_is_no_number_is_left_out(three):
    (three[0] / "metrics.jsonl").write_text('{"step": "a", "loss": 3}\n{"step": 2, "loss": 2.5}\n')
    assert read_run(three[0]).values("loss") == [(2, 2.5)]


@pytest.mark.parametrize(
    "name, content, expected",
    [
        ("metrics.jsonl", "what\n", r"metrics\.jsonl, line 1 is not JSON"),
        ("metrics.jsonl", "[" * 10**6 + "\n", r"metrics\.jsonl, line 1 is not JSON"),
        ("scores-3.json", "{}", r"scores-3\.json does not hold the scores"),
        ("scores-3.json", "[" * 10**6, r"scores-3\.json does not hold the scores"),
        ("recipe.yaml", "out: x", "has none of the keys"),
    ],
)
def test_damaged_files(three, name, content, expected):
    (three[0] / name).write_text(content)
    with pytest.raises(UserError, match=expected):
        build_report(three[:1])


def test_no_run_and_one_twice(tmp_path, three, mdpseg_command):
    code, _, err = mdpseg_command("report", tmp_path / "nothing")
    assert code == 2
    assert "holds no recipe.yaml" in err
    code, _, err = mdpseg_command("report", three[0], three[0])
    assert code == 2
    assert "more than once" in err
    with pytest.raises(UserError, match="named more than once"):
        build_report([three[0], three[1] / ".." / three[0].name])
    with pytest.raises(UserError, match="No run was named"):
        build_report([])
