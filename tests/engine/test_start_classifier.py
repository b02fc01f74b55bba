"""The classifier starts at the nearest prototype, compared with prototypes computed one pixel at a time."""

import pytest
import torch
import torch.nn.functional as F

import mdpseg
from mdpseg.config import NetworkConfig
from mdpseg.data.readers.pairs import Sample
from mdpseg.data.toy import ToyWorld
from mdpseg.engine.runtime import make_fabric
from mdpseg.engine.start_classifier import start_at_prototypes
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork
from tests import tiny


class Reader:
    """Two images of 64 x 64, whose masks are constant on the blocks of the decoder's grid."""

    name, classes, catch_all = "mine", ["a", "b", "never"], None

    def __init__(self, ignored: bool = False) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
        coarse = torch.randint(0, 2, (2, 16, 16), generator=generator)
        coarse[0, 0] = 255
        self.coarse = torch.full_like(coarse, 255) if ignored else coarse

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        mask = self.coarse[index].repeat_interleave(4, 0).repeat_interleave(4, 1).to(torch.uint8)
        return Sample(self.images[index], mask, str(index))


@pytest.fixture
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    network = SegmentationNetwork(NetworkConfig(**tiny.NETWORK))
    network.set_classifier(3)
    return network


def test_it_predicts_the_nearest_prototype(network):
    reader = Reader()
    start_at_prototypes(network, reader, LabelSpace.concatenate({"mine": reader.classes}), make_fabric("cpu", "fp32"))
    network.eval()
    with torch.no_grad():
        features = network.head[0](network.features(reader.images))  # [2, C, 16, 16]
        logits = network(reader.images)
    regions: dict[int, list] = {0: [], 1: []}
    for image in range(2):
        for c in (0, 1):
            pixels = [features[image, :, y, x] for y, x in (reader.coarse[image] == c).nonzero().tolist()]
            regions[c].append(F.normalize(torch.stack(pixels).mean(0), dim=0))
    prototypes = [F.normalize(torch.stack(regions[c]).mean(0), dim=0) for c in (0, 1)]
    centre = (prototypes[0] + prototypes[1]) / 2
    directions = [F.normalize(p - centre, dim=0) for p in prototypes]
    scale = features.shape[1] ** 0.5
    for c in (0, 1):
        expected = torch.einsum("bchw,c->bhw", features - scale * centre[None, :, None, None], directions[c])
        torch.testing.assert_close(logits[:, c], expected, rtol=1e-3, atol=1e-3)
    assert (logits[:, 2] == -5).all()  # a class that no image shows
    assert (logits[:, :2].argmax(1) == reader.coarse)[reader.coarse != 255].float().mean() > 0.55


def test_everything_but_the_classifier_stays_as_it_is(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    reader = Reader()
    start_at_prototypes(network, reader, LabelSpace.concatenate({"mine": reader.classes}), make_fabric("cpu", "fp32"))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.1.weight", "head.1.bias"}


def test_images_of_any_size(network):
    reader = ToyWorld("coarse", count=3, size=(70, 45))
    network.set_classifier(len(reader.classes))
    start_at_prototypes(
        network, reader, LabelSpace.concatenate({reader.name: reader.classes}), make_fabric("cpu", "fp32")
    )
    assert torch.isfinite(network.head[1].weight).all()
    assert float(network.head[1].weight.detach().norm(dim=1).max()) == pytest.approx(1.0, abs=1e-5)


def test_nothing_labelled_is_refused(network):
    reader = Reader(ignored=True)
    with pytest.raises(UserError, match="no pixel of the training images is labelled"):
        start_at_prototypes(
            network, reader, LabelSpace.concatenate({"mine": reader.classes}), make_fabric("cpu", "fp32")
        )


def test_the_start_is_a_setting(tmp_path):
    norms = {}
    for start in ("prototypes", "random"):
        config = tiny.finetuning(tmp_path / start, classifier=start, iterations=1, optim={"lr": 1e-9})
        norms[start] = tiny.tensors(mdpseg.finetune(config).out)["head.1.weight"].flatten(1).norm(dim=1)
    shown = norms["prototypes"] > 0
    torch.testing.assert_close(norms["prototypes"][shown], torch.ones(int(shown.sum())), rtol=1e-4, atol=1e-4)
    assert (norms["random"] < 0.9).all()
