import pytest
import torch

from mdpseg.config import AugmentConfig
from mdpseg.data.draws import Draws
from mdpseg.data.loader import batches
from mdpseg.data.open import label_space_of
from mdpseg.data.readers.pairs import Sample
from mdpseg.data.share import MixingDraws
from mdpseg.errors import UserError
from mdpseg.label_space import UNLABELLED
from mdpseg.mixing import mix_batch
from tests.tiny import ListReader

CROP = AugmentConfig(crop=32)


def readers(count=6):
    """Dataset a: classes 0 and 1; dataset b: classes 0..2, its last one a catch-all."""
    made = []
    for number, (name, classes, catch_all) in enumerate([("a", ["p", "q"], None), ("b", ["p", "r", "rest"], "rest")]):
        source = torch.Generator().manual_seed(number)
        samples = [
            Sample(
                torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8, generator=source),
                torch.randint(0, len(classes), (40, 40), generator=source).to(torch.uint8),
                f"{i}",
            )
            for i in range(count)
        ]
        made.append(ListReader(samples, classes, name, catch_all))
    return made


def run(sources=None, *, seed=0, start=0, end=3, batch_size=6, **more):
    sources = sources or readers()
    draws = Draws([len(r) for r in sources], seed, "equal")
    space = label_space_of(sources)
    augmentation = more.pop("augmentation", CROP)
    return list(batches(sources, space, draws, augmentation, start=start, end=end, batch_size=batch_size, **more))


def equal(one, two):
    names = ("images", "targets", "datasets", "boxes", "region_partners", "lam", "pixel_partners")
    return one.names == two.names and all(torch.equal(getattr(one, n), getattr(two, n)) for n in names)


BOTH = MixingDraws("both", 0.5)


def test_what_a_batch_holds():
    made = run(mixing=BOTH)
    assert len(made) == 3
    for batch in made:
        assert batch.images.shape == (6, 3, 32, 32)
        assert batch.images.dtype == torch.uint8
        assert batch.targets.shape == (6, 32, 32)
        assert batch.targets.dtype == torch.int64
        assert batch.boxes.shape == (6, 4)
        assert batch.lam.dtype == torch.float32
        assert batch.partner_targets is None
        assert len(batch) == len(batch.names) == 6


def test_targets_are_global_ids_of_the_image_s_own_dataset():
    seen = set()
    for batch in run(end=6):
        for targets, dataset, name in zip(batch.targets, batch.datasets.tolist(), batch.names, strict=True):
            ids = set(targets.unique().tolist()) - {-1}
            assert ids <= ({0, 1} if dataset == 0 else {2, 3, 4})
            assert name.startswith("ab"[dataset] + "/")
            seen |= ids
    assert seen == set(range(5))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_images_without_labels_have_a_code_of_their_own_and_move_nobody_s_classes(place, workers):
    """Wherever they stand in the recipe; outside the image is ignored, as ever."""
    bare = ListReader([Sample(torch.zeros(3, 40, 40, dtype=torch.uint8), torch.zeros(40, 40, dtype=torch.uint8), "i")])
    bare.label_set = None
    sources = readers()
    sources.insert(place, bare)
    assert label_space_of(sources) == label_space_of(readers())
    small = AugmentConfig(crop=32, scale=(0.5, 0.5))
    seen = set()
    for batch in run(sources, end=6, workers=workers, augmentation=small, mixing=BOTH):
        for targets, dataset, name in zip(batch.targets, batch.datasets.tolist(), batch.names, strict=True):
            ids = set(targets.unique().tolist())
            allowed = {"a": {0, 1}, "b": {2, 3, 4}, "list": {UNLABELLED}}[sources[dataset].name]
            assert ids == allowed | {-1}  # half the size: six rows and columns on each side are outside
            assert name.startswith(sources[dataset].name + "/")
            assert (targets[:6] == -1).all()
            seen |= ids
    assert seen == {UNLABELLED, *range(-1, 5)}


