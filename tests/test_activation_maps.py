import numpy as np
import pytest
import torch
import torchcam.methods
from captum.attr import LayerGradCam
from scipy.stats import spearmanr
from torch import nn

from layerviz_callbacks.views.activation_maps import (
    METHODS,
    activation_map,
    eigen_cam,
    is_constant_over_space,
)
from layerviz_callbacks.views.rank_correlation import rank_correlation

RANDOM = np.random.default_rng(3)
# one sample of two places in a row and two channels
OUTPUT = np.array([[1.0, 2.0], [3.0, 1.0]]).reshape(1, 1, 2, 2)
GRADIENT = np.array([[1.0, -1.0], [0.5, -2.0]]).reshape(1, 1, 2, 2)


# -- on paper --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # weights (1 + 0.5) / 2 and (-1 - 2) / 2: 0.75 - 3 and 2.25 - 1.5; the negative is cut off
        ("grad-cam", [0, 0.75]),
        ("hirescam", [1 - 2, 1.5 - 2]),
        ("layercam", [1, 1.5]),
        # sums 1.5 and -3: 1.5 - 6 and 4.5 - 3
        ("cam", [-4.5, 1.5]),
        # channel 0 sums to 4: shares 1 / (2 + 4) and 1 / (2 + 2), weight 1/6 + 0.5/4; channel 1: nothing
        ("grad-cam++", [7 / 24, 21 / 24]),
    ],
)
def test_maps_of_two_channels_are_the_ones_computed_on_paper(method, expected):
    found = activation_map(method, OUTPUT, GRADIENT)
    assert found.shape == (1, 1, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)


def test_eigencam_of_two_channels_is_the_one_computed_on_paper():
    # all places on the line (3, 4) / 5: projections 5, 10, 0
    output = np.array([[3.0, 4.0], [6.0, 8.0], [0.0, 0.0]]).reshape(1, 3, 2)
    np.testing.assert_allclose(activation_map("eigencam", output).ravel(), [5, 10, 0], atol=1e-6)
    np.testing.assert_allclose(activation_map("eigencam", -output).ravel(), [5, 10, 0], atol=1e-6)


@pytest.mark.parametrize("space", [(5,), (4, 3), (2, 3, 4)])
@pytest.mark.parametrize("channels", [3, 40])
def test_eigencam_is_the_projection_on_the_first_singular_vector_of_each_sample(space, channels):
    output = RANDOM.normal(size=(2, *space, channels)) + 0.5
    for sample, found in zip(output, eigen_cam(output), strict=True):
        flat = sample.reshape(-1, channels)
        expected = np.abs(flat @ np.linalg.svd(flat)[2][0])
        np.testing.assert_allclose(found.ravel(), expected, atol=1e-9)


def test_the_shares_of_gradcam_plus_plus_are_those_of_the_true_derivatives():
    """Equation 19 of the paper, with second and third derivatives of exp(score) by autograd."""
    output = torch.tensor(RANDOM.random((3, 2)), requires_grad=True)  # places, channels
    weights = torch.tensor(RANDOM.normal(size=(3, 2)))
    total = torch.exp((weights * output).sum())
    (first,) = torch.autograd.grad(total, output, create_graph=True)
    second, third = torch.zeros_like(output), torch.zeros_like(output)
    for place in range(3):
        for channel in range(2):
            (row,) = torch.autograd.grad(first[place, channel], output, create_graph=True)
            second[place, channel] = row[place, channel]
            third[place, channel] = torch.autograd.grad(row[place, channel], output, retain_graph=True)[0][
                place, channel
            ]
    share = second / (2 * second + output.sum(dim=0) * third)
    channel_weights = (share * torch.relu(first)).sum(dim=0) / total  # the factor exp(score) is left out
    expected = torch.relu((channel_weights * output).sum(dim=1)).detach().numpy()
    found = activation_map("grad-cam++", output.detach().numpy()[None], weights.numpy()[None])
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


# -- against other packages ------------------------------------------------------------------------------

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def network(rank, *, pooled):
    """Two convolutions; then global average pooling, or none, and a linear layer; with an input."""
    torch.manual_seed(rank)
    convolution = CONVOLUTIONS[rank]
    body = [convolution(1, 4, 3, padding=1), nn.ReLU(), convolution(4, 5, 3, stride=2, padding=1), nn.ReLU()]
    head = [POOLS[rank](1), nn.Flatten(), nn.Linear(5, 3)]
    if not pooled:
        head = [nn.Flatten(), nn.Linear(5 * 4**rank, 7), nn.Tanh(), nn.Linear(7, 3)]
    return nn.Sequential(*body, *head).eval(), torch.randn(2, 1, *[8] * rank)


