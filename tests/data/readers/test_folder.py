import numpy as np
import pytest
import torch
from PIL import Image

from mdpseg.data.readers import Folder
from mdpseg.errors import UserError

from .files import ORIGINALS, original, raw_mask, write_image, write_lines, write_mask

COLOURS = [
    {"name": "sky", "color": [128, 128, 128]},
    {"name": "car", "color": [64, 0, 128]},
    {"name": "road", "color": "#804080"},
]
WITH_IGNORE = "classes:\n" + "".join(f"- {entry}\n" for entry in COLOURS) + "ignore_color: [0, 0, 0]\n"


@pytest.fixture
def root(tmp_path):
    for i, (name, suffix) in enumerate([("b", "jpg"), ("a", "PNG"), ("town/c.1", "jpeg"), ("d", "webp")]):
        write_image(tmp_path / f"images/{name}.{suffix}", seed=i)
        write_mask(tmp_path / f"masks/{name}.png", [0, 1, 2, 255])
    return tmp_path


def read(root, classes=("sky", "car", "road"), **keywords):
    return Folder(root / "images", root / "masks", classes, **keywords)


def test_pairs_and_ids(root):
    data = read(root)
    assert [pair.id for pair in data.pairs] == ["a", "b", "d", "town/c.1"]
    assert data[3].mask.flatten()[:4].tolist() == [0, 1, 2, 255]
    assert data.classes == ["sky", "car", "road"]
    assert (data.name, data.catch_all) == ("folder", None)


def test_the_suffix_of_a_mask_may_be_of_any_case(root):
    for old, new in (("a.png", "a.PNG"), ("town/c.1.png", "town/c.1.Png")):
        (root / "masks" / old).rename(root / "masks" / new)
    assert [pair.mask.name for pair in read(root).pairs] == ["a.PNG", "b.png", "d.png", "c.1.Png"]
    assert read(root)[0].mask.flatten()[:4].tolist() == [0, 1, 2, 255]


def test_of_several_masks_the_one_that_counts(root):
    listed = write_lines(root / "list.txt", ["a", "b"])  # whoever lists images means these
    write_mask(root / "masks/a.PNG", [1])
    for name in ("b.TIF", "b.tif"):
        Image.fromarray(np.zeros((8, 10), np.uint8)).save(root / "masks" / name, "TIFF")
    masks = [pair.mask.name for pair in read(root, subset={"list": listed}).pairs]
    assert masks == ["a.png", "b.tif"]


def test_masks_behind_a_link(root):
    (root / "masks/town").rename(root / "elsewhere")
    (root / "masks/town").symlink_to(root / "elsewhere")
    assert read(root)[3].mask.flatten()[:4].tolist() == [0, 1, 2, 255]


def test_class_file_name_and_catch_all(root):
    classes = write_lines(root / "classes.txt", ["sky", "car", "road"])
    data = read(root, classes, name="streets", catch_all="sky")
    assert (data.classes, data.name, data.catch_all) == (["sky", "car", "road"], "streets", "sky")
    with pytest.raises(UserError, match="catch_all 'cloud' is not one of the classes"):
        read(root, classes, catch_all="cloud")


def test_hidden_files_and_other_suffixes_are_left_out(root):
    (root / "images/._b.jpg").touch()
    (root / "images/notes.txt").touch()
    (root / "images/.cache").mkdir()
    (root / "images/.cache/z.jpg").touch()
    assert len(read(root)) == 4


def test_subsets(root):
    listed = write_lines(root / "list.txt", ["town/c.1", "b"])
    assert [s.id for s in read(root, subset={"list": listed})] == ["b", "town/c.1"]
    assert len(read(root, subset={"count": 3})) == 3
    with pytest.raises(UserError, match=r"folder: subset list .*list\.txt: no image has the id '\.\./b'"):
        read(root, subset={"list": write_lines(root / "list.txt", ["../b"])})


def test_missing_folders_and_no_images(root, tmp_path):
    with pytest.raises(UserError, match=r"folder: no folder .*nowhere; expected a folder of images"):
        Folder(tmp_path / "nowhere", root / "masks", ["a"])
    with pytest.raises(UserError, match=r"no folder .*nowhere"):
        Folder(root / "images", tmp_path / "nowhere", ["a"])
    (root / "empty").mkdir()
    with pytest.raises(UserError, match=r"no images in .*empty; .*\.jpg, \.jpeg, \.png, \.webp"):
        Folder(root / "empty", root / "masks", ["a"])


