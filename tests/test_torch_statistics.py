"""Statistics that are taken on the device are those of the whole arrays."""

import numpy as np
import pytest
import torch
from fakes import ListSink
from statistics_oracles import AsksForStatistics, assert_output_statistics, assert_weight_sample
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_padded_sequence
from torch_models import ConvNet, images

from layerviz_callbacks import inspect
from layerviz_callbacks.health import output_statistics
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader, attach, statistics


def read(model, probe):
    """Everything, with the statistics of all layers."""
    reader = TorchReader(model, probe)
    names = frozenset(entry.name for entry in reader.entries())
    return reader.read(Request(weights=names, outputs=names, statistics=names))


def assert_all_statistics(snapshot, *, least):
    """Every output and every kernel that was read has its statistics; so many of each at least."""
    outputs = kernels = 0
    for layer in snapshot:
        if layer.output is not None and layer.statistics is not None and layer.statistics.output is not None:
            assert_output_statistics(layer.statistics.output, layer.output)
            outputs += 1
        if layer.kernel is not None:
            assert_weight_sample(layer.statistics.weights, layer.kernel)
            kernels += 1
    assert outputs >= least and kernels >= 1


class Recurrent(nn.Module):
    def __init__(self, *, batch_first):
        super().__init__()
        self.lstm = nn.LSTM(3, 5, num_layers=2, batch_first=batch_first)
        self.batch_first = batch_first

    def forward(self, x):
        return self.lstm(x if self.batch_first else x.transpose(0, 1))[0]


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 5, batch_first=True)

    def forward(self, x):
        return self.gru(pack_padded_sequence(x, torch.tensor([6, 4, 1]), batch_first=True))[1]


def sequential(*layers):
    return nn.Sequential(*layers)


MODELS = {
    "1-D": (lambda: sequential(nn.Conv1d(3, 4, 5), nn.BatchNorm1d(4), nn.Tanh()), (3, 3, 900), 3),
    "2-D": (lambda: sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2)), (2, 3, 90, 70), 3),
    "3-D": (lambda: sequential(nn.Conv3d(1, 3, 3), nn.Sigmoid()), (2, 1, 20, 9, 11), 2),
    "small maps": (lambda: sequential(nn.Conv2d(2, 300, 1), nn.ReLU()), (9, 2, 3, 2), 2),
    "vectors": (lambda: sequential(nn.Linear(6, 700), nn.ReLU(), nn.Linear(700, 2)), (40, 6), 3),
    "tokens": (lambda: sequential(nn.Linear(6, 20), nn.LayerNorm(20)), (3, 6000, 6), 2),
    "one channel": (lambda: sequential(nn.Conv2d(1, 1, 3)), (4, 1, 80, 80), 1),
    "recurrent": (lambda: Recurrent(batch_first=True), (4, 7, 3), 1),
    "recurrent, time first": (lambda: Recurrent(batch_first=False), (4, 7, 3), 1),
    "packed": (Packed, (3, 6, 3), 1),
    "transposed": (lambda: sequential(nn.ConvTranspose2d(4, 6, 3, groups=2)), (2, 4, 9, 9), 1),
    "grouped": (lambda: sequential(nn.Conv2d(4, 8, 3, groups=4), nn.Flatten()), (2, 4, 9, 9), 2),
    "attention": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 5, 8), 4),
}


@pytest.mark.parametrize("name", MODELS)
def test_statistics_are_those_of_the_whole_output_and_the_whole_kernel(name):
    torch.manual_seed(1)
    make, shape, least = MODELS[name]
    assert_all_statistics(read(make(), torch.randn(shape).numpy()), least=least)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_other_precisions_have_the_statistics_of_what_is_shown(dtype):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()).to(dtype)
    assert_all_statistics(read(model, torch.randn(2, 3, 40, 40).numpy()), least=2)


class Gives(nn.Module):
    """Gives back what it holds."""

    def __init__(self, output):
        super().__init__()
        self.layer = nn.Identity()
        self.held = [output]

    def forward(self, x):
        return self.layer(self.held[0])


def odd_numbers():
    torch.manual_seed(2)
    x = torch.randn(2, 6, 60, 80) * 1.5
    x[x.abs() < 0.1] = 0.0
    x[0, 0, 3, 3] = torch.nan
    x[1, 1] = torch.inf
    x[:, 2] = torch.nan
    x[:, 3] = -7.3  # a constant
    x[0, 4, :, 5] = -torch.inf
    return x


