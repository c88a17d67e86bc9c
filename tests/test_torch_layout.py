"""Outputs have their channels last, whatever the layers around them do."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_models import read_all

from layerviz_callbacks.torch.layout import Layout, LayoutTracker, input_axes, move_channels_last


def shapes(model, probe):
    return {layer.name: layer.output_shape for layer in read_all(model, probe)}


def test_an_activation_after_a_convolution_has_its_channels_moved():
    model = nn.Sequential(nn.Conv1d(2, 5, 3), nn.ReLU(), nn.MaxPool1d(2))
    assert list(shapes(model, np.zeros((3, 2, 10))).values()) == [(3, 8, 5), (3, 8, 5), (3, 4, 5)]


def test_an_activation_after_a_linear_is_channel_last_already():
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.LayerNorm(6))
    assert list(shapes(model, np.zeros((3, 7, 4))).values()) == [(3, 7, 6)] * 3


def test_an_activation_between_linear_layers_on_maps_is_channel_last():
    model = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 8), nn.GELU())
    assert list(shapes(model, np.zeros((2, 5, 6, 4))).values())[-1] == (2, 5, 6, 8)


def test_an_activation_before_every_layer_of_fixed_layout_is_channel_first():
    model = nn.Sequential(nn.Identity(), nn.Conv1d(2, 5, 3))
    assert shapes(model, np.zeros((3, 2, 10)))["0"] == (3, 10, 2)


def test_four_axes_after_a_linear_on_vectors_are_channel_first():
    model = nn.Sequential(nn.Linear(4, 2 * 3 * 5), nn.Unflatten(1, (2, 3, 5)))
    assert shapes(model, np.zeros((1, 4)))["1"] == (1, 3, 5, 2)


def test_a_block_that_ends_in_a_linear_but_returns_maps_channel_first_is_recognised():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
            self.norm = nn.LayerNorm(6)
            self.wide = nn.Linear(6, 12)
            self.act = nn.GELU()
            self.narrow = nn.Linear(12, 6)

        def forward(self, x):
            y = self.depthwise(x).permute(0, 2, 3, 1)
            return x + self.narrow(self.act(self.wide(self.norm(y)))).permute(0, 3, 1, 2)

    found = shapes(nn.Sequential(Block()), np.zeros((2, 6, 8, 9)))
    assert found["0"] == (2, 8, 9, 6)
    assert found["0.act"] == (2, 8, 9, 12)


def test_recurrent_layers_bring_their_samples_to_the_front():
    class Recurrent(nn.Module):
        def __init__(self, batch_first):
            super().__init__()
            self.lstm = nn.LSTM(3, 5, num_layers=2, batch_first=batch_first)
            self.head = nn.Linear(5, 2)
            self.batch_first = batch_first

        def forward(self, x):
            x = x if self.batch_first else x.transpose(0, 1)
            return self.head(self.lstm(x)[0])

    for batch_first in (True, False):
        found = shapes(Recurrent(batch_first), np.zeros((4, 7, 3)))
        assert found["lstm"] == (4, 7, 5)
        assert found["lstm.1.0"] == (4, 2, 5)  # last state: (sample, layer, channel)
        assert found["head"] == (4, 7, 2)


def test_the_values_are_moved_with_the_shape():
    conv = nn.Conv2d(1, 3, 2)
    x = torch.rand(2, 1, 4, 5)
    output = read_all(nn.Sequential(conv), x)["0"].output
    assert output.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(output, conv(x).detach().permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize(
    ("rank", "first", "first_rank", "axes"),
    [
        (4, Layout.CHANNEL_FIRST, 4, (0, 2, 3, 1)),
        (3, Layout.CHANNEL_FIRST, 3, (0, 2, 1)),
        (5, Layout.CHANNEL_FIRST, 5, (0, 2, 3, 4, 1)),
        (3, Layout.CHANNEL_LAST, 3, (0, 1, 2)),
        (4, Layout.CHANNEL_LAST, 4, (0, 1, 2, 3)),
        (4, Layout.CHANNEL_LAST, 2, (0, 2, 3, 1)),  # images that are flattened for a Linear
        (2, Layout.CHANNEL_FIRST, 2, (0, 1)),
        (4, None, None, (0, 2, 3, 1)),
    ],
)
def test_the_input_is_laid_out_as_its_first_layer_takes_it(rank, first, first_rank, axes):
    assert input_axes(rank, first, first_rank) == axes


def test_the_probes_inputs_are_shown_channels_last():
    x = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    shown = read_all(nn.Sequential(nn.Conv2d(3, 1, 2)), x).inputs["input"]
    np.testing.assert_array_equal(shown, x.transpose(0, 2, 3, 1))


def test_moving_channels_leaves_vectors_alone():
    assert move_channels_last(2) == (0, 1)
    assert LayoutTracker(3).axes(nn.ReLU(), (3, 7)) == (0, 1)
