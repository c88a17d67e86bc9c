"""Kernels are (out, in, *space) and are those that the next forward pass uses."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch_models import read_all

from layerviz_callbacks import Probe
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader, inspect
from layerviz_callbacks.torch.kernels import has_kernel, kernels_and_weights


def read_layer(module, *shape):
    return read_all(nn.Sequential(module), np.ones(shape, np.float32))["0"]


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv1d(2, 5, 3), (1, 2, 9)),
        (nn.Conv2d(3, 4, (3, 5)), (1, 3, 9, 9)),
        (nn.Conv3d(1, 2, 2), (1, 1, 4, 4, 4)),
        (nn.Conv2d(4, 8, 3, groups=4), (1, 4, 9, 9)),
        (nn.Linear(6, 2), (1, 6)),
    ],
)
def test_a_kernel_equals_the_state_dict(module, shape):
    layer = read_layer(module, *shape)
    assert layer.kernel.dtype == np.float32
    assert layer.kernel_shape == layer.kernel.shape
    np.testing.assert_array_equal(layer.kernel, module.state_dict()["weight"].numpy())
    np.testing.assert_array_equal(layer.weights["bias"], module.state_dict()["bias"].numpy())
    assert layer.parameters == module.weight.numel() + module.bias.numel()


def test_a_transposed_kernel_is_turned_to_out_in():
    module = nn.ConvTranspose2d(3, 5, (2, 4))
    layer = read_layer(module, 1, 3, 6, 6)
    stored = module.state_dict()["weight"].numpy()  # (in, out, height, width)
    assert layer.kernel.shape == (5, 3, 2, 4)
    for out in range(5):
        for into in range(3):
            np.testing.assert_array_equal(layer.kernel[out, into], stored[into, out])


def test_a_grouped_transposed_kernel_keeps_each_output_with_its_own_inputs():
    module = nn.ConvTranspose1d(4, 6, 1, groups=2, bias=False)
    kernel = read_layer(module, 1, 4, 5).kernel
    assert kernel.shape == (6, 2, 1)
    x = torch.rand(1, 4, 5)
    expected = module(x).detach().numpy()[0]
    for out in range(6):
        group = out // 3
        by_hand = sum(kernel[out, into, 0] * x[0, 2 * group + into].numpy() for into in range(2))
        np.testing.assert_allclose(by_hand, expected[out], rtol=1e-5, atol=1e-6)


def test_a_depthwise_kernel_holds_one_channel_each():
    assert read_layer(nn.Conv2d(3, 6, 3, groups=3), 1, 3, 5, 5).kernel.shape == (6, 1, 3, 3)


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_parametrised_kernel_is_the_current_one(wrap):
    module = wrap(nn.Conv2d(1, 3, 3))
    model = nn.Sequential(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5)
    layer = read_all(model, np.ones((1, 1, 5, 5), np.float32))["0"]
    model.eval()
    np.testing.assert_array_equal(layer.kernel, module.weight.detach().numpy())
    assert list(layer.weights) == ["bias"]
    assert layer.kind == "Conv2d"
    assert layer.parameters == sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
def test_an_old_weight_norm_after_an_optimizer_step_is_not_read_stale():
    module = torch.nn.utils.weight_norm(nn.Linear(3, 2))
    with torch.no_grad():
        module.weight_g.mul_(2.0)
    stale = module.weight.detach().clone()
    layer = read_layer(module, 1, 3)
    x = torch.rand(1, 3)
    module(x)  # computes the weight anew
    np.testing.assert_allclose(layer.kernel, module.weight.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(layer.kernel, 2 * stale.numpy(), rtol=1e-6)
    assert list(layer.weights) == ["bias"]


def test_reading_an_old_spectral_norm_runs_no_power_iteration():
    module = torch.nn.utils.spectral_norm(nn.Linear(3, 2))
    module.train()
    before = module.weight_u.clone()
    kernels_and_weights(module)
    assert torch.equal(module.weight_u, before)


def test_a_pruned_kernel_has_its_zeros():
    module = prune.l1_unstructured(nn.Linear(4, 4), "weight", amount=8)
    with torch.no_grad():
        module.weight_orig.add_(1.0)  # as an optimizer would, to the pruned ones too
    kernel = read_layer(module, 1, 4).kernel
    assert np.count_nonzero(kernel == 0) == 8
    np.testing.assert_array_equal(kernel, (module.weight_orig * module.weight_mask).detach().numpy())


def test_an_embedding_is_dimension_by_vocabulary():
    embedding = nn.Embedding(5, 3)
    kernel = read_all(nn.Sequential(embedding), np.array([[0, 4, 2]]))["0"].kernel
    np.testing.assert_array_equal(kernel, embedding.weight.detach().numpy().T)


def test_a_bilinear_layer_has_one_form_an_output():
    layer = nn.Bilinear(3, 4, 2)
    left, right = torch.rand(5, 3), torch.rand(5, 4)
    model = nn.ModuleDict({"bilinear": layer})
    forward = lambda model, x: model["bilinear"](*x)  # noqa: E731
    read = inspect(model, [left, right], forward=forward)["bilinear"]
    assert read.kernel.shape == (2, 1, 3, 4)
    by_hand = np.einsum("ni,oij,nj->no", left, read.kernel[:, 0], right) + read.weights["bias"]
    np.testing.assert_allclose(read.output, by_hand, rtol=1e-5, atol=1e-6)


RECURRENT = {
    nn.LSTM: ("input", "forget", "cell", "output"),
    nn.GRU: ("reset", "update", "candidate"),
    nn.RNN: (),
}


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_recurrent_layer_has_a_kernel_for_each_of_its_matrices(kind):
    module = kind(3, 2, num_layers=2, bidirectional=True, batch_first=True)
    snapshot = read_all(nn.Sequential(module), np.zeros((1, 4, 3)))
    stored = {name: value.numpy() for name, value in module.state_dict().items() if "weight" in name}
    names = ["0", *(f"0.{name}" for name in stored if name != "weight_ih_l0")]
    kernels = {layer.name: layer for layer in snapshot if layer.kernel is not None}
    assert list(kernels) == names and "0.weight_hh_l1_reverse" in names
    for name, layer in kernels.items():
        np.testing.assert_array_equal(layer.kernel, stored[name.partition(".")[2] or "weight_ih_l0"])
        assert layer.gates == RECURRENT[kind] and layer.kind == kind.__name__ and layer.place == 1
        assert layer.part_of == ("" if name == "0" else "0")
    assert set(snapshot["0"].weights) == {name for name, _ in module.named_parameters() if "bias" in name}
    assert snapshot["0"].parameters == sum(parameter.numel() for parameter in module.parameters())


def parts(layer):
    """A kernel by gate."""
    return dict(zip(layer.gates, np.split(layer.kernel, len(layer.gates)), strict=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("form", ["layer", "cell"])
def test_the_gates_of_an_lstm_are_named_right(form):
    module = nn.LSTM(3, 2, bias=False) if form == "layer" else nn.LSTMCell(3, 2, bias=False)
    x, h, c = torch.rand(1, 3), torch.rand(1, 2), torch.rand(1, 2)
    model = nn.ModuleDict({"rnn": module})

    def forward(model, inputs):
        return model["rnn"](x, (h, c)) if form == "cell" else model["rnn"](x[None], (h[None], c[None]))

    snapshot = inspect(model, np.zeros((1, 3)), forward=forward)
    into = parts(snapshot["rnn"])
    back = parts(snapshot["rnn.weight_hh" if form == "cell" else "rnn.weight_hh_l0"])
    gate = {name: x.numpy() @ into[name].T + h.numpy() @ back[name].T for name in into}
    cell = sigmoid(gate["forget"]) * c.numpy() + sigmoid(gate["input"]) * np.tanh(gate["cell"])
    state = sigmoid(gate["output"]) * np.tanh(cell)
    np.testing.assert_allclose(snapshot["rnn"].output.reshape(1, 2), state, rtol=1e-5, atol=1e-6)


def test_the_gates_of_a_gru_are_named_right():
    module = nn.GRUCell(3, 2, bias=False)
    x, h = torch.rand(1, 3), torch.rand(1, 2)
    snapshot = inspect(nn.ModuleDict({"rnn": module}), [x, h], forward=lambda model, two: model["rnn"](*two))
    into, back = parts(snapshot["rnn"]), parts(snapshot["rnn.weight_hh"])
    x, h = x.numpy(), h.numpy()
    reset, update = (sigmoid(x @ into[name].T + h @ back[name].T) for name in ("reset", "update"))
    candidate = np.tanh(x @ into["candidate"].T + reset * (h @ back["candidate"].T))
    np.testing.assert_allclose(
        snapshot["rnn"].output, (1 - update) * candidate + update * h, rtol=1e-5, atol=1e-6
    )


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projected_lstm_has_a_kernel_without_gates_for_its_projection():
    snapshot = read_all(nn.Sequential(nn.LSTM(3, 4, proj_size=2)), np.zeros((5, 1, 3)))
    assert snapshot["0.weight_hr_l0"].kernel.shape == (2, 4) and snapshot["0.weight_hr_l0"].gates == ()


def test_the_projections_of_attention_are_named():
    joined = nn.MultiheadAttention(4, 2, batch_first=True)
    x = torch.rand(1, 3, 4)
    forward = lambda model, x: model["attention"](x, x, x)  # noqa: E731
    snapshot = inspect(nn.ModuleDict({"attention": joined}), x, forward=forward)
    assert snapshot["attention"].gates == ("query", "key", "value")
    np.testing.assert_array_equal(snapshot["attention"].kernel, joined.in_proj_weight.detach().numpy())
    projection = snapshot["attention.out_proj"]
    np.testing.assert_array_equal(projection.kernel, joined.out_proj.weight.detach().numpy())
    assert projection.output is None and "without calling it" in projection.refusal


def test_the_projections_of_attention_with_other_dimensions_are_kernels_each():
    module = nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
    arrays = [torch.rand(6, 1, size) for size in (4, 3, 5)]
    forward = lambda model, three: model["attention"](*three)  # noqa: E731
    snapshot = inspect(nn.ModuleDict({"attention": module}), Probe(arrays), forward=forward)
    for name, part in [
        ("attention", "q"),
        ("attention.k_proj_weight", "k"),
        ("attention.v_proj_weight", "v"),
    ]:
        stored = module.state_dict()[f"{part}_proj_weight"].numpy()
        np.testing.assert_array_equal(snapshot[name].kernel, stored)
        assert snapshot[name].gates == ()


def test_layers_without_a_kernel_have_none():
    layers = [nn.BatchNorm2d(3), nn.LayerNorm((3, 4, 4)), nn.PReLU(3), nn.ReLU(), nn.MaxPool2d(2)]
    snapshot = read_all(nn.Sequential(*layers), np.zeros((1, 3, 4, 4)))
    assert len(snapshot) == len(layers)
    assert all(layer.kernel_shape is None for layer in snapshot)
    assert set(snapshot["1"].weights) == {"weight", "bias"}


@pytest.mark.filterwarnings("ignore:.*quantiz.*", "ignore::DeprecationWarning")
def test_quantised_layers_are_whole_layers_with_kernels():
    plain = nn.Sequential(nn.Linear(4, 3), nn.LSTM(3, 2, batch_first=True))
    model = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear, nn.LSTM}, inplace=False)
    x = torch.rand(2, 5, 4)
    snapshot = read_all(model, x)
    assert [layer.name for layer in snapshot if not layer.part_of] == ["0", "1"]
    np.testing.assert_allclose(snapshot["0"].kernel, plain[0].weight.detach().numpy(), atol=0.01)
    np.testing.assert_array_equal(snapshot["0"].output, model[0](x).numpy())
    assert snapshot["1"].kernel.shape == (8, 3) and snapshot["1.weight_hh_l0"].kernel.shape == (8, 2)


def test_a_low_rank_adapter_round_a_layer_is_read():
    class Adapted(nn.Linear):  # the layer itself, with layers inside
        def __init__(self):
            super().__init__(4, 3)
            self.adapters = nn.ModuleDict({"down": nn.Linear(4, 1, bias=False), "up": nn.Linear(1, 3)})

        def forward(self, x):
            return super().forward(x) + self.adapters["up"](self.adapters["down"](x))

    model = nn.Sequential(Adapted())
    snapshot = read_all(model, np.ones((2, 4)))
    for name in ("0", "0.adapters.down", "0.adapters.up"):
        np.testing.assert_array_equal(snapshot[name].kernel, model.state_dict()[f"{name}.weight"].numpy())
        assert snapshot[name].output is not None


def test_kernels_alone_come_without_other_weights():
    model = nn.Sequential(nn.Linear(4, 3))
    request = Request(kernels=frozenset({"0"}))
    layer = TorchReader(model, np.ones((2, 4))).read(request)["0"]
    assert layer.kernel is not None and not layer.weights


def test_a_linear_that_stores_in_out_is_turned():
    class Conv1D(nn.Module):  # GPT-2's
        def __init__(self):
            super().__init__()
            self.nf = 3
            self.weight = nn.Parameter(torch.rand(2, 3))

        def forward(self, x):
            return x @ self.weight

    module = Conv1D()
    assert has_kernel(module)
    np.testing.assert_array_equal(read_layer(module, 1, 2).kernel, module.weight.detach().numpy().T)


def test_a_kernel_is_a_copy():
    module = nn.Conv1d(1, 1, 1)
    layer = read_layer(module, 1, 1, 4)
    before = layer.kernel.copy()
    with torch.no_grad():
        module.weight.add_(1.0)
    np.testing.assert_array_equal(layer.kernel, before)