OUTPUTS = {
    "NaN and infinities": odd_numbers,
    "NaN in half precision": lambda: odd_numbers().half(),
    "so large that squares overflow": lambda: torch.randn(2, 3, 50, 50) * 1e37,
    "larger than float32": lambda: torch.randn(2, 3, 50, 50).double() * 1e39,
    "a mean that hides the spread": lambda: torch.randn(2, 3, 50, 50) + 1000,
    "at the bounds": lambda: torch.tensor([[0.02, -0.02, 0.0199999, 0.98, -0.98, 0.9800001]]).repeat(9, 1),
    "expanded": lambda: torch.randn(1, 3, 1, 1).expand(4, 3, 50, 50),
    "a slice": lambda: torch.randn(4, 3, 60, 60)[:, :, ::2, 5:],
    "channels last in memory": lambda: torch.randn(2, 9, 50, 50).to(memory_format=torch.channels_last),
    "a single axis": lambda: torch.randn(5),
    "no samples": lambda: torch.zeros(0, 5),
    "no places": lambda: torch.zeros(2, 5, 0, 3),
}  # fmt: skip


@pytest.mark.parametrize("way", ["as on the CPU", "as on an accelerator"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_odd_outputs_have_the_statistics_of_the_reference(name, way, monkeypatch):
    if way == "as on an accelerator":  # where every block is measured with care
        monkeypatch.setattr(statistics, "_measured", lambda block, axis, into: into.fill_(torch.nan))
    torch.manual_seed(1)
    layer = read(Gives(OUTPUTS[name]()), np.ones((2, 1)))["layer"]
    assert_output_statistics(layer.statistics.output, layer.output)


def test_a_constant_channel_has_no_deviation_at_all():
    found = read(Gives(torch.full((3, 2, 90, 91), 0.1)), np.ones((3, 1)))["layer"].statistics.output
    assert found.deviation.tolist() == [0.0, 0.0]
    assert found.mean.tolist() == found.lowest.tolist() == [np.float32(0.1)] * 2


@pytest.mark.parametrize(
    "output", [torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.complex64), torch.ones(2, 0)]
)
def test_outputs_that_are_no_real_numbers_or_have_no_channels_have_none(output):
    assert read(Gives(output), np.ones((2, 1)))["layer"].statistics is None


def test_it_is_the_convolutions_own_output_that_counts_before_a_relu_in_place():
    torch.manual_seed(0)
    model, x = ConvNet(inplace=True), images(3)[0]
    found = read(model, x.numpy())["norm"].statistics.output
    with torch.no_grad():
        expected = model.eval().norm(model.conv(x)).permute(0, 2, 3, 1).numpy()
    assert found.lowest.min() < 0
    assert_output_statistics(found, expected)


def test_each_call_of_a_layer_has_its_own_statistics_and_the_weights_have_them_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear(self.linear(x) + 5)

    snapshot = read(Twice(), torch.randn(4, 3).numpy())
    for name in ("linear", "linear#2"):
        assert_output_statistics(snapshot[name].statistics.output, snapshot[name].output)
    assert not np.array_equal(
        snapshot["linear"].statistics.output.mean, snapshot["linear#2"].statistics.output.mean
    )
    assert snapshot["linear"].statistics.weights is not None
    assert snapshot["linear#2"].statistics.weights is None


def test_layers_that_hooks_do_not_hear_have_statistics_too():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3)

        def forward(self, x):
            return functional.conv2d(x, self.conv.weight, self.conv.bias)

    assert_all_statistics(read(Functional(), torch.randn(2, 1, 9, 9).numpy()), least=1)


def test_only_what_is_asked_for_is_measured_and_nothing_else_is_copied():
    reader = TorchReader(ConvNet(), images(2)[0].numpy())
    snapshot = reader.read(Request(statistics=frozenset({"conv"})))
    assert [layer.name for layer in snapshot if layer.statistics is not None] == ["conv"]
    assert all(layer.output is None and layer.kernel is None for layer in snapshot)
    assert reader.read(Request(kernels=frozenset({"conv"})))["conv"].statistics is None


