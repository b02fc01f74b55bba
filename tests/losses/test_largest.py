import pytest
import torch

from mdpseg.losses.largest import largest


@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("columns", [40, 1023, 1024, 1087, 5000])
def test_equals_topk(columns, k):
    rows = torch.randperm(7 * columns, generator=torch.Generator().manual_seed(columns)).view(7, columns).float()
    values, indices = largest(rows, k)
    expected = rows.topk(k, dim=1)
    assert torch.equal(values, expected.values)
    assert torch.equal(indices, expected.indices)


def test_equals_topk_where_the_largest_lie_side_by_side_or_at_the_end():
    rows = torch.zeros(2, 1100)
    rows[0, 70:73] = torch.tensor([1.0, 3.0, 2.0])
    rows[1, 1097:] = torch.tensor([1.0, 3.0, 2.0])
    values, indices = largest(rows, 3)
    assert values.tolist() == [[3, 2, 1]] * 2
    assert indices.tolist() == [[71, 72, 70], [1098, 1099, 1097]]


def test_equal_values_come_once_each():
    values, indices = largest(torch.full((3, 2000), -1e30), 3)
    assert (values == -1e30).all()
    assert all(len(set(row)) == 3 for row in indices.tolist())
