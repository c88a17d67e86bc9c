"""CKA, correlations and assignments against other ways to find them."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from view_models import layer

from layerviz_callbacks.comparing import linear_cka
from layerviz_callbacks.comparing.answer_rows import MOST_ROWS, common_grid, maps_of, rows_of
from layerviz_callbacks.comparing.assignment import best_assignment, correlations, cosines, paired_cosines
from layerviz_callbacks.comparing.cka import FEWEST_ROWS
from layerviz_callbacks.comparing.weights import Order, relative_distance
from layerviz_callbacks.cut import OutputCut, cut_output


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def hsic_by_centring(one, other):
    """Kornblith et al. 2019, equation 3: tr(KHLH) / (n - 1)^2, H being the centring matrix."""
    count = len(one)
    centring = np.eye(count) - np.ones((count, count)) / count
    return np.trace(one @ one.T @ centring @ other @ other.T @ centring) / (count - 1) ** 2


def hsic_by_u_centring(one, other):
    """Szekely and Rizzo 2014: the inner product of U-centred kernels, by sums over all pairs of rows."""
    count = len(one)

    def centred(rows):
        kernel = rows @ rows.T
        np.fill_diagonal(kernel, 0)
        result = np.zeros_like(kernel)
        for i in range(count):
            for j in range(count):
                if i != j:
                    means = (kernel[i].sum() + kernel[:, j].sum()) / (count - 2)
                    result[i, j] = kernel[i, j] - means + kernel.sum() / ((count - 1) * (count - 2))
        return result

    return (centred(one) * centred(other)).sum() / (count * (count - 3))


def cka_by(hsic, one, other):
    return hsic(one, other) / np.sqrt(hsic(one, one) * hsic(other, other))


@pytest.mark.parametrize("count", [4, 9, 30])
def test_cka_is_what_kernels_of_all_rows_give(count):
    one, other = normal(count, 3) + 5, normal(count, 7, seed=1)
    other[:, 0] += one[:, 1]
    assert linear_cka(one, other, debiased=False) == pytest.approx(cka_by(hsic_by_centring, one, other))
    assert linear_cka(one, other) == pytest.approx(cka_by(hsic_by_u_centring, one, other))


def test_cka_of_many_features_and_of_many_rows_is_what_kernels_of_all_rows_give():
    for count, features in ((40, 90), (600, 30)):  # by kernels, and by features
        one, other = normal(count, features) + 5, normal(count, features, seed=1)
        other[:, :4] += one[:, :4]
        kernels = [rows - rows.mean(axis=0) for rows in (one, other)]
        kernels = [rows @ rows.T for rows in kernels]

        def hsic(first, second):
            first, second = (kernel * (1 - np.eye(len(kernel))) for kernel in (first, second))
            count = len(first)
            sums = first.sum() * second.sum() / ((count - 1) * (count - 2))
            return (np.trace(first @ second) + sums - 2 / (count - 2) * (first @ second).sum()) / count

        expected = hsic(*kernels) / np.sqrt(hsic(kernels[0], kernels[0]) * hsic(kernels[1], kernels[1]))
        assert linear_cka(one, other) == pytest.approx(expected)


def test_the_cosine_of_pairs_is_the_diagonal_of_all_cosines():
    one, other = normal(5, 7), normal(5, 7, seed=1)
    one[2] = 0
    one[3] = other[3] = 0
    assert np.allclose(paired_cosines(one, other), np.diagonal(cosines(one, other)))
    assert paired_cosines(one, other)[2:4].tolist() == [0, 1]


def test_cka_is_one_for_rotations_and_factors_and_not_for_other_maps():
    one = normal(50, 4)
    rotation = np.linalg.qr(normal(4, 4, seed=2))[0]
    assert linear_cka(one, -3e20 * one @ rotation + 7) == pytest.approx(1)
    assert linear_cka(one, one * [100, 1, 1, 1]) < 0.8


def test_the_debiased_cka_of_unlike_rows_is_about_zero_where_the_plain_one_is_high():
    found = [
        (linear_cka(one, other), linear_cka(one, other, debiased=False))
        for one, other in ((normal(32, 64, seed=seed), normal(32, 64, seed=100 + seed)) for seed in range(50))
    ]
    debiased, plain = np.array(found).T
    assert abs(debiased.mean()) < 0.03
    assert 0.03 < debiased.std() < 0.07  # what ENOUGH_ROWS says
    assert plain.min() > 0.55


def test_cka_of_too_few_rows_or_of_constant_rows_is_none():
    assert np.isnan(linear_cka(normal(FEWEST_ROWS - 1, 2), normal(FEWEST_ROWS - 1, 2)))
    assert np.isnan(linear_cka(np.ones((9, 2)), normal(9, 2)))
    assert np.isnan(linear_cka(np.ones((9, 2)), normal(9, 2), debiased=False))


def test_cosines_and_correlations_are_numpys():
    one, other = normal(5, 9), normal(5, 9, seed=1)
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in other] for a in one]
    np.testing.assert_allclose(cosines(one, other), expected)
    np.testing.assert_allclose(correlations(one.T, other.T), np.corrcoef(one, other)[:5, 5:])


def test_a_constant_channel_has_no_correlation():
    rows = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])
    found = correlations(rows, rows)
    assert np.isnan(found[0]).all() and np.isnan(found[:, 0]).all()
    assert found[1, 1] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_the_assignment_is_the_best_of_all_permutations(seed):
    likeness = np.abs(cosines(normal(5, 9, seed=seed), normal(5, 9, seed=seed + 9)))
    best = max(permutations(range(5)), key=lambda order: sum(likeness[np.arange(5), order]))
    assert best_assignment(likeness).tolist() == list(best)


def test_of_channels_that_are_exactly_alike_each_keeps_its_own_number():
    assert best_assignment(np.ones((6, 6))).tolist() == list(range(6))
    assert best_assignment(np.full((3, 3), np.nan)).tolist() == [0, 1, 2]


def test_the_distance_is_relative_to_a_and_does_not_overflow():
    assert relative_distance(np.array([3.0, 4.0]), np.zeros(2)) == 1
    assert relative_distance(np.zeros(2), np.zeros(2)) == 0
    assert relative_distance(np.zeros(2), np.ones(2)) == np.inf
    large = np.array([3e300, 4e300])
    assert relative_distance(large, 2 * large) == pytest.approx(1)


def test_maps_of_two_sizes_are_compared_on_the_coarser_grid():
    fine = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    assert common_grid(fine, np.zeros((2, 2, 9, 5))) == (2, 6)
    assert common_grid(fine, np.zeros((2, 5))) == ()
    rows = rows_of(fine, (2, 3), samples=2)
    blocks = fine.reshape(2, 2, 2, 3, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(rows, blocks.reshape(-1, 3))
    np.testing.assert_allclose(rows_of(fine, (), samples=1), fine[:1].mean(axis=(1, 2)))


def test_of_many_rows_some_are_taken_evenly_and_never_one_column_of_the_maps_alone():
    numbers = np.arange(8 * 64 * 64, dtype=np.float64).reshape(8, 64, 64, 1)
    rows = rows_of(numbers, (64, 64), samples=8)[:, 0].astype(int)
    assert len(rows) == MOST_ROWS
    np.testing.assert_array_equal(rows // (numbers.size // MOST_ROWS), np.arange(MOST_ROWS))
    per_column = np.bincount(rows % 64, minlength=64)
    assert per_column.min() > 20 and per_column.max() < 50  # 32 each would be even


def test_of_a_curve_kept_as_stretches_the_values_of_one_moment_are_compared(layer_of_a_long_trace):
    whole, cut = layer_of_a_long_trace
    np.testing.assert_array_equal(maps_of(cut), whole[:, ::10])


@pytest.fixture
def layer_of_a_long_trace():
    whole = normal(3, 1000, 2).astype(np.float32)
    part, taken = cut_output(whole, OutputCut(stretches=100))
    known = layer(kind="Conv1D", output=part, output_taken=taken)
    return whole, replace(known, output_shape=whole.shape)


def test_inputs_of_a_flattened_layer_are_ordered_channels_first_or_last():
    order = Order("conv", (2, 0, 1), (1.0, -1.0, 1.0))
    assert [places.tolist() for places, _ in order.inputs(3, flat=False)] == [[2, 0, 1]]
    (first, signs), (last, others) = order.inputs(6, flat=True)
    assert first.tolist() == [4, 5, 0, 1, 2, 3] and signs.tolist() == [1, 1, -1, -1, 1, 1]
    assert last.tolist() == [2, 0, 1, 5, 3, 4] and others.tolist() == [1, -1, 1, 1, -1, 1]
    assert list(order.inputs(7, flat=True)) == [] == list(order.inputs(6, flat=False))
