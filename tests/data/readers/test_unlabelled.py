import pytest
import torch

from mdpseg.data.readers import Folder
from mdpseg.data.readers.unlabelled import Images, Unlabelled
from mdpseg.data.toy import ToyWorld
from mdpseg.errors import UserError

from .files import write_image, write_lines, write_mask


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(["b.jpg", "a.PNG", "town/c.1.webp"]):
        write_image(tmp_path / "images" / name, seed=i)
    return tmp_path / "images"


def test_a_folder_of_images_alone(folder):
    data = Unlabelled(Images(folder, name="web"))
    assert [data[i].id for i in range(len(data))] == ["a", "b", "town/c.1"]
    assert (data.name, data.label_set, data.classes, data.catch_all) == ("web", None, [], None)
    for sample in (data[i] for i in range(3)):
        assert sample.image.shape == (3, 8, 10)
        assert sample.image.dtype == sample.mask.dtype == torch.uint8
        assert sample.mask.shape == (8, 10)
        assert not sample.mask.any()


def test_subsets(folder, tmp_path):
    listed = write_lines(tmp_path / "list.txt", ["town/c.1", "b"])
    assert Images(folder, subset={"list": listed}).id(0) == "b"
    assert len(Images(folder, subset={"list": listed})) == 2
    assert len(Images(folder, subset={"fraction": 0.4})) == 1
    with pytest.raises(UserError, match=r"web: subset count is 4, but only 3 images"):
        Images(folder, subset={"count": 4}, name="web")


def test_a_smaller_choice_is_that_of_the_labelled_reader(folder, tmp_path):
    for name in ("a", "b", "town/c.1"):
        write_mask(tmp_path / "masks" / f"{name}.png", [0])
    labelled = Folder(folder, tmp_path / "masks", ["x"], subset={"count": 2, "seed": 5})
    assert [file.id for file in Images(folder, subset={"count": 2, "seed": 5}).files] == [p.id for p in labelled.pairs]


def test_what_is_wrong_with_a_folder(folder, tmp_path):
    with pytest.raises(UserError, match=r"web: no folder .*none"):
        Images(tmp_path / "none", name="web")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"web: no images in .*empty"):
        Images(tmp_path / "empty", name="web")
    write_image(folder / "a.jpg")
    with pytest.raises(UserError, match="same name"):
        Images(folder)


def test_a_damaged_image_is_named_with_its_dataset(folder):
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:100])
    with pytest.raises(UserError, match=r"web.*b\.jpg"):
        Unlabelled(Images(folder, name="web"))[1]


def test_masks_of_a_labelled_dataset_are_never_opened(folder, tmp_path):
    for name in ("a", "b", "town/c.1"):
        write_mask(tmp_path / "masks" / f"{name}.png", [0]).write_text("no mask at all")
    data = Unlabelled(Folder(folder, tmp_path / "masks", ["x"], name="mine"))
    assert (len(data), data.name, data.classes, data[1].id) == (3, "mine", [], "b")
    assert not data[1].mask.any()


def test_a_toy_world_without_its_labels():
    world = ToyWorld("things", count=3, size=(32, 40))
    data = Unlabelled(world)
    assert len(data) == 3
    assert data[2].id == world[2].id
    assert torch.equal(data[2].image, world[2].image)
    assert data[2].mask.shape == (32, 40)
    assert not data[2].mask.any()
