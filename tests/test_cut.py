import numpy as np
import pytest

from layerviz_callbacks.cut import (
    KernelCut,
    OutputCut,
    chosen_channels,
    cut_again,
    cut_kernel,
    cut_output,
    recut_kernel,
    recut_output,
    shape_of_kernel,
    shape_of_output,
)

OUTPUT_CUTS = [
    OutputCut(),
    OutputCut(samples=1),
    OutputCut(channels=(2, 0)),
    OutputCut(samples=2, strongest=2),
    OutputCut(strongest=1),
    OutputCut(slices=(0, 2), block=2),
    OutputCut(samples=2, channels=(0, 1), slices=(1,), block=2),
    OutputCut(samples=2, channels=(1, 3), slices=(1,), block=2),
    OutputCut(stretches=2),
    OutputCut(samples=1, stretches=2),
]
KERNEL_CUTS = [
    KernelCut(),
    KernelCut(channels=(3, 1)),
    KernelCut(strongest=2, mean_inputs=True),
    KernelCut(strongest=3),
    KernelCut(strongest=1, parts=2),
    KernelCut(channels=(0, 2), inputs=2),
    KernelCut(inputs=2, mean_inputs=True),
    KernelCut(mean_inputs=True, slices=(0, 2)),
    KernelCut(blocks=(2, 2)),
    KernelCut(channels=(0, 1, 2), blocks=(2, 2)),
]


def numbers(*shape, kind="float32"):
    return (np.random.default_rng(0).normal(size=shape) * 9).astype(kind)


def test_an_output_is_cut_in_samples_channels_slices_and_blocks_in_this_order():
    output = numbers(3, 4, 5, 6, 7)
    part, taken = cut_output(output, OutputCut(samples=2, channels=(6, 1), slices=(3, 0), block=2))
    assert part.shape == (2, 2, 3, 3, 2)
    for (place, channel), (position, depth) in [((0, 6), (0, 3)), ((1, 1), (1, 0))]:
        block = output[1, depth, 2:4, 4:6, channel]
        assert part[1, position, 1, 2, place] == pytest.approx(block.mean(), rel=1e-5)
    assert taken.channels == (6, 1)
    seen = output[:2, [3, 0]]
    np.testing.assert_array_equal(taken.lowest, seen[..., [6, 1]].min(axis=(0, 1, 2, 3)))
    np.testing.assert_array_equal(taken.highest, seen[..., [6, 1]].max(axis=(0, 1, 2, 3)))


def test_a_block_at_the_edge_is_the_mean_of_what_is_there():
    output = np.arange(15, dtype=np.float32).reshape(1, 3, 5, 1)
    part, _ = cut_output(output, OutputCut(block=2))
    assert part[0, :, :, 0].tolist() == [[3, 5, 6.5], [10.5, 12.5, 14]]


def test_a_stretch_is_its_first_smallest_and_largest_value():
    output = np.array([5, 1, 9, 2, 4, 3, 7, 8], np.float32).reshape(1, 8, 1)
    part, _ = cut_output(output, OutputCut(stretches=2))
    assert part.ravel().tolist() == [5, 1, 9, 4, 3, 8]
    short, _ = cut_output(output, OutputCut(stretches=3))
    assert short is output or np.array_equal(short, output)


def test_a_stretch_with_nan_is_nan():
    output = np.array([5, np.nan, 9, 2, 4, 3, 7, 8], np.float32).reshape(1, 8, 1)
    part, taken = cut_output(output, OutputCut(stretches=2))
    np.testing.assert_array_equal(part.ravel(), [5, np.nan, np.nan, 4, 3, 8])
    assert (taken.lowest[0], taken.highest[0], taken.not_a_number[0]) == (2, 9, True)


@pytest.mark.filterwarnings("error")
def test_ranges_do_not_count_nan_and_keep_infinities():
    channels = [[np.nan, np.nan], [np.nan, 3], [np.inf, 3], [-np.inf, np.nan], [np.inf, np.inf], [0, 0]]
    _, taken = cut_output(np.array(channels, np.float32).T, OutputCut())
    assert taken.lowest.tolist() == [np.inf, 3, 3, -np.inf, np.inf, 0]
    assert taken.highest.tolist() == [-np.inf, 3, np.inf, -np.inf, np.inf, 0]
    assert taken.not_a_number.tolist() == [True, True, False, True, False, False]


def test_the_strongest_outputs_have_the_largest_mean_magnitude_of_equal_ones_the_first():
    output = np.array([[1, -5, 2, 5, 0], [1, -5, 2, 5, 100]], np.float32)
    assert cut_output(output, OutputCut(strongest=3))[1].channels == (4, 1, 3)
    assert cut_output(output, OutputCut(samples=1, strongest=3))[1].channels == (1, 3, 2)
    output[0, 2] = np.nan
    assert cut_output(output, OutputCut(strongest=1))[1].channels == (2,), "what is broken is shown first"


def test_the_strongest_kernels_have_the_largest_norm():
    kernel = np.array([[3, 4], [0, -6], [5, 5]], np.float32)
    part, taken = cut_kernel(kernel, KernelCut(strongest=2))
    assert taken.channels == (2, 1)
    assert part.tolist() == [[5, 5], [0, -6]]


def test_the_strongest_units_take_their_channel_of_each_part():
    kernel = np.array([1, 2, 3, 9, 0, 0], np.float32).reshape(6, 1)  # units 0, 1, 2 of two parts
    _, taken = cut_kernel(kernel, KernelCut(strongest=2, parts=2))
    assert taken.channels == (0, 2, 3, 5)
    assert chosen_channels(KernelCut(strongest=2, parts=4), 6, lambda: kernel[:, 0]) == (3, 2)