class TransposedLinear(nn.Module):
    """As in GPT-2: stored as (in, out)."""

    def __init__(self, into, out):
        super().__init__()
        self.nf = out
        self.weight = nn.Parameter(torch.randn(into, out))

    def forward(self, x):
        return x @ self.weight


LARGE = {
    "convolution": (lambda: nn.Conv2d(40, 300, 3), (1, 40, 3, 3), lambda w: w),
    "matrix": (lambda: nn.Linear(500, 400), (1, 500), lambda w: w),
    "transposed": (
        lambda: nn.ConvTranspose2d(30, 270, 3),
        (1, 30, 3, 3),
        lambda w: w.transpose(1, 0, 2, 3),
    ),
    "stored the other way": (lambda: TransposedLinear(300, 600), (1, 300), lambda w: w.T),
}


@pytest.mark.parametrize("name", LARGE)
def test_of_a_large_kernel_an_even_part_is_taken_with_the_same_part_of_its_gradient(name):
    torch.manual_seed(1)
    make, shape, laid_out = LARGE[name]
    module = make()
    probe = torch.randn(shape)
    module(probe).square().sum().backward()
    gradient = laid_out(module.weight.grad.numpy())
    layer = read(nn.Sequential(module), probe.numpy())["0"]
    assert layer.kernel.size > 256 * 256 and layer.statistics.weights.values.size <= 256 * 256
    assert_weight_sample(layer.statistics.weights, layer.kernel, gradient=gradient)


def test_every_kernel_of_a_recurrent_layer_has_its_part_and_its_gradient():
    model, x = Recurrent(batch_first=True), torch.randn(4, 7, 3)
    model(x).sum().backward()
    snapshot = read(model, x.numpy())
    for name, weight in model.lstm.named_parameters():
        if weight.ndim == 2:
            layer = snapshot["lstm" if name == "weight_ih_l0" else f"lstm.{name}"]
            assert_weight_sample(layer.statistics.weights, layer.kernel, gradient=weight.grad.numpy())


def test_a_raw_parameter_has_its_part_and_its_gradient():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.position = nn.Parameter(torch.randn(1, 6, 4))

        def forward(self, x):
            return (x + self.position) ** 2

    model, x = Tokens(), torch.randn(2, 6, 4)
    model(x).sum().backward()
    layer = read(model, x.numpy())["position"]
    assert_weight_sample(layer.statistics.weights, layer.kernel, gradient=model.position.grad[0].T.numpy())


@pytest.mark.filterwarnings("ignore:.*quantiz.*", "ignore:.*deprecated.*")
def test_a_quantised_kernel_is_read_and_is_not_trainable():
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 4)), {nn.Linear})
    layer = read(model, torch.randn(2, 8).numpy())["0"]
    assert_weight_sample(layer.statistics.weights, layer.kernel, trainable=False)


COMPUTED = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "pruned": lambda module: prune.l1_unstructured(module, "weight", amount=3),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_a_computed_kernel_is_the_current_one_trains_and_has_no_gradient_of_its_own(name):
    module = COMPUTED[name](nn.Linear(4, 3))
    module(torch.randn(2, 4)).sum().backward()
    layer = read(nn.Sequential(module), torch.randn(2, 4).numpy())["0"]
    assert_weight_sample(layer.statistics.weights, layer.kernel, trainable=True)
    module.requires_grad_(False)
    layer = read(nn.Sequential(module), torch.randn(2, 4).numpy())["0"]
    assert_weight_sample(layer.statistics.weights, layer.kernel, trainable=False)


def test_a_frozen_kernel_is_not_trainable():
    model = ConvNet()
    model.conv.requires_grad_(False)
    snapshot = read(model, images(2)[0].numpy())
    assert snapshot["conv"].statistics.weights.trainable is False
    assert snapshot["head"].statistics.weights.trainable is True


def backward(model, *, factor=1.0):
    x, y = images(4)
    (functional.cross_entropy(model(x), y) * factor).backward()


