from pathlib import Path

import pytest
import torch
import yaml

import mdpseg.data.merge as module
from mdpseg.config import AugmentConfig
from mdpseg.data.draws import Draws
from mdpseg.data.loader import batches
from mdpseg.data.merge import merge_readers, read_mapping
from mdpseg.data.open import label_space_of
from mdpseg.data.readers import ade20k, voc
from mdpseg.data.readers.pairs import Sample
from mdpseg.data.share import MixingDraws
from mdpseg.errors import UserError
from tests.tiny import ListReader

TABLES = Path(module.__file__).parents[1] / "tables"
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def sources(count=6):
    """a: catch-all rest, p, q. b: p, r, catch-all other. No labels: web."""
    made = []
    for seed, (name, classes, catch_all) in enumerate(
        [("a", ["rest", "p", "q"], "rest"), ("b", ["p", "r", "other"], "other"), ("web", [], None)]
    ):
        source = torch.Generator().manual_seed(seed)
        ids = torch.tensor([*range(len(classes)), 255] if classes else [0], dtype=torch.uint8)
        samples = [
            Sample(
                torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8, generator=source),
                ids[torch.randint(0, len(ids), (40, 40), generator=source)],
                str(i),
            )
            for i in range(count)
        ]
        made.append(ListReader(samples, classes, name, catch_all))
    made[2].label_set = None
    return made


def write(folder, content):
    path = folder / "merge.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def merged(folder, content, catch_all_as="private"):
    readers = sources()
    return merge_readers(readers, read_mapping(write(folder, content), readers), catch_all_as)


def test_what_the_file_does_not_list_stays_alone_under_its_full_name(tmp_path):
    mapping = read_mapping(write(tmp_path, {"pp": ["a/p", "b/p"], "q": ["a/q"]}), sources())
    assert list(mapping.items()) == [
        ("pp", ["a/p", "b/p"]),
        ("q", ["a/q"]),
        ("a/rest", ["a/rest"]),
        ("b/r", ["b/r"]),
        ("b/other", ["b/other"]),
    ]


@pytest.mark.parametrize("catch_all_as", ["class", "private", "ignore"])
def test_masks_say_the_same_in_the_merged_classes(catch_all_as, tmp_path):
    content = {"pp": ["a/p", "b/p"], "rest": ["a/rest", "b/r"]}
    for before, after in zip(sources(), merged(tmp_path, content, catch_all_as), strict=True):
        assert after.name == before.name
        for i in range(len(before)):
            was, now = before[i], after[i]
            assert torch.equal(now.image, was.image)
            assert now.id == was.id
            assert now.mask.dtype == torch.uint8
            if before.label_set is None:
                assert after.label_set is None
                assert torch.equal(now.mask, was.mask)
                continue
            for old, new in zip(was.mask.flatten().tolist(), now.mask.flatten().tolist(), strict=True):
                if old == 255 or (catch_all_as == "ignore" and before.classes[old] == before.catch_all):
                    assert new == 255
                else:
                    full = f"{before.name}/{before.classes[old]}"
                    assert full in content.get(after.classes[new], [after.classes[new]])


def test_one_label_set_for_all_and_nobody_is_private(tmp_path):
    readers = merged(tmp_path, {"pp": ["a/p", "b/p"]})
    space = label_space_of(readers)
    assert space.datasets == ["merged"]
    assert space.names == ["merged/pp", "merged/a/rest", "merged/a/q", "merged/b/r", "merged/b/other"]
    assert not space.private_classes().any()
    assert space.denominator("own_dataset").all()


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_differ_in_their_targets_only(workers, tmp_path):
    """The same images, crops and mixing partners, of the same sources."""

    def made(readers):
        draws = Draws([len(reader) for reader in readers], 3)
        space, mixing = label_space_of(readers), MixingDraws("both")
        crop = AugmentConfig(crop=32)
        return space, list(
            batches(readers, space, draws, crop, start=0, end=4, batch_size=6, mixing=mixing, workers=workers)
        )

    content = {"pp": ["a/p", "b/p"], "rest": ["a/rest", "b/other"]}
    (before, plain), (after, hand) = made(sources()), made(merged(tmp_path, content))
    becomes = {f"{name}/{c}": f"{name}/{c}" for name in "ab" for c in ("rest", "p", "q", "r", "other")}
    becomes |= {full: name for name, members in content.items() for full in members}
    table = torch.tensor([after.names.index(f"merged/{becomes[name]}") for name in before.names] + [-2, -1])
    for one, two in zip(plain, hand, strict=True):
        for name in ("images", "datasets", "boxes", "region_partners", "lam", "pixel_partners"):
            assert torch.equal(getattr(one, name), getattr(two, name)), name
        assert one.names == two.names
        assert torch.equal(table[one.targets], two.targets)
    assert {int(target) for batch in hand for target in batch.targets.unique()} == {-2, -1, 0, 1, 2, 3}


