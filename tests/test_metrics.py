import math

import numpy as np
import pytest
import torch

from mdpseg.metrics import ConfusionMatrix

from .losses.reference import integers

K = 5


def iou_by_hand(prediction, target, num_classes, ignore_index=255):
    prediction, target = prediction.numpy().ravel(), target.numpy().ravel()
    result = np.full(num_classes, np.nan)
    for c in range(num_classes):
        intersection = union = occurs = 0
        for p, t in zip(prediction.tolist(), target.tolist(), strict=True):
            if t in (ignore_index, -1):
                continue
            occurs += t == c
            intersection += t == c and p == c
            union += t == c or p == c
        if occurs:
            result[c] = intersection / union
    return result


def maps(name):
    prediction, target = integers(0, K, (2, 7, 9), seed=1), integers(0, K, (2, 7, 9), seed=2)
    if name == "mostly right":
        prediction = torch.where(integers(0, 4, (2, 7, 9), seed=3) > 0, target, prediction)
    elif name == "some ignored":
        target[integers(0, 3, (2, 7, 9), seed=3) == 0] = 255
        target[0, 0, :3] = -1
    elif name == "a class absent from the targets":
        target[target == 3] = 0
        assert 3 in prediction
    elif name == "one class":
        target[:] = prediction[:] = 0
    elif name == "all wrong":
        target[:], prediction[:] = 0, 1
    return prediction, target


NAMES = [
    "random",
    "mostly right",
    "some ignored",
    "a class absent from the targets",
    "one class",
    "all wrong",
]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize("name", NAMES)
def test_iou(name, dtype):
    prediction, target = maps(name)
    if dtype == torch.uint8:
        target[target == -1] = 255
    matrix = ConfusionMatrix(K).update(prediction.to(dtype), target.to(dtype))
    expected = iou_by_hand(prediction, target, K)
    assert matrix.iou().dtype == torch.float64
    np.testing.assert_allclose(matrix.iou().numpy(), expected, rtol=1e-12)
    assert matrix.mean_iou() == pytest.approx(np.nanmean(expected))
    counted = (target >= 0) & (target != 255)
    assert matrix.pixel_accuracy() == pytest.approx((prediction == target)[counted].double().mean().item())
    assert matrix.counts.sum() == counted.sum()


def test_rows_are_targets():
    matrix = ConfusionMatrix(3).update(prediction=torch.tensor([1, 1, 2]), target=torch.tensor([0, 0, 2]))
    assert matrix.counts.tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_a_class_that_is_only_predicted_does_not_enter_the_mean():
    matrix = ConfusionMatrix(4).update(torch.tensor([0, 0, 3, 1]), torch.tensor([0, 0, 0, 1]))
    assert matrix.iou().isnan().tolist() == [False, False, True, True]
    assert matrix.mean_iou() == pytest.approx((2 / 3 + 1) / 2)


def test_class_0_counts():
    matrix = ConfusionMatrix(2).update(torch.tensor([1, 1, 1]), torch.tensor([0, 0, 1]))
    assert matrix.iou().tolist() == pytest.approx([0, 1 / 3])


@pytest.mark.parametrize("ignore_index", [255, 0, 7, -100])
def test_ignore_index(ignore_index):
    target = torch.tensor([1, 2, ignore_index, 1])
    matrix = ConfusionMatrix(3).update(torch.tensor([1, 1, 2, 1]), target, ignore_index=ignore_index)
    assert matrix.counts.sum() == 3
    np.testing.assert_allclose(matrix.iou().numpy(), [np.nan, 2 / 3, 0])


def test_what_is_predicted_on_ignored_pixels_does_not_matter():
    matrix = ConfusionMatrix(2).update(torch.tensor([0, 200, -5]), torch.tensor([0, 255, 255]))
    assert matrix.counts.tolist() == [[1, 0], [0, 0]]


def test_images_add_up():
    prediction, target = maps("some ignored")
    whole = ConfusionMatrix(K).update(prediction, target)
    parts = ConfusionMatrix(K)
    assert parts.update(prediction[0], target[0]).update(prediction[1], target[1]) is parts
    assert torch.equal(parts.counts, whole.counts)


@pytest.mark.parametrize("target", [None, torch.zeros(0, 4), torch.full((3, 4), 255), torch.full((3, 4), -1)])
def test_nothing_counted_is_nan(target):
    matrix = ConfusionMatrix(K)
    if target is not None:
        matrix.update(torch.zeros(target.shape, dtype=torch.int64), target.long())
    assert matrix.iou().isnan().all()
    assert math.isnan(matrix.mean_iou())
    assert math.isnan(matrix.pixel_accuracy())


@pytest.mark.parametrize("shape", [(4, 3), (12,), (1, 3, 4)])
def test_shapes_that_differ(shape):
    matrix = ConfusionMatrix(K)
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        matrix.update(torch.zeros(shape, dtype=torch.int64), torch.zeros(3, 4, dtype=torch.int64))
    assert matrix.counts.sum() == 0


@pytest.mark.parametrize(
    "prediction, target, message",
    [
        ([0, 5], [0, 1], "prediction holds id 5"),
        ([0, 1], [0, 5], "target holds id 5"),
        ([-1, 3], [0, 1], "prediction holds id -1"),
    ],
)
def test_ids_outside_the_classes(prediction, target, message):
    """A wrong id must not be counted as another pair, and it is the wrong one that is named."""
    matrix = ConfusionMatrix(K)
    with pytest.raises(ValueError, match=message):
        matrix.update(torch.tensor(prediction), torch.tensor(target))
    assert matrix.counts.sum() == 0


@pytest.mark.parametrize("dtype", [torch.uint16, torch.int16])
def test_targets_of_16_bits(dtype):
    matrix = ConfusionMatrix(2).update(torch.tensor([0, 1]), torch.tensor([1, 255]).to(dtype))
    assert matrix.counts.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("prediction, target, named", [([0.9], [0], "prediction"), ([0], [0.5], "target")])
def test_ids_that_are_no_integers_are_refused(prediction, target, named):
    with pytest.raises(ValueError, match=f"{named} has dtype torch.float32; expected integer class ids"):
        ConfusionMatrix(2).update(torch.tensor(prediction), torch.tensor(target))


def test_no_classes():
    with pytest.raises(ValueError, match="num_classes is 0"):
        ConfusionMatrix(0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_ids_just_outside_the_classes_are_refused_and_not_taken_for_ignored(dtype):
    inside = torch.zeros(4, dtype=dtype)
    for prediction, target, name in ((inside, inside + K, "target"), (inside + K, inside, "prediction")):
        with pytest.raises(ValueError, match=rf"{name} holds id {K}; expected 0..{K - 1}"):
            ConfusionMatrix(K).update(prediction, target)


def test_whatever_is_predicted_where_the_target_is_ignored():
    counts = ConfusionMatrix(K).update(torch.tensor([0, 200, 7]), torch.tensor([0, 255, -1])).counts
    assert int(counts.sum()) == int(counts[0, 0]) == 1


def test_what_was_given_is_not_changed_and_nothing_adds_nothing():
    prediction, target = torch.tensor([1, 2, 3]), torch.tensor([1, 255, 0])
    ConfusionMatrix(K).update(prediction, target)
    assert (prediction.tolist(), target.tolist()) == ([1, 2, 3], [1, 255, 0])
    assert int(ConfusionMatrix(K).update(torch.zeros(0), torch.zeros(0)).counts.sum()) == 0