def test_the_gradient_is_there_after_backward_and_gone_after_either_zero_grad():
    model, probe = ConvNet(), images(2)[0].numpy()
    reader, request = TorchReader(model, probe), Request(statistics=frozenset({"conv", "head"}))

    def gradients():
        return [reader.read(request)[name].statistics.weights.gradient for name in ("conv", "head")]

    assert gradients() == [None, None]
    for to_none in (True, False):
        backward(model)
        kept = model.conv.weight.grad.clone()
        np.testing.assert_array_equal(gradients()[0], kept.reshape(4, 9).numpy())
        assert torch.equal(model.conv.weight.grad, kept)
        model.zero_grad(set_to_none=to_none)
        assert gradients() == [None, None]
        assert (model.conv.weight.grad is None) is to_none


def test_a_layer_whose_gradient_vanished_has_a_gradient_of_zeros():
    model = ConvNet()
    backward(model)
    model.conv.weight.grad.zero_()
    snapshot = TorchReader(model, images(2)[0].numpy()).read(Request(statistics=frozenset({"conv"})))
    np.testing.assert_array_equal(snapshot["conv"].statistics.weights.gradient, np.zeros((4, 9)))


def test_a_sparse_gradient_is_left_out():
    model = nn.Sequential(nn.Embedding(9, 3, sparse=True))
    model(torch.tensor([[1, 2]])).sum().backward()
    layer = read(model, np.array([[0, 4]]))["0"]
    assert_weight_sample(layer.statistics.weights, layer.kernel)


def test_inspect_reads_statistics_for_a_view_that_asks_for_them():
    snapshot = inspect(ConvNet(), images(2)[0].numpy(), views=[AsksForStatistics(layers="conv")])
    assert_output_statistics(snapshot["conv"].statistics.output, snapshot["conv"].output)
    assert_weight_sample(snapshot["conv"].statistics.weights, snapshot["conv"].kernel)
    assert inspect(ConvNet(), images(2)[0].numpy())["conv"].statistics is None


def test_a_training_brings_statistics_with_gradient_and_update_to_the_view():
    torch.manual_seed(0)
    model, view = ConvNet(), AsksForStatistics(layers=["conv", "head"])
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=0.1)
    arguments = {"log_dir": ListSink(), "views": [view], "worker": None, "optimizer": optimizer}
    with attach(model, images(2)[0].numpy(), **arguments) as record:
        for epoch in (1, 2):
            optimizer.zero_grad()
            backward(model)
            before = model.head.weight.detach().clone()
            optimizer.step()
            record(epoch)
    first, _, second = (snapshot["head"].statistics.weights for snapshot in view.snapshots)
    assert first.gradient is None and first.update is None
    after, gradient = model.head.weight.detach(), model.head.weight.grad
    np.testing.assert_array_equal(second.values, after.numpy())
    np.testing.assert_array_equal(second.gradient, gradient.numpy())
    np.testing.assert_allclose(second.update, (after - before).numpy(), atol=1e-7)
    shown = view.snapshots[2]["conv"]
    with torch.no_grad():
        whole = model.conv(images(2)[0]).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(shown.statistics.output.mean, output_statistics(whole).mean, rtol=1e-5)


def test_gradients_that_are_zeroed_after_the_step_are_missed_and_it_is_told_once(caplog):
    model, view = ConvNet(), AsksForStatistics(layers="head")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    arguments = {"log_dir": ListSink(), "views": [view], "worker": None, "optimizer": optimizer}
    with attach(model, images(2)[0].numpy(), **arguments) as record:
        for epoch in (1, 2):
            backward(model)
            optimizer.step()
            optimizer.zero_grad()
            record(epoch)
    assert [snapshot["head"].statistics.weights.gradient for snapshot in view.snapshots] == [None] * 3
    assert not view.snapshots[0].unread
    (told,) = [text for text in caplog.messages if "gradients of weights" in text]
    assert "call optimizer.zero_grad() right before loss.backward(), not after optimizer.step()" in told


def test_frozen_layers_have_no_gradients_to_miss(caplog):
    model, view = ConvNet(), AsksForStatistics(layers="conv")
    model.conv.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with attach(model, images(2)[0].numpy(), log_dir=ListSink(), views=[view], optimizer=optimizer) as record:
        backward(model)
        optimizer.step()
        record(1)
    found = view.snapshots[-1]["conv"].statistics.weights
    assert found.gradient is None and found.update.tolist() == [[0.0] * 9] * 4
    assert "gradients of weights" not in caplog.text
