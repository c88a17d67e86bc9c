"""Layers that call no hooks are heard by the operations that use their weights, or are refused in words."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch_models import images, read_all

from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader, operations

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TorchScript


class Mixed(nn.Module):
    """Normalisations, an embedding, and a Linear on several axes, none of them called."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.norm = nn.LayerNorm(6)
        self.wide = nn.Linear(6, 8, bias=False)
        self.groups = nn.GroupNorm(2, 8)
        self.back = nn.ConvTranspose1d(8, 4, 3, groups=2)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        y = self.wide.forward(self.norm.forward(self.embedding.forward(x)))
        return self.back.forward(self.groups.forward(y.transpose(1, 2)))


def test_all_kinds_of_layers_that_are_not_called_are_heard():
    model, x = Mixed().eval(), torch.arange(10).reshape(2, 5) % 9
    embedded = model.embedding(x)
    normed = model.norm(embedded)
    wide = model.wide(normed)
    grouped = model.groups(wide.transpose(1, 2))
    expected = {
        "embedding": embedded,
        "norm": normed,
        "wide": wide,
        "groups": grouped.transpose(1, 2),
        "back": model.back(grouped).transpose(1, 2),
    }
    snapshot = read_all(model, x)
    for name, output in expected.items():
        np.testing.assert_allclose(
            snapshot[name].output, output.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=name
        )
    assert snapshot["unused"].output_shape is None and not snapshot["unused"].refusal


class Counting(operations.OperationListener):
    made = 0

    def __init__(self, *arguments):
        Counting.made += 1
        super().__init__(*arguments)


def readings(model, x, monkeypatch, *, count=3):
    """How many of so many readings listened to operations."""
    monkeypatch.setattr("layerviz_callbacks.torch.capture.OperationListener", Counting)
    Counting.made = 0
    reader = TorchReader(model, x)
    for _ in range(count):
        reader.read(Request(outputs=frozenset(entry.name for entry in reader.entries())))
    return Counting.made


def test_operations_are_listened_to_only_where_a_layer_with_a_kernel_was_not_heard(monkeypatch):
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    x = images(2)[0]
    assert readings(plain, x, monkeypatch) == 0
    plain.spare = nn.ReLU()  # never called, but no operation could tell of it
    plain.forward = lambda x: plain[1](plain[0](x))
    assert readings(plain, x, monkeypatch) == 0
    assert readings(torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3))), x, monkeypatch) == 3


def test_a_layer_that_is_really_unused_is_looked_for_once(monkeypatch):
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    assert readings(Spare(), np.ones((3, 2)), monkeypatch) == 1


def test_attention_does_not_switch_listening_on(monkeypatch):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert readings(nn.Sequential(layer), torch.rand(2, 5, 8), monkeypatch) == 0


def test_a_hook_is_believed_before_an_operation():
    class Both(nn.Module):
        """One layer is called, the other not; their weights are tied."""

        def __init__(self):
            super().__init__()
            self.called, self.only_weight = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
            self.only_weight.weight = self.called.weight

        def forward(self, x):
            y = self.called(x)
            return functional.linear(y + 1, self.only_weight.weight)

    model, x = Both(), torch.rand(4, 3)
    snapshot = read_all(model, x)
    np.testing.assert_array_equal(snapshot["called"].output, model.called(x).detach().numpy())
    assert [layer.name for layer in snapshot] == ["called", "only_weight"]


def test_a_script_that_was_optimised_by_running_is_heard_as_before():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1)
    ).eval()
    scripted, x = torch.jit.script(model), images(3)[0]
    before = read_all(scripted, x)
    for _ in range(4):
        scripted(x)
    after = read_all(scripted, x)
    expected = model[0](x).detach().permute(0, 2, 3, 1).numpy()
    for snapshot in (before, after):
        np.testing.assert_allclose(snapshot["0"].output, expected, rtol=1e-5, atol=1e-6)
        assert snapshot["0"].output.min() < 0  # before the activation in place
        assert snapshot["3"].output.shape == (3, 6, 6, 2)
        assert [snapshot[name].kind for name in "0123"] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]


def test_a_scripted_transposed_convolution_is_turned_as_a_plain_one():
    plain = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2))
    x = torch.rand(1, 4, 5, 5)
    expected = read_all(plain, x)["0"].kernel
    for compiled in (torch.jit.script(plain), torch.jit.trace(plain, x)):
        np.testing.assert_array_equal(read_all(compiled, x)["0"].kernel, expected)


def test_what_cannot_be_heard_is_refused_in_words():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 2)

        def forward(self, x):
            return self.lstm.forward(x)[0]

    direct = read_all(Recurrent(), np.zeros((4, 2, 3)))["lstm"]
    assert direct.output is None and "not layer.forward(x)" in direct.refusal
    scripted = read_all(torch.jit.script(nn.Sequential(nn.Tanh(), nn.LSTM(3, 2))), np.zeros((4, 2, 3)))
    for name in ("0", "1"):
        assert "TorchScript calls no hooks" in scripted[name].refusal and scripted[name].output is None
    assert scripted["1"].kernel.shape == (8, 3) and scripted["1"].gates[1] == "forget"


def test_a_scripted_model_takes_arguments_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, wave, offset):
            return self.linear(wave) + offset

    scripted = torch.jit.script(Named())
    snapshot = read_all(scripted, {"offset": np.zeros((4, 2)), "wave": np.ones((4, 3))})
    assert snapshot["linear"].output.shape == (4, 2)
    assert snapshot["linear"].parameters == 8


def test_cuts_are_made_of_what_operations_tell():
    from layerviz_callbacks.cut import OutputCut

    scripted, x = torch.jit.script(nn.Sequential(nn.Conv2d(1, 4, 3))), images(3)[0]
    whole = read_all(scripted, x)["0"].output
    request = Request(outputs=frozenset({"0"}), output_cuts={"0": OutputCut(samples=1, channels=(2,))})
    cut = TorchReader(scripted, x).read(request)["0"]
    np.testing.assert_array_equal(cut.output, whole[:1, ..., 2:3])
    assert cut.output_shape == whole.shape
