"""The numbers of a layer, against NumPy's and SciPy's own and against counting by hand."""

import numpy as np
import pytest
from health_steps import followed, head, layer, step_of, well
from scipy import stats
from scipy.spatial.distance import cdist

from layerviz_callbacks.health.attention_measures import entropies, shares_of_one_key
from layerviz_callbacks.health.output_measures import output_numbers, saturated_share
from layerviz_callbacks.health.statistics import output_statistics, weight_sample
from layerviz_callbacks.health.weight_measures import (
    duplicate_share,
    effective_rank,
    filters_without_gradient,
    norm_in_full,
    still_filters,
)


def numbers_of(*layers, step=0, name="conv"):
    return followed(step_of(step, *layers, head(step)))[0].health[name].numbers


def test_mean_spread_and_sparsity_are_those_of_all_values():
    output = np.maximum(well(1, 4, 6, 6, 5) + np.array([0, 1, -9, 3, 0.5]), 0).astype(np.float32)
    numbers = output_numbers(output_statistics(output), "Conv2D")
    assert numbers["mean"] == pytest.approx(output.mean(dtype=np.float64), rel=1e-5)
    assert numbers["spread"] == pytest.approx(output.std(dtype=np.float64), rel=1e-5)
    assert numbers["sparsity"] == pytest.approx((output == 0).mean(), rel=1e-5)
    assert numbers["silent"] == 0.2
    assert numbers["constant"] == 0
    assert numbers["not finite"] == 0


def test_values_that_are_not_finite_are_counted_and_left_out_of_the_rest():
    output = np.ones((2, 2, 2, 2), np.float32)
    output[0, 0, 0, 0] = np.nan
    output[..., 1] = np.inf
    numbers = output_numbers(output_statistics(output), "Conv2D")
    assert numbers["not finite"] == 9 / 16
    assert numbers["mean"] == 1
    assert numbers["spread"] == 0


def test_saturation_is_counted_at_both_bounds_of_a_sigmoid_and_of_a_tanh():
    sigmoid = np.float32([[0.001, 0.999], [0.5, 0.99], [0.3, 0.01]])
    assert saturated_share(output_statistics(sigmoid), "Dense") == pytest.approx(4 / 6)
    tanh = np.float32([[-0.999, 0.999], [0.0, -0.99], [0.3, 0.01]])
    assert saturated_share(output_statistics(tanh), "Dense") == pytest.approx(3 / 6)


@pytest.mark.parametrize(
    "output",
    [
        [[0.0, 0.999], [0.2, 1.0]],
        [[-1.0, 2.0], [0.1, 0.2]],
        [[0.3, 0.01], [0.2, 0.001]],
        [[-0.3, 0.2], [0.1, 0.5]],
    ],
)
def test_what_is_not_surely_bounded_is_not_said_to_be_saturated(output):
    assert saturated_share(output_statistics(np.float32(output)), "Dense") is None


def test_an_activation_layer_is_bounded_by_its_name():
    small = output_statistics(np.float32([[-0.3, 0.2], [0.1, 0.5]]))
    assert saturated_share(small, "Tanh") == 0
    low = output_statistics(np.float32([[0.3, 0.01], [0.2, 0.001]]))
    assert saturated_share(low, "Sigmoid") == 0.5


def test_the_norm_of_a_large_kernel_is_estimated_from_its_even_part():
    kernel = well(1, 700, 30, 3, 3)
    sample = weight_sample(kernel)
    assert sample.values.shape == (256, 256)
    assert norm_in_full(sample.values, sample.shape) == pytest.approx(np.linalg.norm(kernel), rel=0.02)
    small = weight_sample(kernel[:20, :20])
    assert norm_in_full(small.values, small.shape) == pytest.approx(
        np.linalg.norm(kernel[:20, :20]), rel=1e-5
    )


