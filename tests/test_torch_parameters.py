"""Parameters that belong to no layer's kernel are layers of their own."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch_models import read_all

from layerviz_callbacks.torch import TorchReader


class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.rand(1, 1, 4))
        self.position = nn.Parameter(torch.rand(1, 6, 4))
        self.scale = nn.Parameter(torch.rand(4))
        self.linear = nn.Linear(3, 4)

    def forward(self, x):
        x = self.linear(x)
        token = self.token.expand(len(x), -1, -1)
        return (torch.cat([token, x], 1) + self.position) * self.scale


def test_tokens_and_positions_of_the_model_itself_and_of_a_block_are_layers():
    for prefix, model in [("", Patches()), ("0.", nn.Sequential(Patches()))]:
        stored = model.state_dict()
        snapshot = read_all(model, np.ones((2, 5, 3)))
        token, position = snapshot[f"{prefix}token"], snapshot[f"{prefix}position"]
        assert token.kind == position.kind == "Parameter"
        np.testing.assert_array_equal(token.kernel, stored[f"{prefix}token"].numpy())
        np.testing.assert_array_equal(position.kernel, stored[f"{prefix}position"].numpy()[0].T)
        assert position.parameters == 24 and position.output_shape is None
        assert f"{prefix}scale" not in snapshot.layers  # one axis
        assert list(snapshot.layers)[-3:] == [f"{prefix}token", f"{prefix}position", f"{prefix}linear"]
    assert snapshot["0"].parameters == 4  # what is listed by itself is not counted again


def test_the_entry_of_a_parameter_is_the_parameter():
    model = Patches()
    entries = {entry.name: entry for entry in TorchReader(model, np.ones((2, 5, 3))).entries()}
    assert entries["token"].module is model.token and entries["token"].has_kernel
    assert list(entries) == ["token", "position", "linear"]
    chosen = TorchReader(model, np.ones((2, 5, 3)))
    assert [entry.name for entry in chosen.entries() if isinstance(entry.module, nn.Parameter)] == [
        "token", "position",
    ]  # fmt: skip


def test_lists_and_dicts_of_parameters_are_looked_into():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.levels = nn.ParameterList([torch.rand(2, 3), torch.rand(3)])
            self.tables = nn.ParameterDict({"time": torch.rand(2, 5, 3)})

        def forward(self, x):
            return x

    model = Model()
    snapshot = read_all(model, np.ones((1, 2)))
    np.testing.assert_array_equal(snapshot["levels.0"].kernel, model.levels[0].detach().numpy().T)
    flat = model.tables["time"].detach().numpy().reshape(10, 3)
    np.testing.assert_array_equal(snapshot["tables.time"].kernel, flat.T)
    assert "levels.1" not in snapshot.layers and snapshot["levels"].container


class OneKernel(nn.Module):
    """A layer of one's own."""

    def __init__(self, *shape):
        super().__init__()
        self.kernel = nn.Parameter(torch.rand(shape))
        self.bias = nn.Parameter(torch.rand(shape[0]))

    def forward(self, x):
        return functional.conv2d(x, self.kernel, self.bias)


def test_the_one_array_of_a_custom_layer_is_its_kernel():
    model = nn.Sequential(nn.Unflatten(1, (3, 6, 6)), nn.Linear(6, 6), OneKernel(5, 3, 2, 2))
    x = torch.rand(2, 108)
    layer = read_all(model, x)["2"]
    assert layer.kind == "OneKernel" and not layer.container
    np.testing.assert_array_equal(layer.kernel, model[2].kernel.detach().numpy())
    assert list(layer.weights) == ["bias"]
    expected = model(x).detach().permute(0, 2, 3, 1).numpy()  # channels last, though a Linear came before
    np.testing.assert_array_equal(layer.output, expected)


def test_several_arrays_of_a_custom_layer_are_layers_each():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.Parameter(torch.rand(2, 3, 4))
            self.down = nn.Parameter(torch.rand(2, 4, 3))

        def forward(self, x):
            return x @ self.up[0] @ self.down[0]

    snapshot = read_all(nn.Sequential(Experts()), np.ones((1, 3)))
    assert snapshot["0"].kernel is None and snapshot["0"].output is not None
    assert snapshot["0.up"].kernel.shape == (4, 6) and snapshot["0.down"].kernel.shape == (3, 8)


def test_an_array_that_begins_with_an_axis_of_length_1_is_no_kernel():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.rand(1, 5, 3))

        def forward(self, x):
            return x + self.table

    snapshot = read_all(nn.Sequential(Positions()), np.ones((2, 5, 3)))
    assert snapshot["0"].kernel is None and snapshot["0.table"].kernel.shape == (3, 5)


def test_a_normalisation_of_ones_own_has_no_kernel():
    class ScaleNorm2d(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1, 3, 1, 1))
            self.offset = nn.Parameter(torch.zeros(1, 3, 1, 1))

        def forward(self, x):
            return x * self.gain + self.offset

    assert list(read_all(nn.Sequential(ScaleNorm2d()), np.ones((1, 3, 2, 2))).layers) == ["0"]


def test_a_parameter_that_is_held_twice_is_listed_once():
    model = nn.Sequential(Patches(), Patches())
    model[1].position = model[0].position
    names = [entry.name for entry in TorchReader(model, np.ones((2, 5, 3))).entries()]
    assert "0.position" in names and "1.position" not in names


def test_a_parametrised_array_is_read_as_it_is_used():
    class Doubled(nn.Module):
        def forward(self, x):
            return 2 * x

    model = Patches()
    plain = model.position.detach().clone()
    nn.utils.parametrize.register_parametrization(model, "position", Doubled())
    snapshot = read_all(model, np.ones((2, 5, 3)))
    np.testing.assert_array_equal(snapshot["position"].kernel, 2 * plain[0].numpy().T)


def test_a_model_that_is_one_layer_shows_its_kernel():
    layer = nn.Linear(3, 5)
    read = read_all(layer, np.ones((2, 3)))["weight"]
    assert read.kind == "Parameter"
    np.testing.assert_array_equal(read.kernel, layer.weight.detach().numpy())
