"""Kernels are (out, in, *space) and are those that the next forward pass uses."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch_models import read_all

from layerviz_callbacks.torch.kernels import has_kernel, kernel_and_weights


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
        np.testing.assert_allclose(by_hand, expected[out], rtol=1e-5)


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
    kernel_and_weights(module)
    assert torch.equal(module.weight_u, before)


def test_a_pruned_kernel_has_its_zeros():
    module = prune.l1_unstructured(nn.Linear(4, 4), "weight", amount=8)
    with torch.no_grad():
        module.weight_orig.add_(1.0)  # as an optimizer would, to the pruned ones too
    kernel = read_layer(module, 1, 4).kernel
    assert np.count_nonzero(kernel == 0) == 8
    np.testing.assert_array_equal(kernel, (module.weight_orig * module.weight_mask).detach().numpy())


def test_recurrent_and_embedding_layers_have_named_weights_and_no_kernel():
    lstm, embedding = nn.LSTM(3, 2, batch_first=True), nn.Embedding(5, 3)
    snapshot = read_all(nn.Sequential(embedding, lstm), np.array([[0, 4, 2]]))
    assert [snapshot[name].kernel_shape for name in ("0", "1")] == [None, None]
    assert set(snapshot["1"].weights) == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    np.testing.assert_array_equal(snapshot["0"].weights["weight"], embedding.weight.detach().numpy())


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
