import os
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import mdpseg
from mdpseg.config import EvalConfig
from mdpseg.data.readers.decode import read_ids, read_image
from mdpseg.engine import predict
from mdpseg.engine.evaluate import load_classifier
from mdpseg.engine.inference import class_scores
from mdpseg.engine.predict import find_images, write_mask
from mdpseg.errors import UserError
from mdpseg.palette import palette
from tests import tiny

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


@pytest.fixture
def images(tmp_path):
    """Two images of odd sizes in a folder, beside a file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, (height, width) in {"a.jpg": (40, 57), "b.png": (33, 64)}.items():
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def run(finetuned, given, out, **more):
    config = {"weights": finetuned / "weights.safetensors", "images": [str(g) for g in given], "out": out, **more}
    return mdpseg.predict(config)


def test_masks_hold_class_ids_and_a_palette(finetuned, images, tmp_path):
    masks = run(finetuned, [images], tmp_path / "out")
    assert masks == [tmp_path / "out" / "a.png", tmp_path / "out" / "b.png"]
    network, names = load_classifier(finetuned / "weights.safetensors")
    assert (tmp_path / "out" / "classes.txt").read_text().splitlines() == names
    for image, mask in zip(sorted(images.glob("[ab].*")), masks, strict=True):
        pixels = read_image(image, "test")
        expected = class_scores(network, pixels, EvalConfig()).argmax(0)
        with Image.open(mask) as picture:
            assert picture.mode == "P"
            assert picture.format == "PNG"
            assert picture.getpalette() == palette(256).flatten().tolist()
            assert np.array_equal(np.array(picture), expected.numpy())
        assert torch.equal(read_ids(mask, "test").long(), expected)
        with Image.open(mask.with_name(f"{mask.stem}_overlay.jpg")) as overlay:
            assert overlay.size == (pixels.shape[2], pixels.shape[1])
            assert overlay.mode == "RGB"


@pytest.mark.parametrize("opacity", [0.0, 1.0])
def test_opacity(opacity, finetuned, images, tmp_path):
    mask = run(finetuned, [images / "a.jpg"], tmp_path / "out", opacity=opacity)[0]
    with Image.open(tmp_path / "out" / "a_overlay.jpg") as picture:
        overlay = np.array(picture).astype(float)
    if opacity:
        expected = palette(256)[read_ids(mask, "test").long()].numpy()
    else:
        expected = read_image(images / "a.jpg", "test").permute(1, 2, 0).numpy()
    assert np.abs(overlay - expected).mean() < 20  # JPEG


@pytest.mark.parametrize(
    "given, found", [(["a.jpg"], ["a"]), (["."], ["a", "b"]), (["*.p*"], ["b"]), (["b.png", "*.jpg"], ["b", "a"])]
)
def test_files_folders_and_globs(given, found, finetuned, images, tmp_path):
    masks = run(finetuned, [images / g for g in given], tmp_path / "out")
    assert [mask.stem for mask in masks] == found
    assert all(mask.is_file() for mask in masks)


def test_one_image_named_twice_is_predicted_once(images):
    assert find_images([str(images / "a.jpg"), str(images)]) == [images / "a.jpg", images / "b.png"]


def test_a_glob_over_folders(images):
    (images / "deep").mkdir()
    (images / "a.jpg").rename(images / "deep" / "c.JPG")
    assert find_images([str(images / "**" / "*.JPG")]) == [images / "deep" / "c.JPG"]
    assert find_images([str(images / "deep")]) == [images / "deep" / "c.JPG"]


def test_images_in_sub_folders_are_left_out_and_said_so(finetuned, images, tmp_path, mdpseg_command):
    (images / "deep" / "er").mkdir(parents=True)
    (images / "a.jpg").rename(images / "deep" / "er" / "c.jpg")
    (images / "deep" / "notes.txt").touch()
    code, out, err = mdpseg_command("predict", finetuned, images, "--out", tmp_path / "out", "device=cpu")
    assert code == 0, err
    assert out.startswith("1 masks in")
    assert err.strip().endswith(f"1 image in its sub-folders is left out; '{images}/**/*.jpg' means these, too.")
    with pytest.raises(UserError, match=r"No image at .*deep'; .* 1 image in its sub-folders is left out; '.*\*\*"):
        find_images([str(images / "deep")])
    assert find_images([f"{images / 'deep'}/**/*.jpg"]) == [images / "deep" / "er" / "c.jpg"]


@pytest.mark.parametrize("as_given", [str, lambda path: path])
def test_one_folder_needs_no_list(as_given, finetuned, images, tmp_path):
    given = {"weights": finetuned, "images": as_given(images), "out": tmp_path / "out"}
    assert [mask.stem for mask in mdpseg.predict(given)] == ["a", "b"]


def test_a_name_with_brackets_is_a_file_first(images):
    (images / "a.jpg").rename(images / "a[1].jpg")
    assert find_images([str(images / "a[1].jpg")]) == [images / "a[1].jpg"]


def test_two_images_of_one_stem_are_refused(images):
    (images / "b.png").rename(images / "a.png")
    with pytest.raises(UserError, match=r"a\.(jpg|png) and .*a\.(jpg|png).*a\.png"):
        find_images([str(images)])


def test_the_mask_of_one_image_is_not_the_overlay_of_another(images):
    """a_overlay.png would be the mask of a_overlay; the overlay of a is a_overlay.jpg: no clash."""
    (images / "b.png").rename(images / "a_overlay.png")
    assert len(find_images([str(images)])) == 2


@pytest.mark.parametrize("pattern", ["none.jpg", "*.webp", "notes.*x"])
def test_nothing_found_is_named(pattern, images):
    with pytest.raises(UserError, match="No image at"):
        find_images([str(images / pattern)])


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """A run that was trained on TIFFs of 16 bits, and their folder, which is the command's."""
    pytest.importorskip("rasterio")
    from tests.data.readers.test_tiff import write_tiff

    root = tmp_path_factory.mktemp("fields")
    for number in range(2):
        rng = np.random.default_rng(number)
        write_tiff(root / f"images/{number}.tif", rng.integers(0, 256, (3, 40, 48)).astype(np.uint16) * 10)
        write_tiff(root / f"masks/{number}.tiff", rng.integers(0, 3, (1, 40, 48)).astype(np.uint8))
    (root / "classes.txt").write_text("a\nb\nc\n")
    entry = {"name": "fields", "reader": "folder", "images": str(root / "images"), "masks": str(root / "masks")}
    entry |= {"classes": str(root / "classes.txt"), "tiff": {"bands": [3, 2, 1], "range": [0, 2550]}}
    recipe = tiny.finetuning(root / "run", train=entry, val=None, network=tiny.FAST_NETWORK, iterations=1)
    return mdpseg.finetune(recipe).out, root / "images"


