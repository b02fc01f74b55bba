import torch
import torch.nn.functional as F

from mdpseg.tables.live_bytes import LiveBytes

MIB = 2**20


def ones(mib):
    return torch.ones(mib, MIB // 4)


def test_results_count_while_they_are_held():
    with LiveBytes() as live:
        a = ones(2)
        b = ones(3)
        assert live.now == 5 * MIB
        del a
        assert live.now == 3 * MIB
        c = b + 1
        assert live.now == live.peak == 6 * MIB
    assert b.shape == c.shape


def test_views_and_in_place_results_count_once():
    with LiveBytes() as live:
        a = ones(1)
        b = a.flatten()[: MIB // 8].view(2, -1)
        b.mul_(2)
    assert live.now == live.peak == MIB


def test_what_was_there_before_does_not_count():
    before = ones(1)
    with LiveBytes() as live:
        before.add_(1)
        view = before[0]
    assert live.peak == 0
    assert view.sum() == 2 * MIB // 4


def test_the_backward_pass_keeps_what_it_needs():
    """Of relu(conv(x)) at 1 MiB a map: the result, which the ReLU needs; the convolution needs its input only."""
    image = torch.rand(1, 4, 256, 256, requires_grad=True)  # 1 MiB
    weight = torch.rand(4, 4, 1, 1, requires_grad=True)
    with LiveBytes() as live:
        result = F.relu(F.conv2d(image, weight))
        assert live.now == MIB
        assert live.peak == 2 * MIB
        result.sum().backward()
    assert live.peak >= 3 * MIB
