import pytest
import torch

from mdpseg.losses import products
from mdpseg.losses.products import STEP, columns_by_columns, pieces, rows_by_columns, rows_by_rows

from .reference import unit

CPU = torch.device("cpu")


@pytest.fixture(params=["oneDNN", "torch"])
def way(request, monkeypatch):
    """Products of any size take the one way or the other."""
    if request.param == "torch":
        monkeypatch.setattr(products, "_is_large", lambda pixels, columns: False)
    else:
        monkeypatch.setattr(products, "_LEAST_WORK", 1)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")


@pytest.mark.parametrize("count", [STEP, 2 * STEP, 3, 0])
@pytest.mark.parametrize("rows, dim", [(1, 1), (21, 128), (171, 65), (342, 16)])
def test_products(way, rows, dim, count):
    pixels, others, slope = unit(count, dim, seed=1), unit(rows, dim, seed=2), unit(count, rows, seed=3)
    for made, left, right in (
        (rows_by_rows(pixels, others), pixels, others.T),
        (rows_by_columns(slope, others), slope, others),
        (columns_by_columns(slope, pixels), slope.T, pixels),
    ):
        assert made.shape == (len(left), right.shape[1])
        assert made.dtype == torch.float32
        assert torch.allclose(made.double(), left.double() @ right.double(), rtol=1e-5, atol=1e-5)


def test_large_products_are_convolutions(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    pixels, others = unit(STEP, 128, seed=1), unit(342, 128, seed=2)
    expected = pixels @ others.T
    called = []
    plain = products.F.conv2d
    monkeypatch.setattr(products.F, "conv2d", lambda *a, **more: called.append(1) or plain(*a, **more))
    assert torch.allclose(rows_by_rows(pixels, others), expected, atol=1e-5)
    assert called
    called.clear()
    rows_by_rows(pixels[:-1], others)  # no multiple of STEP
    rows_by_rows(pixels, others[:100])  # little work
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    rows_by_rows(pixels, others)
    monkeypatch.undo()
    monkeypatch.setattr(products.F, "conv2d", lambda *a, **more: called.append(1) or plain(*a, **more))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    rows_by_rows(pixels, others)
    assert not called


def test_torch_writes_into_the_room_that_is_given(monkeypatch):
    monkeypatch.setattr(products, "_is_large", lambda pixels, columns: False)
    pixels, others, room = unit(STEP, 128, seed=1), unit(342, 128, seed=2), torch.empty(STEP, 342)
    assert rows_by_rows(pixels, others, room).data_ptr() == room.data_ptr()
    assert torch.equal(room, pixels @ others.T)
    assert rows_by_columns(room, others, pixels).data_ptr() == pixels.data_ptr()


def test_a_view_of_other_strides_is_multiplied_too(way):
    wide = unit(342, STEP, seed=1)
    pixels, others = wide.T, unit(128, 2 * 342, seed=2)[:, ::2]
    assert torch.allclose(rows_by_rows(pixels, others), pixels @ others.T, atol=1e-5)
    assert torch.allclose(columns_by_columns(pixels, unit(STEP, 9, seed=3)), wide @ unit(STEP, 9, seed=3), atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("at_once", [1, 31, 32, 49, 511, 512, 513, 4096])
@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 5000])
def test_pieces_cover_all_and_are_of_few_sizes(count, at_once, device):
    sizes = pieces(count, at_once, torch.device(device))
    assert sum(sizes) == count
    most = at_once if device == "cuda" else max(at_once, min(512, 16 * at_once)) + STEP // 2
    assert all(0 < size <= most for size in sizes)
    if device == "cuda":
        assert all(size == at_once for size in sizes[:-1])
    elif at_once >= 32:
        assert sum(size % STEP > 0 for size in sizes) <= 1


def test_pieces_by_hand():
    assert pieces(5000, 4096, CPU) == [4096, 768, 136]
    assert pieces(3080, 3066, CPU) == [3072, 8]
    assert pieces(1100, 49, CPU) == [512, 512, 76]
    assert pieces(100, 2, CPU) == [32, 32, 32, 4]
    assert pieces(100, 40, torch.device("cuda")) == [40, 40, 20]