def test_lone_images_and_lone_masks(root):
    write_mask(root / "masks/extra.png", [0])
    with pytest.raises(UserError, match=r"mask .*extra\.png has no image; .*\(1 masks lack one\)"):
        read(root)
    listed = write_lines(root / "list.txt", ["a", "b"])
    assert len(read(root, subset={"list": listed})) == 2  # whoever lists images means these
    (root / "masks/b.png").unlink()
    with pytest.raises(UserError, match=r"image .*b\.jpg has no mask; expected .*masks/b\.png \(1 of 4 lack one\)"):
        read(root)


def test_two_images_of_one_name(root):
    write_image(root / "images/b.png")
    with pytest.raises(UserError, match=r"b\.jpg and .*b\.png have the same name"):
        read(root)


def test_ids_outside_the_classes(root):
    write_mask(root / "masks/b.png", [0, 3])
    with pytest.raises(UserError, match=r"streets: mask .*b\.png has id 3; its ids must be 0\.\.2, 255"):
        read(root, name="streets")[1]


def paint(root, pixels, name="b"):
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(root / f"masks/{name}.png")


def test_colours_agree_with_a_slow_loop(root):
    listed = [(128, 128, 128), (64, 0, 128), (128, 64, 128), (0, 0, 0)]
    picks = np.random.default_rng(0).integers(0, 4, (8, 10))
    paint(root, np.asarray(listed)[picks])
    (root / "classes.yaml").write_text(WITH_IGNORE)
    mask = read(root, root / "classes.yaml")[1].mask
    assert mask.dtype == torch.uint8
    assert mask.tolist() == [[255 if k == 3 else int(k) for k in row] for row in picks]


def test_colours_of_a_palette_mask(root):
    indices = Image.fromarray(np.resize([7, 3], (8, 10)).astype(np.uint8), "P")
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[7], palette[3] = (64, 0, 128), (128, 64, 128)
    indices.putpalette(palette.tobytes())
    indices.save(root / "masks/b.png")
    assert read(root, COLOURS)[1].mask.flatten()[:2].tolist() == [1, 2]


@pytest.mark.parametrize("odd", [[0, 0, 0], [255, 255, 255], [64, 0, 129]])
def test_colours_that_are_not_listed(root, odd):
    pixels = np.full((8, 10, 3), 128)
    pixels[2, 3] = odd
    paint(root, pixels)
    code = "#" + bytes(odd).hex()
    with pytest.raises(
        UserError, match=rf"folder: mask .*b\.png has the color {code} \[{odd[0]}, {odd[1]}, {odd[2]}\]"
    ):
        read(root, COLOURS)[1]


def test_colour_list_for_grey_masks_and_the_reverse(root):
    with pytest.raises(UserError, match=r"a\.png is 8-bit grey, but the class list gives colors"):
        read(root, COLOURS)[0]
    paint(root, np.full((8, 10, 3), 128))
    with pytest.raises(UserError, match=r"b\.png holds colors \(RGB\).*YAML class list"):
        read(root)[1]


def test_sizes_that_differ_with_colours(root):
    paint(root, np.full((4, 4, 3), 128))
    with pytest.raises(UserError, match=r"b\.jpg is 10x8 .*b\.png is 4x4"):
        read(root, COLOURS)[1]


def test_original_camvid():
    """CamVid in SegNet's layout: masks 0 to 11, 11 is void and so a class of its own here."""
    root = original("camvid") / "CamVid"
    names = [
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "person",
        "bike",
        "void",
    ]
    for split in ("train", "val"):
        data = Folder(root / split, root / f"{split}annot", names)
        assert len(data) == 3
        for pair, sample in zip(data.pairs, data, strict=True):
            np.testing.assert_array_equal(sample.mask.numpy(), raw_mask(pair.mask))
    with pytest.raises(UserError, match=r"has id 11; its ids must be 0\.\.10, 255"):
        Folder(root / "val", root / "valannot", names[:11])[0]


@pytest.mark.parametrize(
    "name, split, count",
    [
        ("voc2012", "train", 931),
        ("voc2012", "val", 461),
        ("msrc", "train", 474),
        ("msrc", "val", 117),
        ("camvid", "train", 367),
        ("camvid", "val", 101),
    ],
)
def test_training_data(name, split, count):
    root = ORIGINALS.parent / name
    if not root.is_dir():
        pytest.skip(f"no data of {name} beside the repository (../shared/data)")
    data = Folder(root / "images" / split, root / "masks" / split, root / "classes.txt", name=name)
    assert len(data) == count
    for i in range(0, count, 50):
        np.testing.assert_array_equal(data[i].mask.numpy(), raw_mask(data.pairs[i].mask))