def read(model, inputs, layer, classes):
    """The output of a layer and the gradients of the classes' scores in it, channels last."""
    output = model[: layer + 1](inputs).detach().requires_grad_()
    scores = model[layer + 1 :](output)
    (gradient,) = torch.autograd.grad(scores[torch.arange(len(scores)), torch.tensor(classes)].sum(), output)
    return [np.moveaxis(array.detach().numpy(), 1, -1) for array in (output, gradient)], scores.detach()


def normalised(maps):
    axes = tuple(range(1, maps.ndim))
    maps = maps - maps.min(axis=axes, keepdims=True)
    return maps / (maps.max(axis=axes, keepdims=True) + 1e-8)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("method", "oracle", "pooled"),
    [
        ("grad-cam", "GradCAM", False),
        ("grad-cam", "GradCAM", True),
        ("layercam", "LayerCAM", False),
        ("cam", "CAM", True),
    ],
)
def test_maps_are_those_of_torch_cam(rank, method, oracle, pooled):
    model, inputs = network(rank, pooled=pooled)
    classes = [2, 1]
    (output, gradient), _ = read(model, inputs, 3, classes)
    options = ["6"] if method == "cam" else []
    with getattr(torchcam.methods, oracle)(model, "3", *options) as extractor:
        (expected,) = extractor(classes, model(inputs))
    found = normalised(activation_map(method, output, gradient))
    assert found.max() > 0.9
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("layer", [2, 3])
def test_gradcam_is_that_of_captum_in_its_own_units(rank, layer):
    model, inputs = network(rank, pooled=False)
    (output, gradient), _ = read(model, inputs, layer, [0, 2])
    expected = LayerGradCam(model, model[layer]).attribute(
        inputs, target=torch.tensor([0, 2]), relu_attributions=True
    )
    found = activation_map("grad-cam", output, gradient)
    assert (found > 0).any()
    np.testing.assert_allclose(found, expected.detach().numpy()[:, 0], atol=1e-6)


def test_cam_and_hirescam_add_up_to_the_score():
    """The mean of the class activation map, and the sum of HiResCAM, are the score without its bias."""
    model, inputs = network(2, pooled=True)
    parts, scores = read(model, inputs, 3, [1, 1])
    expected = (scores[:, 1] - model[-1].bias[1]).detach().numpy()
    np.testing.assert_allclose(activation_map("cam", *parts).mean(axis=(1, 2)), expected, rtol=1e-4)
    np.testing.assert_allclose(activation_map("hirescam", *parts).sum(axis=(1, 2)), expected, rtol=1e-4)
    flat = nn.Sequential(*model[:4], nn.Flatten(), nn.Linear(80, 3))
    parts, scores = read(flat, inputs, 3, [0, 0])
    expected = (scores[:, 0] - flat[-1].bias[0]).detach().numpy()
    np.testing.assert_allclose(activation_map("hirescam", *parts).sum(axis=(1, 2)), expected, rtol=1e-4)


def test_only_after_global_average_pooling_is_a_gradient_constant_over_space():
    for pooled in (True, False):
        model, inputs = network(2, pooled=pooled)
        (_, gradient), _ = read(model, inputs, 3, [0, 0])
        assert is_constant_over_space(gradient) is pooled
    assert not is_constant_over_space(read(*network(2, pooled=True), 2, [0, 0])[0][1])  # before the ReLU
    assert is_constant_over_space(np.full((1, 2, 2), np.nan))  # nothing says that it is not


# -- what is not finite ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_nan_stays_where_it_is_as_far_as_the_method_goes(method):
    output = RANDOM.random((2, 4, 4, 3))
    output[0, 1, 2, 0] = np.nan
    found = activation_map(method, output, np.ones_like(output))
    assert np.isnan(found[0, 1, 2]) and np.isfinite(found[1]).all()
    if method != "grad-cam++":  # whose weights are of all places
        assert np.isnan(found).sum() == 1


@pytest.mark.parametrize("method", METHODS)
def test_zeros_give_a_map_of_zeros(method):
    zeros = np.zeros((1, 3, 3, 2))
    assert (activation_map(method, zeros, zeros) == 0).all()


# -- rank correlation ------------------------------------------------------------------------------------


def test_the_rank_correlation_is_that_of_scipy_with_and_without_ties():
    for ties in (False, True):
        one, other = RANDOM.normal(size=(2, 6, 7))
        other = other + one
        if ties:
            one, other = np.maximum(one, 0), np.round(other)
        assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)


def test_the_rank_correlation_of_maps_that_cannot_be_compared_is_nan():
    ramp = np.arange(6.0)
    assert rank_correlation(ramp, -ramp) == -1
    for other in (np.zeros(6), np.arange(5.0), np.where(ramp == 2, np.nan, ramp)):
        assert np.isnan(rank_correlation(ramp, other))