def test_change_update_and_distance_are_relative_norms():
    start, before = well(1, 16, 4, 3, 3), well(2, 16, 4, 3, 3)
    update, gradient = 0.01 * well(3, 16, 4, 3, 3), 7 * well(4, 16, 4, 3, 3)
    now = before + 5 * update
    output = well(5, 4, 8, 8, 16)
    steps = followed(
        step_of(0, layer("conv", 1, kernel=start, output=output), head(0)),
        step_of(1, layer("conv", 1, kernel=before, output=output), head(1)),
        step_of(2, layer("conv", 1, kernel=now, output=output, update=update, gradient=gradient), head(2)),
    )
    norm = np.linalg.norm
    expected = {
        "weight norm": norm(now),
        "gradient norm": norm(gradient),
        "update ratio": np.log10(norm(update) / norm(now - update)),
        "change": np.log10(norm(now - before) / norm(before)),
        "distance": norm(now - start) / norm(start),
        "growth": norm(now) / norm(start),
    }
    numbers = steps[2].health["conv"].numbers
    assert {name: numbers[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert "change" not in steps[0].health["conv"].numbers


def test_the_distance_from_initialisation_is_unknown_where_the_first_step_is_a_later_one():
    conv = [layer("conv", 1, kernel=well(k, 16, 4, 3, 3), output=well(9, 4, 8, 8, 16)) for k in range(2)]
    last = followed(step_of(3, conv[0], head(3)), step_of(4, conv[1], head(4)))[1]
    assert "distance" not in last.health["conv"].numbers
    assert "change" in last.health["conv"].numbers


def test_weights_so_large_or_small_that_their_squares_are_not_numbers_are_measured_all_the_same():
    for scale in (1e30, 1e-30):
        numbers = numbers_of(layer("conv", 1, kernel=well(1, 16, 4, 3, 3) * np.float32(scale)))
        assert numbers["weight norm"] == pytest.approx(np.linalg.norm(well(1, 16, 4, 3, 3)) * scale, rel=1e-4)
        assert numbers["duplicates"] == 0
        assert numbers["effective rank"] > 12


def test_duplicates_are_found_whatever_their_length_and_sign():
    kernel = well(1, 10, 30)
    kernel[4], kernel[7] = 3 * kernel[2], -0.001 * kernel[5]
    kernel[9] = 0
    cosines = np.abs(1 - cdist(kernel[:9], kernel[:9], "cosine")) - np.eye(9)
    assert np.flatnonzero(cosines.max(axis=1) > 0.99).tolist() == [2, 4, 5, 7]
    assert duplicate_share(weight_sample(kernel), 0.99) == 0.4
    assert duplicate_share(weight_sample(kernel[:, :9]), 0.99) is None


def test_the_effective_rank_is_the_entropy_of_the_singular_values():
    matrix = well(1, 20, 40) @ np.diag(np.linspace(0, 3, 40)).astype(np.float32)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert effective_rank(matrix) == pytest.approx(np.exp(stats.entropy(values)) / 20, rel=1e-5)
    assert effective_rank(np.outer(np.arange(1, 9), np.ones(9))) == pytest.approx(1 / 8)
    assert effective_rank(np.zeros((4, 4))) is None


def test_entropy_and_the_one_key_of_heads():
    rows = np.random.default_rng(0).dirichlet(np.ones(7), size=(2, 3, 5))
    expected = (stats.entropy(rows, axis=-1) / np.log(7)).mean(axis=(0, 2))
    assert entropies(rows) == pytest.approx(expected)
    rows[:, 1] = np.eye(7)[[2, 4]][:, None]  # another key in each sample
    assert shares_of_one_key(rows)[1] == 1
    assert shares_of_one_key(rows)[0] == pytest.approx(rows[:, 0].mean(axis=1).max(axis=1).min())
    assert np.isnan(shares_of_one_key(rows[:, :, :1])).all()


def test_filters_stand_still_beside_others_that_move():
    before = well(1, 4, 30)
    now = before.copy()
    now[0] *= 0.9  # weight decay alone
    now[2:] += 0.1 * well(2, 2, 30)
    silent = np.array([True, True, False, False])
    assert still_filters(now, before, silent).tolist() == [True, True, False, False]
    assert still_filters(before, before, silent) is None  # nobody moves: that proves nothing
    assert still_filters(before, before, silent | True).tolist() == [True] * 4


def test_a_gradient_along_the_weights_is_that_of_a_penalty():
    kernel, gradient = well(1, 3, 30), well(2, 3, 30)
    gradient[0], gradient[1] = 0, 0.01 * kernel[1]
    assert filters_without_gradient(weight_sample(kernel, gradient=gradient)).tolist() == [True, True, False]
    assert filters_without_gradient(weight_sample(kernel, gradient=0 * gradient)) is None
    assert filters_without_gradient(weight_sample(kernel)) is None


def test_the_effective_rank_is_measured_more_and_more_rarely():
    conv = [layer("conv", 1, kernel=well(k, 16, 4, 3, 3), output=well(9, 4, 8, 8, 16)) for k in range(40)]
    steps = followed(*(step_of(step, conv[step], head(step)) for step in range(40)))
    measured = [step for step in range(40) if "effective rank" in steps[step].health["conv"].numbers]
    assert measured == [*range(9), *range(10, 17, 2), 19, 22, 25, 29, 33, 38]
