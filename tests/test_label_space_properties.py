"""What holds for any label space."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace

names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)
label_sets = st.dictionaries(
    names.filter(lambda name: "/" not in name),
    st.lists(names, min_size=1, max_size=12, unique=True),
    min_size=1,
    max_size=4,
)
kinds = st.sampled_from(["class", "ignore", "private"])


@st.composite
def spaces(draw):
    classes = draw(label_sets)
    with_catch_all = draw(st.sets(st.sampled_from(sorted(classes))))
    catch_alls = {name: draw(st.sampled_from(classes[name])) for name in sorted(with_catch_all)}
    return LabelSpace.concatenate(classes, catch_alls=catch_alls, catch_all_as=draw(kinds)), classes


@given(spaces())
def test_classes_lie_end_to_end(drawn):
    space, classes = drawn
    assert space.datasets == list(classes)
    assert space.num_classes == sum(map(len, classes.values())) == len(space)
    ids = [i for dataset in classes for i in space.classes_of(dataset)]
    assert ids == list(range(space.num_classes))
    for dataset, own in classes.items():
        assert space.class_names(dataset) == own
        assert [space.names[i] for i in space.classes_of(dataset)] == [f"{dataset}/{name}" for name in own]
    assert LabelSpace.from_json(space.to_json()) == space


@given(spaces(), st.data())
def test_encoding_is_an_offset_or_a_refusal(drawn, data):
    space, classes = drawn
    dataset = data.draw(st.sampled_from(list(classes)))
    count = len(classes[dataset])
    mask = torch.tensor(
        data.draw(st.lists(st.one_of(st.integers(0, count - 1), st.just(255)), min_size=1, max_size=20))
    )
    encoded = space.encode(mask.to(torch.uint8), dataset)
    left_out = space.catch_alls.get(dataset) if space.catch_all_as == "ignore" else None
    for local, code in zip(mask.tolist(), encoded.tolist(), strict=True):
        ignored = local == 255 or classes[dataset][local] == left_out
        assert code == (-1 if ignored else space.offset(dataset) + local)
    assert torch.equal(encoded, space.encode(mask, dataset))  # whatever the integer type
    wrong = data.draw(st.one_of(st.integers(count, 254), st.integers(256, 2**40), st.integers(-(2**40), -1)))
    with pytest.raises(UserError, match=str(wrong)):
        space.encode(torch.tensor([0, wrong]), dataset)


@given(spaces())
def test_denominators(drawn):
    space, _ = drawn
    every, own = space.denominator("all"), space.denominator("own_dataset")
    dataset = space.dataset_of_class()
    assert bool(every.diagonal().all())
    assert torch.equal(own, dataset[:, None] == dataset[None])
    assert bool((every | ~own).all())  # own classes always count
    others = ~own & ~every
    assert torch.equal(others, ~own & space.private_classes()[None].expand_as(own))


@given(st.one_of(st.text(max_size=3), st.integers(), st.none(), st.just("a\x1b[2J"), st.just("a\u202eb")))
def test_a_class_is_a_printable_name_or_refused(name):
    if isinstance(name, str) and name.strip() and name.isprintable():
        assert LabelSpace({"d": [name]}).names == [f"d/{name}"]
    else:
        with pytest.raises(UserError) as error:
            LabelSpace({"d": [name]})
        assert str(error.value).isprintable()


@given(st.one_of(st.text(max_size=3), st.integers(), st.none(), st.sampled_from(["\x1b[31mred\x1b]0;x\x07", "x/y"])))
def test_a_dataset_is_a_printable_name_without_a_slash_or_refused(name):
    if isinstance(name, str) and name.strip() and name.isprintable() and "/" not in name:
        assert LabelSpace({name: ["c"]}).names == [f"{name}/c"]
    else:
        with pytest.raises(UserError, match="expected a name in plain text") as error:
            LabelSpace({name: ["c"]})
        assert str(error.value).isprintable()