def test_kernels_are_cut_in_channels_inputs_mean_and_slices():
    kernel = numbers(4, 3, 5, 2, 2)
    part, taken = cut_kernel(kernel, KernelCut(channels=(3, 0), inputs=2, mean_inputs=True, slices=(4, 1)))
    np.testing.assert_allclose(part, kernel[[3, 0], :2][:, :, [4, 1]].mean(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(taken.lowest, part.min(axis=(1, 2, 3, 4)))


def test_cells_of_a_matrix_are_means_and_its_ranges_are_those_of_all_weights():
    kernel = np.array([[1, -1, 8], [-1, 1, 2]], np.float32)
    part, taken = cut_kernel(kernel, KernelCut(blocks=(2, 2)))
    assert part.tolist() == [[0, 5]]
    assert (taken.lowest.tolist(), taken.highest.tolist()) == ([-1, -1], [8, 2])


def test_channels_that_are_not_there_are_left_out():
    assert cut_output(numbers(2, 3), OutputCut(channels=(9, 1)))[1].channels == (1,)
    assert cut_kernel(numbers(3, 2), KernelCut(channels=(9, 1)))[1].channels == (1,)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int64", "float16"])
def test_other_numbers_become_floats_and_the_input_stays_as_it_is(kind):
    output = numbers(2, 6, 6, 3, kind=kind)
    before = output.copy()
    part, _ = cut_output(output, OutputCut(samples=1, strongest=2, block=2))
    assert part.dtype == np.float32
    assert cut_kernel(output, KernelCut(strongest=1, mean_inputs=True))[0].dtype == np.float32
    np.testing.assert_array_equal(output, before)


@pytest.mark.parametrize("cut", OUTPUT_CUTS, ids=str)
@pytest.mark.parametrize("shape", [(3, 4), (3, 50, 4), (3, 7, 5, 4), (3, 3, 7, 5, 4)])
def test_the_shape_of_a_cut_output_is_known_before(shape, cut):
    assert cut_output(numbers(*shape), cut)[0].shape == shape_of_output(shape, cut)


@pytest.mark.parametrize("cut", KERNEL_CUTS, ids=str)
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 3, 3, 3)])
def test_the_shape_of_a_cut_kernel_is_known_before(shape, cut):
    assert cut_kernel(numbers(*shape), cut)[0].shape == shape_of_kernel(shape, cut)


def equal(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1].channels == other[1].channels
    for name in ("lowest", "highest", "not_a_number"):
        np.testing.assert_array_equal(getattr(one[1], name), getattr(other[1], name))


def broken(values):
    values.flat[::13] = np.nan
    values.flat[5::17] = np.inf
    return values


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("second", OUTPUT_CUTS, ids=str)
@pytest.mark.parametrize("first", OUTPUT_CUTS, ids=str)
def test_what_two_ask_for_of_an_output_gives_each_what_it_asked_for(first, second):
    for shape in [(3, 4), (3, 50, 4), (3, 7, 5, 4), (3, 3, 7, 5, 4)]:
        for output in (numbers(*shape), broken(numbers(*shape))):
            together = cut_output(output, first.union(second))
            for wanted in (first, second):
                equal(recut_output(*together, wanted), cut_output(output, wanted))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("second", KERNEL_CUTS, ids=str)
@pytest.mark.parametrize("first", KERNEL_CUTS, ids=str)
def test_what_two_ask_for_of_a_kernel_gives_each_what_it_asked_for(first, second):
    for shape in [(4, 3), (4, 3, 5), (4, 3, 3, 3, 3)]:
        for kernel in (numbers(*shape), broken(numbers(*shape))):
            together = cut_kernel(kernel, first.union(second))
            for wanted in (first, second):
                equal(recut_kernel(*together, wanted), cut_kernel(kernel, wanted))


def test_what_two_ask_for_is_no_more_than_needed():
    first, second = (
        OutputCut(samples=2, channels=(0, 1), block=3),
        OutputCut(samples=2, channels=(5,), block=3),
    )
    assert first.union(second) == OutputCut(samples=2, channels=(0, 1, 5), block=3)
    assert OutputCut(strongest=2).union(OutputCut(strongest=5)) == OutputCut(strongest=5)
    assert KernelCut(channels=(1,), mean_inputs=True).union(
        KernelCut(channels=(0,), mean_inputs=True)
    ) == KernelCut(channels=(0, 1), mean_inputs=True)


def test_what_was_not_read_is_told_by_what_was_taken():
    output = numbers(4, 9, 9, 6)
    part, taken = recut_output(
        *cut_output(output, OutputCut(samples=2, channels=(4, 5, 0), block=3)),
        OutputCut(samples=3, channels=(0, 1, 4)),
    )
    assert part.shape == (2, 3, 3, 2)
    assert taken.channels == (0, 4)
    assert (taken.cut.samples, taken.cut.block) == (2, 3)
    np.testing.assert_array_equal(taken.highest, output[:2].max(axis=(0, 1, 2))[[0, 4]])


def test_a_cut_of_a_cut_is_counted_in_the_layer():
    volume = numbers(2, 9, 6, 6, 5)
    first = cut_output(volume, OutputCut(channels=(4, 2, 0), slices=(1, 5, 8), block=2))
    part, taken = cut_again(*first, OutputCut(channels=(1, 2), slices=(2,)))
    assert part.shape == (2, 1, 3, 3, 2)
    assert (taken.channels, taken.cut.slices, taken.cut.block) == ((2, 0), (8,), 2)
    with pytest.raises(TypeError, match="KernelCut after OutputCut"):
        cut_again(*first, KernelCut())
