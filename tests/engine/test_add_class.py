import shutil

import numpy as np
import pytest
import yaml
from PIL import ExifTags, Image
from safetensors.torch import load_file

from mdpseg.data.readers.decode import read_ids
from mdpseg.model import SegmentationModel
from tests.data.readers.files import write_tiff
from tests.tiny import same


@pytest.fixture
def cups(tmp_path):
    """A folder of two examples."""
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 56, 3), dtype=np.uint8)
        mask = np.zeros((40, 56), np.uint8)
        mask[8:32, 8:40] = 1 + number  # any value but 0
        for kind, content, end in (("images", pixels, "jpg"), ("masks", mask, "png")):
            (tmp_path / "cups" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(tmp_path / "cups" / kind / f"{number}.{end}")
    return tmp_path / "cups"


def test_add_list_and_predict(pretrained, cups, tmp_path, mdpseg_command):
    before = (pretrained / "weights.safetensors").read_bytes()
    out = tmp_path / "w.safetensors"
    code, said, err = mdpseg_command("classes", "add", pretrained, "mug", "--examples", cups, "--out", out)
    assert (code, err) == (0, "")
    assert said == f"mine/mug added: {out}\n"
    assert (pretrained / "weights.safetensors").read_bytes() == before

    pairs = [f"{cups}/images/{n}.jpg:{cups}/masks/{n}.png" for n in range(2)]
    options = [text for pair in pairs for text in ("--examples", pair)]
    assert mdpseg_command("classes", "add", pretrained, "mug", *options, "--out", tmp_path / "two.safetensors")[0] == 0
    assert same(load_file(tmp_path / "two.safetensors"), load_file(out))

    code, said, _ = mdpseg_command("classes", "list", out)
    assert code == 0
    assert [line.partition(" (")[0] for line in said.splitlines()] == ["coarse", "fine", "mine"]
    assert said.splitlines()[-1] == "mine (1): mug"

    code, said, err = mdpseg_command(
        "predict", out, cups / "images", "--out", tmp_path / "o", "--prototypes", "--taxonomy", "fine+mine"
    )
    assert (code, said.splitlines()[-1]) == (0, f"2 masks in {tmp_path / 'o'}"), err
    model = SegmentationModel.from_run(out, taxonomy="fine+mine")
    assert (tmp_path / "o" / "classes.txt").read_text().splitlines() == model.classes
    mask = model.predict(cups / "images" / "0.jpg").mask
    assert np.array_equal(read_ids(tmp_path / "o" / "0.png", "test").numpy(), mask)


def test_a_class_that_is_there_takes_more_examples(pretrained, cups, tmp_path, mdpseg_command):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    pair = [f"{cups}/images/{n}.jpg:{cups}/masks/{n}.png" for n in range(2)]
    assert mdpseg_command("classes", "add", pretrained, "mug", "--examples", pair[0], "--out", one)[0] == 0
    assert mdpseg_command("classes", "add", one, "mug", "--examples", pair[1], "--out", two)[0] == 0
    assert int(SegmentationModel.from_run(two).prototypes.examples[-1]) == 2


def test_the_default_file_is_beside_and_never_overwritten(pretrained, cups, tmp_path, mdpseg_command):
    source = tmp_path / "weights.safetensors"
    source.write_bytes((pretrained / "weights.safetensors").read_bytes())
    for _ in range(2):
        code, _, err = mdpseg_command("classes", "add", source, "tea/mug", "--examples", cups)
    assert (tmp_path / "weights-tea-mug.safetensors").is_file()
    assert code == 2
    assert "weights-tea-mug.safetensors exists" in err


@pytest.mark.parametrize(
    "example, message",
    [
        ("{cups}/images/0.jpg", "neither a folder nor IMAGE:MASK"),
        ("{cups}/images/0.jpg:{cups}/masks/7.png", "no file {cups}/masks/7.png"),
        ("{cups}/images/0.jpg:{cups}/images/0.jpg", "is a JPEG file; masks must be PNG"),
        ("{cups}/images/0.jpg:{cups}/small.png", "small.png has 4x4 pixels, {cups}/images/0.jpg 56x40"),
        ("{cups}/images/0.jpg:{cups}/empty.png", "empty.png is 0 everywhere"),
        ("{cups}/text.jpg:{cups}/masks/0.png", "text.jpg is not a JPEG"),
        ("{cups}/masks", "{cups}/masks has no images"),
    ],
)
def test_wrong_examples_are_named(example, message, pretrained, cups, tmp_path, mdpseg_command):
    Image.new("L", (4, 4), 1).save(cups / "small.png")
    Image.new("L", (56, 40)).save(cups / "empty.png")
    (cups / "text.jpg").write_text("no picture")
    given = example.format(cups=cups)
    code, _, err = mdpseg_command("classes", "add", pretrained, "mug", "--examples", given, "--out", tmp_path / "w")
    assert code == 2
    assert message.format(cups=cups) in err
    assert not (tmp_path / "w").exists()


def test_palette_masks_count_by_index(pretrained, cups, tmp_path, mdpseg_command):
    mask = Image.fromarray(np.asarray(Image.open(cups / "masks" / "0.png")), mode="P")
    mask.putpalette([9, 9, 9, 0, 0, 0])  # index 0 is grey, index 1 is black
    mask.save(cups / "palette.png")
    for name in ("palette.png", "masks/0.png"):
        options = ["--examples", f"{cups}/images/0.jpg:{cups}/{name}", "--out", tmp_path / name.replace("/", "-")]
        assert mdpseg_command("classes", "add", pretrained, "mug", *options)[0] == 0
    assert same(load_file(tmp_path / "palette.png"), load_file(tmp_path / "masks-0.png"))


def test_a_mask_that_is_to_be_turned_is_turned_whole(pretrained, cups, tmp_path, mdpseg_command):
    mask = Image.open(cups / "masks" / "0.png").convert("L").point(lambda value: 255 * (value > 0))
    layer = Image.merge("LA", (Image.new("L", mask.size, 255), mask))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # lies on its left side in the file
    layer.transpose(Image.Transpose.ROTATE_90).save(cups / "lies.png", exif=exif)
    for name in ("lies.png", "masks/0.png"):
        options = ["--examples", f"{cups}/images/0.jpg:{cups}/{name}", "--out", tmp_path / name.replace("/", "-")]
        assert mdpseg_command("classes", "add", pretrained, "mug", *options)[0] == 0
    assert same(load_file(tmp_path / "lies.png"), load_file(tmp_path / "masks-0.png"))


def test_what_is_transparent_is_not_marked(pretrained, cups, tmp_path, mdpseg_command):
    mask = Image.open(cups / "masks" / "0.png")
    layer = Image.new("RGBA", mask.size, (255, 255, 255, 0))
    layer.paste((255, 0, 0, 255), mask=mask.convert("L").point(lambda value: 255 * (value > 0)))
    layer.save(cups / "layer.png")
    for name in ("layer.png", "masks/0.png"):
        options = ["--examples", f"{cups}/images/0.jpg:{cups}/{name}", "--out", tmp_path / name.replace("/", "-")]
        assert mdpseg_command("classes", "add", pretrained, "mug", *options)[0] == 0
    assert same(load_file(tmp_path / "layer.png"), load_file(tmp_path / "masks-0.png"))


@pytest.mark.parametrize(
    "of, arguments, message",
    [
        ("pretrained", [], "segment by its prototypes (--prototypes"),
        ("pretrained", ["--taxonomy", "voc"], "No prototypes of 'voc'"),
        ("finetuned", ["--prototypes"], "has no prototypes; leave --prototypes out"),
        ("finetuned", ["--taxonomy", "things"], "fine-tuned on 'things'"),
    ],
)
def test_predict_needs_the_right_kind_of_weights(of, arguments, message, request, cups, tmp_path, mdpseg_command):
    run = request.getfixturevalue(of)
    code, _, err = mdpseg_command("predict", run, cups / "images", "--out", tmp_path / "o", *arguments)
    assert code == 2
    assert message in err
    assert not (tmp_path / "o").exists()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_examples_are_the_tiffs_that_the_run_reads(pretrained, cups, tmp_path, mdpseg_command):
    pytest.importorskip("rasterio")
    run = tmp_path / "run"
    shutil.copytree(pretrained, run)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["datasets"] = [{"name": "a", "reader": "folder", "path": "a", "tiff": {"range": [0, 3000]}}]
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    scene = write_tiff(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 3000, (3, 40, 56)).astype(np.uint16))
    pair = f"{scene}:{cups}/masks/0.png"
    out = tmp_path / "w.safetensors"
    code, _, err = mdpseg_command("classes", "add", run, "mug", "--examples", pair, "--out", out)
    assert (code, err) == (0, "")
    assert SegmentationModel.from_run(out).prototypes.label_space.names[-1] == "mine/mug"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_folder_s_tiffs_are_examples(pretrained, cups, tmp_path, mdpseg_command):
    pytest.importorskip("rasterio")
    with Image.open(cups / "images" / "0.jpg") as picture:
        write_tiff(cups / "images" / "0.tif", np.moveaxis(np.array(picture), 2, 0))
    (cups / "images" / "0.jpg").unlink()
    out = tmp_path / "w.safetensors"
    code, _, err = mdpseg_command("classes", "add", pretrained, "mug", "--examples", cups, "--out", out)
    assert (code, err) == (0, "")
    assert int(SegmentationModel.from_run(out).prototypes.examples[-1]) == 2
