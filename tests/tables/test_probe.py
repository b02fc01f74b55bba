import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mdpseg.config import FinetuneConfig, NetworkConfig, PretrainConfig
from mdpseg.data.open import label_space_of, open_dataset
from mdpseg.label_space import UNLABELLED
from mdpseg.network import SegmentationNetwork
from mdpseg.recipe import load
from mdpseg.tables import probe
from mdpseg.tables.live_bytes import LiveBytes
from mdpseg.tables.probe import counted_cost, make_objective, measured_cost, random_batch
from tests import tiny


def pretraining(method, **more):
    content = tiny.pretraining("unset", method=method, **more)
    return load({**content, "augment": {"crop": 64}, "batch_size": 8}, PretrainConfig)


def finetuning():
    return load({**tiny.finetuning("unset"), "augment": {"crop": 64}, "batch_size": 8}, FinetuneConfig)


def space_of(config):
    entries = [config.train] if isinstance(config, FinetuneConfig) else config.datasets
    return label_space_of([open_dataset(entry) for entry in entries])


VARIANTS = {
    "published": pretraining("mdp-paper"),
    "ours": pretraining({}),
    "region": pretraining({"scheme": "mdp-paper", "bank": "region", "mixing": "off"}),
    "pixel": pretraining({"scheme": "mdp-paper", "bank": "none", "mixing": "off"}),
    "supervised": pretraining({"objective": "supervised"}),
    "multihead": pretraining({"objective": "multihead"}),
    "finetune": finetuning(),
}


@pytest.fixture
def one_convolution(monkeypatch):
    """tests.tiny's network in the place of every network: one convolution, 3 -> 12 of 4 x 4 at stride 4, and a 1x1."""
    monkeypatch.setattr(probe, "SegmentationNetwork", lambda config: tiny.TinyNetwork())
    probe._probe_body.cache_clear()
    yield
    probe._probe_body.cache_clear()


def test_counts_of_a_network_by_hand(one_convolution):
    """A pixel of the input is 1/16 of a pixel of the maps, of 12 channels."""
    body = probe._probe_body(NetworkConfig().model_dump_json())
    forward = 2 * (3 * 4 * 4 * 12 + 12 * 12) / 16
    to_weights, to_input = forward, 2 * 12 * 12 / 16  # the images need no gradient
    assert body.forward_flops == forward
    assert body.step_flops == forward + to_weights + to_input
    normalised, a_map = 3 * 4, 12 * 4 / 16
    kept = normalised + 3 * a_map  # what the norm and the 1x1 convolution start from, and the result
    assert body.kept == pytest.approx(kept, rel=0.01)
    assert body.weights == 4 * ((3 * 16 + 1) * 12 + 2 * 12 + (12 + 1) * 12)
    assert (body.channels, body.stride) == (12, 4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_counted_in_parts_is_counted_as_a_whole(variant):
    """A step of the whole network at full size, in bfloat16, against what small batches and a small crop say."""
    config = VARIANTS[variant]
    space = space_of(config)
    objective = make_objective(config, SegmentationNetwork(config.network), space)
    batch = random_batch(config, space, config.batch_size, config.augment.crop)
    states = sum(p.nbytes * (3 if p.requires_grad else 1) for p in objective.parameters())
    with FlopCounterMode(display=False) as flops, LiveBytes() as live:
        with torch.autocast("cpu", torch.bfloat16):
            loss = objective(batch)["loss"]
        loss.backward()
    counted = counted_cost(config, space)
    assert counted.flops == pytest.approx(flops.get_total_flops(), rel=0.002)
    # what the backward pass holds for a moment is not counted, and no loss is large enough to hide it
    assert counted.memory == pytest.approx(states + live.peak, rel=0.15)


def test_mixing_and_unlabelled_images_are_in_the_batch():
    config = pretraining({"mixing": "both"}, datasets=[tiny.toy("coarse"), tiny.toy("fine", unlabelled=True)])
    space = space_of(VARIANTS["ours"])
    batch = random_batch(config, space, 4, 32)
    assert batch.lam.tolist() == [0.5, 0.5, 1, 1]
    assert [bool((target == UNLABELLED).all()) for target in batch.targets] == [False, False, True, True]
    plain = random_batch(VARIANTS["supervised"], space, 4, 32)
    assert plain.lam.tolist() == [1, 1, 1, 1]
    assert set(plain.targets.unique().tolist()) == set(range(space.num_classes))


def test_what_is_measured_is_continued_to_the_batch_size(monkeypatch):
    """No GPU here: steps run on the CPU, and CUDA's counters are made up (1 GiB, and 2 GiB at twice the batch)."""
    peaks, began = iter([2**30, 2**31]), iter([0.0, 1.0, 0.0, 2.0])
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: next(peaks))
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(began))
    config = VARIANTS["published"]
    cost = measured_cost(config, space_of(config), torch.device("cpu"))
    assert cost.memory == 4 * 2**30  # 8 images
    assert cost.seconds == pytest.approx(4 / 5)  # five steps were timed
