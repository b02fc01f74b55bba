import pytest
import torch
import torch.nn.functional as F

from mdpseg.bank import region_means
from mdpseg.data.readers.pairs import Sample
from mdpseg.engine import prototype_classifier
from mdpseg.engine.prototype_classifier import start_at_prototypes
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace
from tests import tiny

SPACE = LabelSpace.concatenate({"target": ["a", "b", "never"]})


def reader(sizes=((32, 32), (40, 36), (32, 64))):
    samples = []
    for number, (height, width) in enumerate(sizes):
        source = torch.Generator().manual_seed(number)
        image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=source)
        mask = torch.full((height, width), 255, dtype=torch.uint8)
        mask[: height // 2] = 0
        mask[height // 2 :, : width // 2] = 1
        samples.append(Sample(image, mask, str(number)))
    return tiny.ListReader(samples, ["a", "b", "never"], "target")


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = tiny.TinyNetwork()
    made.set_classifier(3)
    return made


def slow_prototypes(network, data):
    """Pixel by pixel, class by class."""
    network.eval()
    means = {0: [], 1: []}
    for sample in data.samples:
        features = network.head[0](network.features(network.pad(sample.image[None])))[0]
        for label, found in means.items():
            pixels = [
                F.normalize(features[:, y, x], dim=0)
                for y in range(features.shape[1])
                for x in range(features.shape[2])
                if 4 * y + 2 < sample.mask.shape[0]
                and 4 * x + 2 < sample.mask.shape[1]
                and sample.mask[4 * y + 2, 4 * x + 2] == label
            ]
            found.append(F.normalize(torch.stack(pixels).mean(0), dim=0))
    return [F.normalize(torch.stack(means[label]).mean(0), dim=0) for label in means]


def test_logits_are_cosines_with_the_prototypes_over_the_temperature(network):
    data = reader()
    start_at_prototypes(network, data, SPACE, 0.1, torch.device("cpu"))
    assert network.training
    with torch.no_grad():
        prototypes = torch.stack(slow_prototypes(network, data))
        features = network.features(network.pad(data.samples[0].image[None]))
        cosine = torch.einsum("chw,kc->khw", F.normalize(network.head[0](features), dim=1)[0], prototypes)
        assert torch.allclose(network.head(features)[0, :2], cosine / 0.1, atol=1e-3)


@pytest.mark.parametrize("window", [32, 40])
def test_in_windows_every_pixel_counts_once(window, network, monkeypatch):
    """This network sees 4 x 4 pixels alone, so windows change nothing; the last ones overlap those before."""
    data, sizes, features = reader(sizes=((32, 32), (72, 48), (64, 104))), [], network.features
    start_at_prototypes(network, data, SPACE, 0.1, torch.device("cpu"))
    whole = network.head[1].weight.clone()
    network.set_classifier(3)
    monkeypatch.setattr(network, "features", lambda images: (sizes.append(images.shape[-2:]), features(images))[1])
    start_at_prototypes(network, data, SPACE, 0.1, torch.device("cpu"), window)
    assert len(sizes) > 3
    assert max(max(size) for size in sizes) == 64  # 32 and 40 are padded
    assert torch.allclose(network.head[1].weight[:2], whole[:2], atol=1e-5)


@pytest.mark.parametrize("window", [None, 64, 1000])
def test_very_large_images_are_taken_in_blocks_and_others_whole(window, network, monkeypatch):
    data, sizes, pad = reader(sizes=((64, 64), (72, 96), (64, 104))), [], network.pad
    start_at_prototypes(network, data, SPACE, 0.1, torch.device("cpu"))
    whole = network.head[1].weight.clone()
    network.set_classifier(3)
    monkeypatch.setattr(prototype_classifier, "LARGEST_WHOLE", 64 * 64)
    monkeypatch.setattr(prototype_classifier, "SIDE", 32)
    monkeypatch.setattr(network, "pad", lambda images: (sizes.append(images.shape[-2:]), pad(images))[1])
    start_at_prototypes(network, data, SPACE, 0.1, torch.device("cpu"), window)
    assert sizes == [(64, 64)] + [(32, 32)] * (9 + 8)
    assert torch.allclose(network.head[1].weight[:2], whole[:2], atol=1e-5)


def test_the_regions_of_an_image_are_those_of_the_bank(network):
    """Bit for bit: pixels are added one by one in the same order."""
    sample = reader(sizes=((72, 104),)).samples[0]
    targets = SPACE.encode(sample.mask, "target")
    with torch.no_grad():
        features, labels = prototype_classifier._features(network.eval(), sample.image, targets, torch.device("cpu"))
        expected = region_means(features, labels, 3)
        found = prototype_classifier._regions(network, sample.image, targets, torch.device("cpu"), None)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_class_that_is_in_no_image_keeps_its_row_and_the_features_theirs(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    start_at_prototypes(network, reader(), SPACE, 0.07, torch.device("cpu"))
    after = network.state_dict()
    for name, tensor in before.items():
        if name.startswith("head."):
            assert torch.equal(tensor[2], after[name][2])
            assert not torch.equal(tensor[:2], after[name][:2])
        else:
            assert torch.equal(tensor, after[name])


def test_a_large_target_is_not_read_whole(network, monkeypatch):
    monkeypatch.setattr("mdpseg.engine.prototype_classifier._MOST_IMAGES", 2)
    data = reader(sizes=((32, 32),) * 5)
    read = []
    monkeypatch.setattr(tiny.ListReader, "__getitem__", lambda self, i: read.append(i) or self.samples[i])
    start_at_prototypes(network, data, SPACE, 0.07, torch.device("cpu"))
    assert read == [0, 3]


@pytest.mark.parametrize("looked_at", [1, 3])
def test_nothing_labelled_leaves_the_random_start(looked_at, network, monkeypatch):
    monkeypatch.setattr("mdpseg.engine.prototype_classifier._MOST_IMAGES", looked_at)
    data = reader()
    for sample in data.samples:
        sample.mask.fill_(255)
    before = network.head[1].weight.clone()
    if looked_at < len(data):
        assert start_at_prototypes(network, data, SPACE, 0.07, torch.device("cpu")) == ["a", "b", "never"]
    else:
        with pytest.raises(UserError, match="none of its 3 images has a labelled pixel"):
            start_at_prototypes(network, data, SPACE, 0.07, torch.device("cpu"))
    assert torch.equal(before, network.head[1].weight)
