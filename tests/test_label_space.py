import json

import pytest
import torch

from mdpseg import LabelSpace, UserError
from mdpseg.label_space import UNLABELLED, unlabelled_targets

CLASSES = {"voc": ["background", "cat", "person"], "ade20k": ["wall", "person"], "msrc": ["cow", "void-like", "sky"]}
CATCH_ALLS = {"voc": "background", "msrc": "void-like"}


def space(catch_all_as="private", catch_alls=CATCH_ALLS):
    return LabelSpace.concatenate(CLASSES, catch_alls=catch_alls, catch_all_as=catch_all_as)


def test_order_and_offsets():
    it = space()
    assert it.datasets == ["voc", "ade20k", "msrc"]
    assert it.names == [
        "voc/background",
        "voc/cat",
        "voc/person",
        "ade20k/wall",
        "ade20k/person",
        "msrc/cow",
        "msrc/void-like",
        "msrc/sky",
    ]
    assert it.num_classes == len(it) == 8
    assert [it.offset(d) for d in it.datasets] == [0, 3, 5]
    assert [it.classes_of(d) for d in it.datasets] == [range(0, 3), range(3, 5), range(5, 8)]
    assert it.class_names("ade20k") == ["wall", "person"]
    assert it.dataset_of_class().tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_the_order_given_is_kept():
    turned = LabelSpace.concatenate({d: CLASSES[d] for d in ("msrc", "ade20k", "voc")})
    assert turned.datasets == ["msrc", "ade20k", "voc"]
    assert turned.names[0] == "msrc/cow"
    assert turned.offset("voc") == 5
    assert turned != space()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.uint16, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("dataset", CLASSES)
def test_encode_every_class(dataset, dtype):
    local = torch.arange(len(CLASSES[dataset])).to(dtype)
    encoded = space("class").encode(local.view(1, -1), dataset=dataset)
    assert encoded.dtype == torch.int64
    assert encoded.tolist() == [list(space().classes_of(dataset))]


def test_ignored_is_minus_one_and_class_0_is_kept():
    mask = torch.tensor([[0, 255], [1, 255]], dtype=torch.uint8)
    assert space().encode(mask, "voc").tolist() == [[0, -1], [1, -1]]
    assert space().encode(mask, "ade20k").tolist() == [[3, -1], [4, -1]]
    assert mask.tolist() == [[0, 255], [1, 255]]


@pytest.mark.parametrize("ignore_index, expected", [(1, [5, -1, 7]), (0, [-1, 6, 7]), (200, [5, 6, 7])])
def test_another_ignore_index(ignore_index, expected):
    mask = torch.tensor([0, 1, 2], dtype=torch.uint8)
    assert space().encode(mask, "msrc", ignore_index=ignore_index).tolist() == expected
    ignored = torch.tensor([ignore_index], dtype=torch.uint8)
    assert space().encode(ignored, "msrc", ignore_index=ignore_index).tolist() == [-1]


@pytest.mark.parametrize("ignore_index", [-1, -100, 256, 65535])
def test_an_ignore_index_that_8_bits_do_not_hold(ignore_index):
    assert space().encode(torch.tensor([0, ignore_index, 1]), "msrc", ignore_index=ignore_index).tolist() == [5, -1, 6]
    with pytest.raises(UserError, match="mask id 300"):
        space().encode(torch.tensor([300, ignore_index]), "msrc", ignore_index=ignore_index)
    with pytest.raises(UserError, match="mask id 255"):
        space().encode(torch.tensor([255], dtype=torch.uint8), "msrc", ignore_index=ignore_index)


def test_ignore_indices_do_not_mix():
    it = space()
    it.encode(torch.tensor([1]), "msrc", ignore_index=1)
    assert it.encode(torch.tensor([1, 255]), "msrc").tolist() == [6, -1]
    with pytest.raises(UserError, match="255"):
        it.encode(torch.tensor([255]), "msrc", ignore_index=1)


@pytest.mark.parametrize(
    "catch_all_as, voc, private",
    [("class", [0, 1, 2], []), ("ignore", [-1, 1, 2], []), ("private", [0, 1, 2], [0, 6])],
)
def test_catch_all(catch_all_as, voc, private):
    it = space(catch_all_as)
    mask = torch.tensor([0, 1, 2], dtype=torch.uint8)
    assert it.encode(mask, "voc").tolist() == voc
    assert it.encode(mask[:2], "ade20k").tolist() == [3, 4]  # it has none
    assert it.private_classes().nonzero()[:, 0].tolist() == private
    assert it.num_classes == 8


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize("bad", [3, 17, 254])
def test_an_id_outside_names_dataset_file_and_id(bad, dtype):
    with pytest.raises(ValueError, match=rf"'voc'.*\b{bad}\b.*SegmentationClass/7\.png") as error:
        space().encode(torch.tensor([0, bad, 255, 2]).to(dtype), "voc", file="SegmentationClass/7.png")
    assert isinstance(error.value, UserError)
    assert "0..2" in str(error.value)


@pytest.mark.parametrize("bad", [-1, -3, 256, 300, 70000])
def test_an_id_outside_8_bits(bad):
    """A table of 256 entries must not be indexed from its end, nor the id wrapped around."""
    with pytest.raises(UserError, match=rf"'ade20k'.* {bad}\b"):
        space().encode(torch.tensor([0, bad]), "ade20k")


def test_only_the_ids_outside_are_named():
    with pytest.raises(UserError, match="mask id 9, 11 is outside"):
        space().encode(torch.tensor([0, 1, 2, 11, 9, 11, 255]), "voc")


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_an_empty_mask(shape):
    encoded = space().encode(torch.zeros(shape, dtype=torch.uint8), "voc")
    assert encoded.shape == shape
    assert encoded.dtype == torch.int64