def test_a_run_on_tiffs_is_applied_to_tiffs(fields, mdpseg_command, tmp_path):
    run_folder, folder = fields
    code, said, err = mdpseg_command("predict", run_folder, folder, "--out", tmp_path / "out")
    assert code == 0, err
    assert said.endswith(f"2 masks in {tmp_path / 'out'}\n")
    model = mdpseg.SegmentationModel.from_run(run_folder)
    import rasterio

    for number in range(2):
        with rasterio.open(folder / f"{number}.tif") as file:
            seen = (file.read([3, 2, 1]) / 10).round().astype(np.uint8).transpose(1, 2, 0)
        expected = model.predict(seen).mask
        assert np.array_equal(read_ids(tmp_path / "out" / f"{number}.png", "test").numpy(), expected)
        with Image.open(tmp_path / "out" / f"{number}_overlay.jpg") as overlay:
            assert overlay.size == (48, 40)


def test_weights_away_from_their_run_are_told_of_tiffs(fields, tmp_path):
    run_folder, folder = fields
    shutil.copy(run_folder / "weights.safetensors", tmp_path)
    given = {"weights": tmp_path / "weights.safetensors", "images": [str(folder / "*.tif")]}
    with pytest.raises(UserError, match=r"0\.tif has values of uint16; .*a setting of predict"):
        mdpseg.predict({**given, "out": tmp_path / "none"})
    setting = {"bands": [3, 2, 1], "range": [0, 2550]}
    told = mdpseg.predict({**given, "out": tmp_path / "told", "tiff": setting})
    known = mdpseg.predict({**given, "out": tmp_path / "known", "weights": run_folder})
    for one, two in zip(told, known, strict=True):
        assert torch.equal(read_ids(one, "test"), read_ids(two, "test"))


