import numpy as np
import pytest

from mdpseg.atlas.projection import dendrogram, distances, neighbours_kept, scale_to_plane


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_what_lies_in_a_plane_comes_out_as_it_was(count):
    rng = np.random.default_rng(count)
    flat = rng.normal(size=(count, 2))
    turned = flat @ np.linalg.qr(rng.normal(size=(8, 2)))[0].T  # [count, 8]
    points = scale_to_plane(turned)
    assert np.allclose(distances(points), distances(flat), atol=1e-3)
    assert neighbours_kept(turned, points) == pytest.approx(1)


def test_equal_vectors_do_no_harm():
    points = scale_to_plane(np.ones((5, 3)))
    assert np.isfinite(points).all()


def test_dendrogram_joins_the_nearest_first():
    at = np.array([0.0, 10, 1, 11, 30])
    order, knots = dendrogram(abs(at[:, None] - at[None]))
    assert [knot.height for knot in knots] == [1, 1, 10, pytest.approx(24.5)]
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert {order.index(0) - order.index(2), order.index(1) - order.index(3)} <= {-1, 1}
    assert dendrogram(np.zeros((1, 1))) == ([0], [])