def test_batches_do_not_depend_on_the_number_of_workers():
    one = run(mixing=BOTH)
    for workers in (1, 2):
        other = run(mixing=BOTH, workers=workers)
        assert all(equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_later_start_gives_the_later_batches():
    whole, late = run(mixing=BOTH, end=5), run(mixing=BOTH, start=3, end=5)
    assert len(late) == 2
    assert all(equal(a, b) for a, b in zip(whole[3:], late, strict=True))


def test_another_seed_gives_other_batches():
    assert not equal(run(seed=0)[0], run(seed=1)[0])


def test_steps_do_not_repeat_each_other():
    first, second = run(end=2)
    assert not torch.equal(first.images, second.images)


@pytest.mark.parametrize("kind", ["off", "region", "pixel", "both"])
@pytest.mark.parametrize("ranks, batch_size", [(2, 6), (3, 6), (3, 7), (4, 5), (6, 6)])
def test_ranks_split_a_step_and_mix_it_as_one_process_does(ranks, batch_size, kind):
    """Partners come from the whole step; a rank builds those of other shares too, and leaves them out again."""
    more = {"end": 4, "batch_size": batch_size, "mixing": MixingDraws(kind, 0.7)}
    whole = [mix_batch(batch) for batch in run(**more)]
    parts = [run(**more, rank=rank, ranks=ranks) for rank in range(ranks)]
    for step in range(4):
        mixed = [mix_batch(part[step]) for part in parts]
        assert sum(len(part) for part in mixed) == batch_size
        assert sum((part.names for part in mixed), ()) == whole[step].names
        for name in ("images", "targets", "datasets", "lam"):
            assert torch.equal(torch.cat([getattr(part, name) for part in mixed]), getattr(whole[step], name))
        blended = whole[step].lam < 1
        partners = torch.cat([part.partner_targets for part in mixed])
        assert torch.equal(partners[blended], whole[step].partner_targets[blended])


def test_a_rank_builds_no_more_partners_than_it_needs():
    alone = run(end=3, batch_size=6, rank=1, ranks=3)
    assert [len(batch) for batch in alone] == [2, 2, 2]
    mixed = run(end=30, batch_size=6, rank=1, ranks=3, mixing=BOTH)
    assert {batch.own for batch in mixed} == {2}
    assert 2 < sum(len(batch) for batch in mixed) / 30 < 2 * 2.25


def test_partners_are_of_another_dataset_where_there_is_one():
    mixed = single = 0
    for batch in run(end=20, batch_size=3, mixing=BOTH):
        datasets = batch.datasets
        for i in range(3):
            partners = [int(batch.region_partners[i]), int(batch.pixel_partners[i])]
            if len(set(datasets.tolist())) > 1:
                assert all(datasets[p] != datasets[i] for p in partners)
                mixed += 1
            else:
                assert all(p != i for p in partners)
                single += 1
    assert mixed
    assert single


def test_a_lone_image_is_its_own_partner():
    batch = run(end=1, batch_size=1, mixing=BOTH)[0]
    assert batch.region_partners.tolist() == batch.pixel_partners.tolist() == [0]


@pytest.mark.parametrize(
    "kind, boxes, blends",
    [("off", False, False), ("region", True, False), ("pixel", False, True), ("both", True, True)],
)
def test_which_mixes_are_drawn(kind, boxes, blends):
    made = run(end=10, mixing=MixingDraws(kind, 0.5))
    areas = torch.cat([batch.boxes[:, 2] * batch.boxes[:, 3] for batch in made])
    lam = torch.cat([batch.lam for batch in made])
    assert bool((areas > 0).any()) == boxes
    assert bool((lam < 1).any()) == blends
    if blends:
        assert 0.3 < (lam < 1).float().mean() < 0.7
    if boxes:
        assert 0.3 < (areas > 0).float().mean() < 0.7


@pytest.mark.parametrize("probability, share", [(0.0, 0.0), (1.0, 1.0)])
def test_mixing_probability(probability, share):
    lam = torch.cat([batch.lam for batch in run(end=5, mixing=MixingDraws("pixel", probability))])
    assert (lam < 1).float().mean() == share


@pytest.mark.parametrize("workers", [0, 2])
def test_a_reader_s_error_arrives_whole(workers):
    class Bad(ListReader):
        def __getitem__(self, index):
            raise UserError("mine: image 7 is truncated")

    bad = Bad(readers()[0].samples, ["p", "q"], "a")
    with pytest.raises(UserError, match=r"^mine: image 7 is truncated$"):
        run([bad, readers()[1]], workers=workers)


def test_an_id_outside_the_classes_is_named_with_dataset_and_file():
    sample = Sample(torch.zeros(3, 40, 40, dtype=torch.uint8), torch.full((40, 40), 9, dtype=torch.uint8), "img9")
    with pytest.raises(UserError, match=r"'a'.* 9 .*a/img9"):
        run([ListReader([sample], ["p", "q"], "a")])


def test_loading_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    run(mixing=BOTH)
    assert torch.equal(before, torch.get_rng_state())
