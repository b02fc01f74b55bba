import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import mdpseg
from mdpseg import weights
from mdpseg.config import EvalConfig, NetworkConfig
from mdpseg.data.readers.decode import read_ids
from mdpseg.data.readers.tiff import Bands
from mdpseg.engine import blocks
from mdpseg.engine.embedder import Embedder
from mdpseg.engine.runtime import make_fabric
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace
from mdpseg.model import SegmentationModel
from mdpseg.network import SegmentationNetwork
from tests.tiny import FAST_NETWORK, pretraining, toy, write_recipe

SPACE = LabelSpace.concatenate({"voc": ["rest", "cat", "dog"], "msrc": ["cat", "grass"]}, catch_alls={"voc": "rest"})


def pixels(height=50, width=70, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def stored(**more):
    torch.manual_seed(0)
    config = NetworkConfig.model_validate(FAST_NETWORK)
    network = SegmentationNetwork(config)
    network.set_projection()
    vectors = F.normalize(torch.randn(5, 16), dim=1)
    present = torch.tensor([True, True, False, True, True])
    given = {"prototypes": vectors, "present": present, "temperature": 0.1, **more}
    return weights.Weights(config, network.state_dict(), SPACE, "projection", **given)


@pytest.fixture(scope="module")
def model():
    return SegmentationModel(stored(), make_fabric("cpu", "fp32"))


def logits_by_hand(model, image, ids):
    """Cosines with each prototype, at the embeddings' own resolution, enlarged by hand."""
    padded = model.network.pad(torch.from_numpy(image).permute(2, 0, 1)[None])
    with torch.no_grad():
        embeddings = model.network.head.projection(model.network.features(padded))  # [1, D, h, w]
    cosine = torch.einsum("bdhw,kd->bkhw", embeddings, model.prototypes.vectors[ids])
    height, width = image.shape[:2]
    return F.interpolate(cosine / 0.1, padded.shape[-2:], mode="bilinear")[0, :, :height, :width]


@pytest.mark.parametrize("size", [(50, 70), (32, 32), (1, 1), (64, 33)])
def test_logits_are_cosines_over_the_temperature_and_absent_classes_never_win(size, model):
    image = pixels(*size)
    found = model.with_taxonomy("voc").predict(image)
    expected = logits_by_hand(model, image, [0, 1])  # dog has no prototype
    assert found.classes == ["rest", "cat", "dog"]
    assert found.mask.dtype == np.uint8
    assert found.mask.shape == size
    assert np.array_equal(found.mask, expected.argmax(0).numpy())
    assert np.allclose(found.probabilities[:2], expected.softmax(0).numpy(), atol=1e-5)
    assert not found.probabilities[2].any()
    assert found.probabilities.dtype == np.float32


def test_views(model):
    assert model.taxonomies == ["voc", "msrc"]
    assert model.taxonomy == "voc+msrc"
    assert model.classes == ["voc/rest", "voc/cat", "voc/dog", "msrc/cat", "msrc/grass"]
    other = model.with_taxonomy("msrc+voc")
    assert other.classes == ["msrc/cat", "msrc/grass", "voc/rest", "voc/cat", "voc/dog"]
    assert model.classes[0] == "voc/rest"  # unchanged
    one, two = model.predict(pixels()), other.predict(pixels())
    assert np.array_equal(np.array(one.classes)[one.mask], np.array(two.classes)[two.mask])
    assert model.with_taxonomy("msrc").network.encoder is model.network.encoder  # shared


@pytest.mark.parametrize("taxonomy, message", [("ade", "'ade'.*voc, msrc"), ("voc+voc", "more than once"), ("", "''")])
def test_unknown_views_are_refused(taxonomy, message, model):
    with pytest.raises(UserError, match=message):
        model.with_taxonomy(taxonomy)


def test_a_dataset_with_a_plus_in_its_name():
    space = LabelSpace.concatenate({"voc+aug": ["a", "b"], "voc": ["c", "d", "e"]})
    given = weights.Weights(**{**vars(stored()), "label_space": space})
    model = SegmentationModel(given, make_fabric("cpu", "fp32"), "voc+aug")
    assert model.classes == ["a", "b"]
    joined = SegmentationModel(given, make_fabric("cpu", "fp32"))
    assert joined.taxonomy == "voc+aug+voc"
    assert joined.with_taxonomy("voc+voc+aug").classes == ["voc/c", "voc/d", "voc/e", "voc+aug/a", "voc+aug/b"]
    examples = [(pixels(), region(0, 20, 0, 20))]
    assert joined.add_class("mug", examples).classes == [*joined.classes, "mine/mug"]
    assert model.add_class("mug", examples, "voc+aug").classes == ["a", "b", "mug"]
    for wrong, message in {"voc+aug+voc+aug": "names 'voc\\+aug' more than", "voc+agu": "of 'agu'"}.items():
        with pytest.raises(UserError, match=message):
            model.with_taxonomy(wrong)


def test_the_longest_name_that_fits_is_taken_but_a_view_stays_what_it_is():
    space = LabelSpace.concatenate({"voc": ["a", "b"], "voc+sbd": ["c"], "sbd": ["d", "e"]})
    given = weights.Weights(**{**vars(stored()), "label_space": space, "present": torch.ones(5, dtype=torch.bool)})
    model = SegmentationModel(given, make_fabric("cpu", "fp32"))
    assert model.with_taxonomy("voc+sbd").classes == ["c"]
    assert model.with_taxonomy("voc+sbd+sbd").classes == ["voc+sbd/c", "sbd/d", "sbd/e"]
    examples = [(pixels(), region(0, 20, 0, 20))]
    # by its text, this view would be another one
    joined = model.with_taxonomy("voc").add_class("mug", examples, "sbd")
    assert joined.taxonomy == "voc+sbd"
    grown = joined.add_class("cup", examples, "sbd").classes
    assert grown == ["voc/a", "voc/b", "sbd/d", "sbd/e", "sbd/mug", "sbd/cup"]


def test_lists_keep_their_order_and_batches_change_nothing(model):
    images = [pixels(40, 40, 1), pixels(40, 40, 2), pixels(33, 64), pixels(40, 40, 3)]
    together = model.predict(images, batch_size=3)
    for image, found in zip(images, together, strict=True):
        alone = model.predict(image)
        assert (alone.mask != found.mask).mean() < 1e-3  # another batch size may round otherwise
        assert np.allclose(alone.probabilities, found.probabilities, atol=1e-4)
    assert model.predict([]) == []
    as_tuple = model.predict(tuple(images), batch_size=3)
    assert all(np.array_equal(one.mask, two.mask) for one, two in zip(as_tuple, together, strict=True))


@pytest.mark.parametrize("image", [pixels(), [pixels()], (pixels(),), []])
@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_no_images_is_refused(image, batch_size, model):
    with pytest.raises(UserError, match=f"batch_size is {batch_size}; expected at least 1"):
        model.predict(image, batch_size=batch_size)


def test_probabilities_may_be_left_out(model):
    found = model.predict(pixels(), probabilities=False)
    assert found.probabilities is None
    assert np.array_equal(found.mask, model.predict(pixels()).mask)


def test_probabilities_are_bounded(model, monkeypatch):
    monkeypatch.setattr("mdpseg.engine.segment._MOST_PROBABILITIES", 4 * 5 * 40 * 40 * 2)
    images = [pixels(40, 40)] * 3
    assert len(model.predict(images[:2])) == 2
    with pytest.raises(UserError, match="probabilities=False"):
        model.predict(images)
    assert len(model.predict(images, probabilities=False)) == 3


def test_evaluation_settings(model):
    mirrored = model.predict(pixels(), eval={"flip": True})
    assert np.allclose(mirrored.probabilities.sum(0), 1, atol=1e-5)
    back = model.predict(pixels()[:, ::-1].copy(), eval=EvalConfig(flip=True))
    # padding is at the right and lower side, so compare an image that needs none
    whole = pixels(64, 64)
    one, two = model.predict(whole, eval={"flip": True}), model.predict(whole[:, ::-1], eval={"flip": True})
    assert np.allclose(one.probabilities, two.probabilities[:, :, ::-1], atol=1e-4)
    assert back.mask.shape == mirrored.mask.shape
    with pytest.raises(UserError, match="flop"):
        model.predict(pixels(), eval={"flop": True})


def test_very_large_images_run_block_by_block(model, monkeypatch):
    image = pixels(200, 330)
    whole = model.predict(image)
    for name, value in {"SIDE": 96, "MARGIN": 64}.items():
        monkeypatch.setattr(blocks, name, value)
    monkeypatch.setattr(blocks.blocks, "__defaults__", (1000,))
    parts = list(blocks.blocks(200, 330))
    assert len(parts) == 12
    found, only_mask, embedded = model.predict(image), model.predict(image, probabilities=False), model.embed(image)
    monkeypatch.setattr(blocks.blocks, "__defaults__", (10**6,))
    # the encoder sees farther than the margin, so compare with what it makes of the block alone
    inner, outer = parts[5]
    block, within = model.predict(image[outer]), parts[5].within()
    assert np.array_equal(found.mask[inner], block.mask[within])
    assert np.array_equal(found.mask, only_mask.mask)
    assert np.allclose(found.probabilities[:, *inner], block.probabilities[:, *within], atol=1e-4)
    stride = model.embedder.stride
    cells = tuple(slice(part.start // stride, part.stop // stride) for part in inner)
    assert embedded.shape == (16, 50, 83)
    assert torch.allclose(embedded[:, *cells], model.embed(image[outer])[:, *parts[5].within(stride)], atol=1e-4)
    assert (whole.mask == found.mask).mean() > 0.5


def test_embeddings_have_unit_length_and_cover_the_image(model):
    embeddings = model.embed(pixels(50, 70))
    assert model.embedder.stride == 4
    assert embeddings.shape == (16, 13, 18)
    assert torch.allclose(embeddings.norm(dim=0), torch.ones(13, 18), atol=1e-5)


def test_the_stride_of_a_decoder_that_takes_no_small_image():
    torch.manual_seed(0)
    network = SegmentationNetwork(NetworkConfig(encoder="test_efficientnet", decoder="pan", embedding_dim=16))
    network.set_projection()
    embedder = Embedder(network.eval(), make_fabric("cpu", "fp32"))
    assert embedder.stride == 4
    assert embedder(torch.zeros(3, 200, 130, dtype=torch.uint8)).shape == (16, 50, 33)


def test_nearest_classes(model):
    image = pixels()
    found = model.nearest(image, 21, 38)
    assert found == model.nearest(model.embed(image), 21, 38)
    assert {name: {one.name for one in near} for name, near in found.items()} == {
        "voc": {"rest", "cat"},  # dog has no prototype
        "msrc": {"cat", "grass"},
    }
    pixel = model.embed(image)[:, 5, 9]
    for dataset, near in found.items():
        assert [one.cosine for one in near] == sorted((one.cosine for one in near), reverse=True)
        for one in near:
            expected = float(model.prototypes.vectors[SPACE.names.index(f"{dataset}/{one.name}")] @ pixel)
            assert one.cosine == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("place", [(50, 0), (0, 70), (-1, 0), (0, -1)])
def test_pixels_outside_are_refused(place, model):
    with pytest.raises(UserError, match="outside the image of 50 x 70"):
        model.nearest(pixels(), *place)


def region(top, bottom, left, right, size=(50, 70)):
    chosen = np.zeros(size, bool)
    chosen[top:bottom, left:right] = True
    return chosen


def test_an_added_class_is_the_two_step_average(model):
    examples = [(pixels(seed=n), region(8, 32 + n, 4, 40)) for n in range(2)]
    grown = model.add_class("mug", examples)
    means = []
    for image, chosen in examples:  # cell by cell
        embeddings = model.embed(image)
        cells = [
            embeddings[:, y, x]
            for y in range(embeddings.shape[1])
            for x in range(embeddings.shape[2])
            if 4 * y + 2 < 50 and 4 * x + 2 < 70 and chosen[4 * y + 2, 4 * x + 2]
        ]
        means.append(F.normalize(torch.stack(cells).mean(0), dim=0))
    expected = F.normalize(torch.stack(means).mean(0), dim=0)
    assert torch.allclose(grown.prototypes.vectors[-1], expected, atol=1e-5)
    assert grown.prototypes.label_space.names[-1] == "mine/mug"
    assert grown.classes == [*model.classes, "mine/mug"]
    assert "mine" not in model.taxonomies
    assert torch.equal(grown.prototypes.vectors[:-1], model.prototypes.vectors)

    one_by_one = model.add_class("mug", examples[:1]).add_class("mug", examples[1:])
    assert torch.allclose(one_by_one.prototypes.vectors[-1], expected, atol=1e-5)
    assert int(one_by_one.prototypes.examples[-1]) == 2


def test_an_added_class_has_an_offset_beside_trained_ones_alone(model):
    image, chosen = pixels(96, 96), region(20, 70, 30, 80, (96, 96))
    grown = model.with_taxonomy("voc").add_class("dark", [(image, chosen)])
    offset = float(grown.prototypes.offsets[-1])
    assert offset != 0
    alone = grown.with_taxonomy("mine")  # no trained class beside it: the offset has nothing to stand against
    assert float(alone.network.head.bias[0]) == 0
    assert float(grown.network.head.bias[-1]) == pytest.approx(-offset)


def test_a_class_joins_an_existing_dataset_after_its_others(model):
    grown = model.add_class("cow", [(pixels(), region(0, 20, 0, 20))], dataset="voc")
    assert grown.with_taxonomy("voc").classes == ["rest", "cat", "dog", "cow"]
    assert grown.with_taxonomy("msrc").classes == ["cat", "grass"]
    assert torch.equal(grown.prototypes.vectors[4:], model.prototypes.vectors[3:])
    same, before = grown.with_taxonomy("msrc").predict(pixels()), model.with_taxonomy("msrc").predict(pixels())
    assert np.array_equal(same.mask, before.mask)


def test_a_class_without_prototype_gets_one_from_examples(model):
    grown = model.add_class("dog", [(pixels(), region(0, 20, 0, 20))], dataset="voc")
    assert grown.classes == model.classes
    assert bool(grown.prototypes.present[2])


def test_a_region_smaller_than_a_cell(model):
    grown = model.add_class("dot", [(pixels(), region(8, 9, 12, 13))])
    assert torch.allclose(grown.prototypes.vectors[-1], model.embed(pixels())[:, 2, 3], atol=1e-5)


@pytest.mark.parametrize("most", [0, 16 * 13 * 18, 10**9])  # none, the first, all
def test_examples_whose_embeddings_are_not_kept_give_the_same_class(most, model, monkeypatch):
    examples = [(pixels(seed=n), region(8, 32 + n, 4, 40)) for n in range(3)]
    expected, seen = model.add_class("mug", examples).prototypes, []
    monkeypatch.setattr("mdpseg.engine.examples.MOST_KEPT", most)
    embed = Embedder.__call__
    monkeypatch.setattr(Embedder, "__call__", lambda self, image: seen.append(image) or embed(self, image))
    found = model.add_class("mug", iter(examples)).prototypes
    assert len(seen) == {0: 6, 10**9: 3}.get(most, 5)
    assert torch.allclose(found.vectors[-1], expected.vectors[-1], atol=1e-6)
    assert torch.allclose(found.offsets, expected.offsets, atol=1e-4)


@pytest.mark.parametrize(
    "name, examples, dataset, message",
    [
        ("mug", [], "mine", "No example of 'mug'"),
        ("mug", [(pixels(), region(0, 0, 0, 0))], "mine", "Example 0: the region is empty"),
        ("mug", [(pixels(), region(0, 9, 0, 9, (9, 9)))], "mine", r"shape \[9, 9\]; expected bool \[50, 70\]"),
        ("mug", [(pixels(), np.ones((50, 70)))], "mine", "float64"),
        ("cat", [(pixels(), region(0, 9, 0, 9))], "voc", "voc/cat is a class of the pretraining"),
        ("mug", [(pixels(), region(0, 9, 0, 9))], "my+set", "dataset's name"),
        ("", [(pixels(), region(0, 9, 0, 9))], "mine", "plain text"),
    ],
)
def test_wrong_examples_are_named(name, examples, dataset, message, model):
    with pytest.raises(UserError, match=message):
        model.add_class(name, examples, dataset)


def test_save_and_read_back(model, tmp_path):
    grown = model.add_class("mug", [(pixels(), region(0, 30, 0, 30))])
    grown.save(tmp_path / "w.safetensors")
    again = SegmentationModel.from_run(tmp_path / "w.safetensors", "cpu")
    assert again.taxonomies == ["voc", "msrc", "mine"]
    assert again.prototypes.temperature == 0.1
    assert np.array_equal(again.predict(pixels()).mask, grown.predict(pixels()).mask)
    more = [(pixels(seed=5), region(0, 30, 0, 30))]
    one, two = again.add_class("mug", more), grown.add_class("mug", more)
    assert torch.equal(one.prototypes.vectors, two.prototypes.vectors)
    assert torch.allclose(one.prototypes.offsets, two.prototypes.offsets)
    model.save(tmp_path / "plain.safetensors")
    assert not weights.load(tmp_path / "plain.safetensors").added
    with pytest.raises(UserError, match="no folder"):
        model.save(tmp_path / "none" / "w.safetensors")
    with pytest.raises(UserError, match="is a folder; name the file"):
        model.save(tmp_path)


@pytest.mark.parametrize("kind", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_pictures_of_any_mode(kind, model):
    picture = Image.fromarray(pixels()).convert(kind)
    expected = np.array(picture.convert("RGB"))
    assert np.array_equal(model.predict(picture).mask, model.predict(expected).mask)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("as_file", [True, False])
def test_photographs_are_turned_upright(orientation, as_file, model, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels(40, 64)).save(tmp_path / "a.png", exif=exif)
    from PIL import ImageOps

    with Image.open(tmp_path / "a.png") as picture:
        expected = model.predict(np.array(ImageOps.exif_transpose(picture)))
        found = model.predict(tmp_path / "a.png" if as_file else picture)
    assert found.mask.shape == ((64, 40) if orientation > 4 else (40, 64))
    assert np.array_equal(found.mask, expected.mask)


@pytest.mark.parametrize(
    "image, message",
    [
        (pixels().astype(float), "float64"),
        (np.zeros((3, 50, 70), np.uint8), r"\[3, 50, 70\]"),
        (np.zeros((0, 5, 3), np.uint8), "0x5"),
        (Image.new("I;16", (4, 4)), "8 bits"),
        (7, "got int"),
        ((pixels() for _ in range(2)), "list or tuple of these; got generator"),
        ("none.jpg", "none.jpg"),
    ],
)
def test_wrong_images_are_named(image, message, model):
    with pytest.raises(UserError, match=message):
        model.predict(image)


def test_a_fine_tuned_network_predicts_as_the_command_does(finetuned, tmp_path):
    Image.fromarray(pixels()).save(tmp_path / "a.png")
    masks = mdpseg.predict(
        {"weights": finetuned / "weights.safetensors", "images": [str(tmp_path)], "out": tmp_path / "o"}
    )
    model = mdpseg.SegmentationModel.from_run(finetuned)
    found = model.predict(tmp_path / "a.png")
    assert np.array_equal(read_ids(masks[0], "test").numpy(), found.mask)
    assert (tmp_path / "o" / "classes.txt").read_text().split() == model.classes
    assert model.taxonomies == []
    assert model.taxonomy is None
    assert torch.allclose(model.embed(pixels()).norm(dim=0), torch.ones(()), atol=1e-5)
    for wrong in (
        lambda: model.with_taxonomy("things"),
        lambda: model.nearest(pixels(), 0, 0),
        lambda: model.add_class("mug", [(pixels(), region(0, 9, 0, 9))]),
        lambda: SegmentationModel.from_run(finetuned, taxonomy="things"),
    ):
        with pytest.raises(UserError, match=r"fine-tuned on 'things' and has no prototypes"):
            wrong()


def test_a_pretraining_writes_its_temperature(pretrained, tmp_path):
    assert weights.load(pretrained / "weights.safetensors").temperature == 0.07
    model = SegmentationModel.from_run(pretrained, "cpu", "fine")
    assert model.prototypes.temperature == 0.07
    assert set(model.taxonomies) <= {"coarse", "fine"}


def test_older_weights_take_the_temperature_of_the_recipe_beside_them(tmp_path):
    weights.save(tmp_path / "weights.safetensors", stored(temperature=None))
    assert SegmentationModel.from_run(tmp_path, "cpu").prototypes.temperature == 0.07
    (tmp_path / "recipe.yaml").write_text(
        "out: x\ndatasets: [{name: a, reader: toy, world: fine}]\nmethod: {temperature: 0.2}\n"
    )
    assert SegmentationModel.from_run(tmp_path, "cpu").prototypes.temperature == 0.2


def test_runs_without_use_are_refused(tmp_path):
    with pytest.raises(UserError, match="holds no weights"):
        SegmentationModel.from_run(tmp_path)
    with pytest.raises(UserError, match="No weights file"):
        SegmentationModel.from_run(tmp_path / "none")
    weights.save(tmp_path / "w", stored(present=torch.zeros(5, dtype=torch.bool)))
    with pytest.raises(UserError, match="without prototypes"):
        SegmentationModel.from_run(tmp_path / "w")
    union = SegmentationNetwork(NetworkConfig.model_validate(FAST_NETWORK))
    union.set_classifier(5)
    weights.save(tmp_path / "w", weights.Weights(union.config, union.state_dict(), SPACE, "classifier"))
    with pytest.raises(UserError, match="without prototypes"):
        SegmentationModel.from_run(tmp_path / "w")


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1", "cuda", "xpu", "foo", "mps"])
def test_a_device_that_is_not_here_is_named(device, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    weights.save(tmp_path / "w", stored())
    with pytest.raises(UserError, match=f"device is {device}, .* possible here: device=auto, device=cpu"):
        SegmentationModel.from_run(tmp_path / "w", device)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_tiffs_are_read_as_the_run_read_them_or_as_is_said(tmp_path):
    pytest.importorskip("rasterio")
    from tests.data.readers.test_tiff import write_tiff

    seen = pixels()  # what the network should see
    # band 4 is of no use to it
    scene = np.concatenate([seen.transpose(2, 0, 1)[::-1], np.zeros((1, 50, 70), np.uint8)]).astype(np.uint16) * 10
    image = write_tiff(tmp_path / "a.tif", scene)
    weights.save(tmp_path / "weights.safetensors", stored())
    setting = {"bands": [3, 2, 1], "range": [0, 2550]}
    bare = SegmentationModel.from_run(tmp_path, "cpu")
    with pytest.raises(UserError, match="say which of them become black and white"):
        bare.predict(image)

    told = SegmentationModel.from_run(tmp_path, "cpu", tiff=setting)
    expected = bare.predict(seen)
    assert np.array_equal(told.predict(image).mask, expected.mask)
    assert np.array_equal(
        told.with_taxonomy("voc").predict([image])[0].mask, bare.with_taxonomy("voc").predict(seen).mask
    )
    assert torch.equal(told.embed(image), bare.embed(seen))
    assert told.nearest(image, 3, 4) == bare.nearest(seen, 3, 4)
    region_and_image = [(image, region(0, 30, 0, 30))]
    assert told.add_class("mug", region_and_image).classes[-1] == "mine/mug"

    dataset = {"name": "fields", "reader": "folder", "path": "x", "tiff": setting}
    write_recipe(tmp_path / "recipe.yaml", pretraining(tmp_path, datasets=[dataset, toy("fine")]))
    for run in (tmp_path, tmp_path / "weights.safetensors"):
        assert np.array_equal(SegmentationModel.from_run(run, "cpu").predict(image).mask, expected.mask)
    other = SegmentationModel.from_run(tmp_path, "cpu", tiff={"range": [0, 100]})
    assert other.bands == Bands(None, (0, 100))
    with pytest.raises(UserError, match="unknown key 'rnge'; did you mean 'range'"):
        SegmentationModel.from_run(tmp_path, "cpu", tiff={"rnge": [0, 100]})


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda tensors, metadata: tensors.pop("prototypes.offsets"), "prototypes.offsets is missing"),
        (lambda tensors, metadata: metadata.update(temperature="0"), "temperature is 0"),
        (lambda tensors, metadata: metadata.update(temperature="[]"), "damaged metadata"),
    ],
)
def test_damaged_prototypes_are_refused(change, message, model, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    model.add_class("mug", [(pixels(), region(0, 30, 0, 30))]).save(tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        metadata = file.metadata()
    tensors = load_file(tmp_path / "w.safetensors")
    change(tensors, metadata)
    save_file(tensors, tmp_path / "damaged.safetensors", metadata)
    with pytest.raises(UserError, match=message):
        SegmentationModel.from_run(tmp_path / "damaged.safetensors")