@pytest.mark.parametrize("number", [254, 255])
def test_as_many_classes_as_8_bits_hold(number, tmp_path):
    samples = [Sample(torch.zeros(3, 1, number, dtype=torch.uint8), torch.arange(number, dtype=torch.uint8)[None], "0")]
    readers = [ListReader(samples, [f"c{i}" for i in range(number)], "a"), ListReader(samples, ["x"], "b")]
    content = {"last": ["b/x", "a/c0"]} | {f"{i}!": [f"a/c{i}"] for i in range(number - 1, 0, -1)}
    made = merge_readers(readers, read_mapping(write(tmp_path, content), readers), "class")
    assert made[0][0].mask[0].tolist() == [0, *range(number - 1, 0, -1)]
    assert label_space_of(made).encode(made[0][0].mask, "merged").max() == number - 1


def test_more_classes_than_8_bits_hold(tmp_path):
    readers = [ListReader([], [f"c{i}" for i in range(200)], name) for name in "ab"]
    with pytest.raises(UserError, match=r"merge\.yaml leaves 399 classes; .*255"):
        read_mapping(write(tmp_path, {"c": ["a/c0", "b/c0"]}), readers)


def test_one_class_more_than_8_bits_hold(tmp_path):
    readers = [ListReader([], [f"c{i}" for i in range(128)], name) for name in "ab"]
    with pytest.raises(UserError, match=r"merge\.yaml leaves 256 classes"):
        read_mapping(write(tmp_path, {"x": ["a/c0"]}), readers)


@pytest.mark.parametrize(
    "content, expected",
    [
        ("pp: [a/p", r"not valid YAML"),
        ("", r"holds None; expected `merged name"),
        ("{}", r"holds \{\}; expected"),
        ("- a/p", r"holds \['a/p'\]; expected"),
        ("pp: a/p", r"'pp' is 'a/p'; expected"),
        ("pp: [a/p, 3]", r"'pp' is \['a/p', 3\]; expected"),
        ("pp:", r"'pp' is None; expected"),
        ("pp: []", r"'pp' lists no class"),
        ("no: [a/p]", r"False is no name .* quotes"),
        ("a/q: [a/p]", r"'a/q' is no name .*slash"),
        ("' ': [a/p]", r"' ' is no name"),
        ("pp: [a/p, b/pe]", r"'pp' lists 'b/pe', .*did you mean 'b/p'\?"),
        ("pp: [c/rest]", r"'pp' lists 'c/rest', .*did you mean 'a/rest'\?"),
        ("pp: [zzz]", r"'pp' lists 'zzz', .*did you mean '[ab]/\w+'\?"),
        ("pp: [a/p, b/p]\nx: [b/r, a/p]", r"lists 'a/p' twice \(in 'pp' and in 'x'\)"),
        ("pp: [a/p, a/p]", r"lists 'a/p' twice"),
        ("pp: [a/p]\npp: [b/p]", r"has 'pp' twice"),
    ],
)
def test_what_is_wrong_with_a_mapping(content, expected, tmp_path):
    with pytest.raises(UserError, match=r"merge file .*merge\.yaml.*" + expected) as error:
        read_mapping(write(tmp_path, content), sources())
    assert "\n" not in str(error.value)


def test_a_mapping_that_is_not_there(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UserError, match=f"merge file {path} cannot be read"):
            read_mapping(path, sources())


def test_the_shipped_mapping_of_the_paper_s_pair():
    readers = [ListReader([], voc.NAMES, "voc", "background"), ListReader([], ade20k.NAMES, "ade20k")]
    mapping = read_mapping(TABLES / "merge-paper.yaml", readers)
    assert len(mapping) == 153
    assert sum(len(members) for members in mapping.values()) == 171
    assert {"voc/background", "voc/train", "ade20k/animal", "ade20k/wall"} <= set(mapping)


def test_the_shipped_mapping_of_the_small_pair():
    readers = [ListReader([], voc.NAMES, "voc", "background")]
    for name in ("msrc", "camvid"):
        if not (DATA / name).is_dir():
            pytest.skip(f"no data of {name} beside the repository (../shared/data)")
        readers.append(ListReader([], (DATA / name / "classes.txt").read_text().split("\n")[:-1], name))
    mapping = read_mapping(TABLES / "merge-small.yaml", readers)
    assert len(mapping) == 35
    assert mapping["person"] == ["voc/person", "msrc/face", "msrc/body", "camvid/pedestrian"]
    assert {"voc/background", "voc/bus", "msrc/grass", "camvid/bicyclist"} <= set(mapping)
    in_two = [name for name in readers[0].classes if name in readers[1].classes]
    assert {name: [f"voc/{name}", f"msrc/{name}"] for name in in_two if name != "car"}.items() <= mapping.items()