def test_255_classes_fill_the_table():
    it = LabelSpace.concatenate({"a": ["x"], "full": [str(i) for i in range(255)]})
    mask = torch.arange(256).to(torch.uint8)
    assert it.encode(mask, "full").tolist() == [*range(1, 256), -1]


def test_ids_that_16_bits_do_not_hold():
    it = LabelSpace.concatenate({f"d{n}": [str(i) for i in range(255)] for n in range(130)})
    mask = torch.tensor([0, 127, 254, 255], dtype=torch.uint8)
    for dataset in ("d127", "d128", "d129"):  # 2 ** 15 lies in d128
        first = it.offset(dataset)
        assert it.encode(mask, dataset).tolist() == [first, first + 127, first + 254, -1]


def denominator_by_hand(it, kind):
    rows = []
    for c in it.names:
        row = []
        for j in it.names:
            own = c.split("/")[0] == j.split("/")[0]
            is_private = it.catch_all_as == "private" and it.catch_alls.get(j.split("/")[0]) == j.split("/")[1]
            row.append(own if kind == "own_dataset" else own or not is_private)
        rows.append(row)
    return rows


@pytest.mark.parametrize("catch_all_as", ["class", "ignore", "private"])
@pytest.mark.parametrize("kind", ["all", "own_dataset", "no_lookalikes"])
def test_denominator(kind, catch_all_as):
    it = space(catch_all_as)
    denominator = it.denominator(kind)
    assert denominator.dtype == torch.bool
    assert denominator.tolist() == denominator_by_hand(it, kind)
    assert denominator.diagonal().all()


def test_a_private_class_is_a_negative_at_home_only():
    denominator = space("private").denominator("all")
    assert denominator[:, 0].tolist() == [True] * 3 + [False] * 5
    assert denominator[0, :].tolist() == [True] * 6 + [False, True]


@pytest.mark.parametrize("catch_all_as", ["class", "ignore", "private"])
def test_json_round_trip(catch_all_as):
    it = LabelSpace.concatenate({"zoo": ["Löwe", "b"], "a": ["c"]}, catch_alls={"zoo": "b"}, catch_all_as=catch_all_as)
    again = LabelSpace.from_json(it.to_json())
    assert again == it
    assert hash(again) == hash(it)
    assert again.names == it.names == ["zoo/Löwe", "zoo/b", "a/c"]
    assert (again.catch_alls, again.catch_all_as) == ({"zoo": "b"}, catch_all_as)
    assert torch.equal(again.denominator(), it.denominator())
    assert "\n" not in it.to_json()
    assert json.loads(it.to_json())["classes"]["zoo"] == ["Löwe", "b"]


def test_equality_sees_the_catch_alls():
    assert len({space("class"), space("private"), space("private", {}), space("private")}) == 3
    assert space() != "voc"


@pytest.mark.parametrize(
    "classes, settings, message",
    [
        ({}, {}, "at least one dataset"),
        ({"voc": []}, {}, "'voc' has no classes"),
        ({"voc": "person"}, {}, "'voc' has the text 'person' for its classes; expected a list"),
        ({"voc": ["cat", "dog", "cat"]}, {}, "'voc'.*'cat' more than once"),
        ({"big": [str(i) for i in range(256)]}, {}, "'big' has 256 classes"),
        ({"voc": ["cat"]}, {"catch_alls": {"voc": "background"}}, "'background'.*'voc'"),
        ({"voc": ["cat"]}, {"catch_alls": {"coco": "cat"}}, "'cat'.*'coco'"),
        ({"voc": ["cat"]}, {"catch_all_as": "negative"}, "'negative'"),
    ],
)
def test_bad_label_spaces(classes, settings, message):
    with pytest.raises(UserError, match=message):
        LabelSpace.concatenate(classes, **settings)


@pytest.mark.parametrize(
    "ask", [lambda s: s.offset("x"), lambda s: s.classes_of("x"), lambda s: s.encode(torch.tensor([0]), "x")]
)
def test_an_unknown_dataset(ask):
    with pytest.raises(UserError, match=r"'x'.*voc, ade20k, msrc"):
        ask(space())


def test_the_targets_of_an_image_without_labels():
    mask = torch.tensor([[0, 255], [3, 0]], dtype=torch.uint8)
    targets = unlabelled_targets(mask)
    assert targets.dtype == torch.int64
    assert targets.tolist() == [[UNLABELLED, -1], [UNLABELLED, UNLABELLED]]
    assert UNLABELLED not in (*range(8), -1)


def test_an_id_outside_the_classes_is_never_taken_for_an_unlabelled_pixel():
    table = torch.arange(256).to(torch.uint8)
    for value in table[3:255]:
        with pytest.raises(UserError):
            space().encode(value, "voc")


def test_a_mask_full_of_wrong_ids_is_told_by_five_of_them():
    with pytest.raises(UserError, match="mask id 100, 101, 102, 103, 104 is outside"):
        space().encode(torch.arange(100, 200), "voc")


def test_ids_go_into_the_tensor_that_is_given():
    out = torch.full((2, 3), 9)
    encoded = space().encode(torch.tensor([[0, 255, 1], [1, 1, 0]], dtype=torch.uint8), "ade20k", out=out)
    assert encoded is out
    assert out.tolist() == [[3, -1, 4], [4, 4, 3]]


def test_what_was_given_or_taken_out_may_change_and_the_space_stays():
    classes, catch_alls = {"a": ["x", "y"]}, {"a": "x"}
    it = LabelSpace.concatenate(classes, catch_alls=catch_alls)
    before = it.to_json()
    classes["a"].append("z")
    it.class_names("a").append("z")
    catch_alls.clear()
    assert it.to_json() == before