def test_settings_stand_behind_the_images(fields, mdpseg_command, tmp_path):
    run_folder, folder = fields
    shutil.copy(run_folder / "weights.safetensors", tmp_path)
    (tmp_path / "a=b.tif").symlink_to(folder / "0.tif")  # a file first
    given = ("predict", tmp_path / "weights.safetensors", tmp_path / "a=b.tif", "--out", tmp_path / "out")
    code, _, err = mdpseg_command(*given, "tiff={bands: [3, 2, 1], range: [0, 2550]}", "device=cpu")
    assert code == 0, err
    known = mdpseg.predict({"weights": run_folder, "images": [str(folder / "0.tif")], "out": tmp_path / "known"})
    assert torch.equal(read_ids(tmp_path / "out" / "a=b.png", "test"), read_ids(known[0], "test"))
    for wrong, said in {"device=xpu": "device is 'xpu'; expected auto", "devise=cpu": "did you mean 'device'"}.items():
        code, _, err = mdpseg_command(*given, wrong)
        assert code == 2
        assert said in err


def test_tiffs_without_rasterio_say_what_to_install(fields, mdpseg_command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    code, _, err = mdpseg_command("predict", *fields, "--out", tmp_path)
    assert code == 2
    assert 'pip install "mdpseg[tiff]"' in err


def test_write_mask_keeps_every_id(tmp_path):
    mask = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    write_mask(tmp_path / "m.png", mask)
    assert torch.equal(read_ids(tmp_path / "m.png", "test"), mask)
    assert os.listdir(tmp_path) == ["m.png"]


def test_a_mac_s_hidden_files_are_no_images(tmp_path):
    for name in ("a.jpg", "._a.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert find_images([str(tmp_path)]) == [tmp_path / "a.jpg"]


def test_nothing_that_is_not_a_prediction_is_overwritten(finetuned, images, tmp_path):
    out = tmp_path / "out"
    first = run(finetuned, [images], out)
    before = [mask.read_bytes() for mask in first]
    assert [mask.read_bytes() for mask in run(finetuned, [images], out)] == before  # an earlier prediction is

    (out / "classes.txt").write_text("those of another network\n")
    run(finetuned, [images], out)  # all its masks are made anew
    (out / "classes.txt").write_text("those of another network\n")
    with pytest.raises(UserError, match=r"classes\.txt names other classes"):
        run(finetuned, [images / "a.jpg"], out)
    run(finetuned, [images], out)
    (out / "b_overlay.jpg").unlink()  # as in a folder of true masks
    with pytest.raises(UserError, match=r"b\.png is there, and no earlier prediction's"):
        run(finetuned, [images], out)
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "classes.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"classes\.txt names other classes than the network's"):
        run(finetuned, [images], tmp_path / "dataset")
    shutil.copy(images / "b.png", images / "a_overlay.jpg")
    kept = (images / "a_overlay.jpg").read_bytes()
    with pytest.raises(UserError, match=r"a_overlay\.jpg would be overwritten"):
        run(finetuned, [images / "a.jpg", images / "a_overlay.jpg"], images)
    assert (images / "a_overlay.jpg").read_bytes() == kept
    assert sorted(file.name for file in (tmp_path / "dataset").iterdir()) == ["classes.txt"]


def test_a_prediction_that_was_stopped_can_be_made_again(finetuned, images, tmp_path, monkeypatch):
    """Also where that was between the two files of one image."""
    stopped = []

    def stop_once(path, mask):
        if not stopped:
            stopped.append(path)
            raise KeyboardInterrupt
        write_mask(path, mask)

    monkeypatch.setattr(predict, "write_mask", stop_once)
    with pytest.raises(KeyboardInterrupt):
        run(finetuned, [images], tmp_path / "out")
    assert [mask.name for mask in run(finetuned, [images], tmp_path / "out")] == ["a.png", "b.png"]


def test_a_prediction_that_fails_leaves_whole_masks_or_nothing(finetuned, images, tmp_path):
    (images / "a_damaged.png").write_bytes(b"no image")
    with pytest.raises(UserError):
        run(finetuned, [images / "a_damaged.png"], tmp_path / "never")
    assert not (tmp_path / "never").exists()
    with pytest.raises(UserError, match=r"1 of 3 masks were written before\.$"):
        run(finetuned, [images], tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.png", "a_overlay.jpg", "classes.txt"]


def test_an_image_s_name_with_an_equals_sign_is_no_setting(finetuned, tmp_path, mdpseg_command):
    code, _, err = mdpseg_command("predict", finetuned, f"{tmp_path}/c=d.jpg", "--out", tmp_path / "out")
    assert code == 2
    assert f"No image at '{tmp_path}/c=d.jpg'" in err
