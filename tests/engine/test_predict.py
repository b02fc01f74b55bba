import os

import numpy as np
import pytest
import torch
from PIL import Image

import mdpseg
from mdpseg.config import EvalConfig
from mdpseg.data.readers.decode import read_ids, read_image
from mdpseg.engine.evaluate import load_classifier
from mdpseg.engine.inference import class_scores
from mdpseg.engine.predict import find_images, write_mask
from mdpseg.errors import UserError
from mdpseg.palette import palette


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


def test_write_mask_keeps_every_id(tmp_path):
    mask = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    write_mask(tmp_path / "m.png", mask)
    assert torch.equal(read_ids(tmp_path / "m.png", "test"), mask)
    assert os.listdir(tmp_path) == ["m.png"]
