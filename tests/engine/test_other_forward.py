import pytest
import torch
from torch import nn

from mdpseg.engine.other_forward import other_forward, other_forwards

ONE = torch.ones(1)


def test_a_layer_does_something_else_for_a_while():
    layer = nn.Identity()
    with other_forward(layer, lambda maps: maps + 1):
        assert layer(ONE) == 2
        with other_forward(layer, lambda maps: maps + 2):
            assert layer(ONE) == 3
        assert layer(ONE) == 2
    assert layer(ONE) == 1
    assert "forward" not in vars(layer)


def test_each_layer_knows_itself():
    layers = [nn.Conv2d(1, width, 1) for width in (1, 2, 3)]
    with other_forwards(layers, lambda layer, maps: maps * layer.out_channels):
        assert [int(layer(ONE)) for layer in layers] == [1, 2, 3]
    assert not any("forward" in vars(layer) for layer in layers)


def test_an_error_undoes_it():
    layers = [nn.Identity(), nn.Identity()]
    with pytest.raises(KeyError), other_forwards(layers, lambda layer, maps: maps + 1):
        raise KeyError
    assert [int(layer(ONE)) for layer in layers] == [1, 1]
