"""Cuts on the device against the same cuts in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from layerviz_callbacks.cut import KernelCut, OutputCut, cut_kernel, cut_output
from layerviz_callbacks.keras.cutting import kernel_arrays, kernel_tensors, output_arrays, output_tensors
from layerviz_callbacks.keras.hosted import cut_kernel_view, cut_output_view, view_of
from layerviz_callbacks.keras.kernels import tensor_of
from layerviz_callbacks.keras.layout import Layout, convolution, depthwise, einsum, transposed


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def with_faults(values):
    """A NaN in one channel, an infinity in another, a third all NaN."""
    values = values.copy()
    values[(0,) * (values.ndim - 1) + (1,)] = np.nan
    values[(-1,) * (values.ndim - 1) + (2,)] = np.inf
    values[..., 3] = np.nan
    return values


def compare(actual, expected):
    (part, taken), (wanted, told) = actual, expected
    np.testing.assert_allclose(part, wanted, rtol=1e-5, atol=1e-6)
    assert taken.channels == told.channels and taken.cut == told.cut
    np.testing.assert_array_equal(taken.not_a_number, told.not_a_number)
    np.testing.assert_allclose(taken.lowest, told.lowest, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(taken.highest, told.highest, rtol=1e-6, atol=1e-7)
    assert part.dtype == np.float32 and part.flags["C_CONTIGUOUS"]


def eagerly(make, value):
    tensor = keras.ops.convert_to_tensor(value)
    return {name: np.array(keras.ops.convert_to_numpy(one)) for name, one in make(tensor).items()}


def compiled(make, value):
    """The same inside a compiled function, where values are not known yet."""
    backend = keras.backend.backend()
    if backend == "torch":
        pytest.skip("nothing is compiled on PyTorch")
    if backend == "jax":
        import jax

        cut = jax.jit(make)(value)
    else:
        import tensorflow

        cut = tensorflow.function(make)(tensorflow.constant(value))
    return {name: np.array(one) for name, one in cut.items()}


def hosted(make, value):
    """On a view of the computer's own memory."""
    if keras.backend.backend() == "jax":
        pytest.skip("on JAX all cuts are compiled")
    view = view_of(keras.ops.convert_to_tensor(value))
    assert view is not None and not view.flags.owndata
    return make(view)


def test_a_view_is_of_the_tensor_itself_and_what_is_cut_from_it_is_not():
    if keras.backend.backend() == "jax":
        pytest.skip("on JAX all cuts are compiled")
    variable = keras.Variable(numbers(3, 4))
    before = numbers(3, 4)
    tensor = tensor_of(variable)
    cuts = [cut_kernel_view(view_of(tensor), convolution(2), KernelCut())]
    cuts += [cut_output_view(view_of(tensor), cut, channel_axis=1) for cut in (None, OutputCut())]
    if keras.backend.backend() == "torch":
        variable.value.data.fill_(0)
        assert not view_of(tensor).any()
    else:
        variable.assign(np.zeros((3, 4)))
    np.testing.assert_array_equal(cuts[0]["part"], before.T)
    for cut in cuts[1:]:
        np.testing.assert_array_equal(cut["part"], before)
    assert all(cut["part"].flags.owndata and cut["part"].flags.writeable for cut in cuts)
    assert view_of(keras.ops.cast(before, "bfloat16")) is None


OUTPUT = {eagerly: output_tensors, compiled: output_tensors, hosted: cut_output_view}
OUTPUTS = {
    "vector": ((3, 7), OutputCut(samples=2, channels=(5, 0))),
    "vector, all": ((3, 7), OutputCut()),
    "vector, strongest": ((3, 7), OutputCut(strongest=3)),
    "curve": ((2, 50, 6), OutputCut(samples=1, channels=(0, 1, 4), stretches=7)),
    "curve, strongest": ((2, 41, 6), OutputCut(strongest=4, stretches=10)),
    "short curve": ((2, 12, 6), OutputCut(channels=(2, 3, 99), stretches=4)),
    "image": ((2, 7, 9, 5), OutputCut(samples=2, channels=(0, 1, 2), block=3)),
    "image, strongest": ((3, 6, 6, 5), OutputCut(samples=2, strongest=2, block=2)),
    "image, more channels than there are": ((2, 3, 3, 5), OutputCut(strongest=9)),
    "volume": ((2, 5, 7, 6, 4), OutputCut(channels=(3, 1), slices=(0, 2, 4), block=4)),
    "volume, strongest": ((2, 5, 4, 4, 6), OutputCut(strongest=5, slices=(1,))),
}


@pytest.mark.parametrize("faulty", [False, True], ids=["numbers", "with NaN and infinity"])
@pytest.mark.parametrize("run", [eagerly, compiled, hosted])
@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_are_cut_as_in_numpy(name, run, faulty):
    shape, cut = OUTPUTS[name]
    values = numbers(*shape) * np.linspace(0.5, 2, shape[-1], dtype="float32")
    values = with_faults(values) if faulty and shape[-1] > 3 else values
    expected = cut_output(values, cut)
    arrays = run(lambda tensor: OUTPUT[run](tensor, cut, channel_axis=len(shape) - 1), values)
    compare(output_arrays(arrays, shape, cut), expected)
    if len(shape) > 2:
        first = np.ascontiguousarray(np.moveaxis(values, -1, 1))
        arrays = run(lambda tensor: OUTPUT[run](tensor, cut, channel_axis=1), first)
        compare(output_arrays(arrays, shape, cut), expected)


def test_equally_strong_channels_come_in_their_order():
    values = np.tile(np.array([1, 3, 2, 3, 1], "float32"), (2, 4, 1))
    arrays = eagerly(lambda tensor: output_tensors(tensor, OutputCut(strongest=4), channel_axis=2), values)
    assert arrays["channels"].tolist() == [1, 3, 2, 0]


def test_half_precision_is_cut_as_float32():
    values = keras.ops.cast(numbers(2, 8, 3), "float16")
    cut = OutputCut(channels=(2,), stretches=2)
    arrays = eagerly(lambda tensor: output_tensors(tensor, cut, channel_axis=2), values)
    compare(
        output_arrays(arrays, (2, 8, 3), cut),
        cut_output(np.array(keras.ops.convert_to_numpy(values)).astype("float32"), cut),
    )


def test_what_has_no_values_or_no_channels_is_left_to_numpy():
    cut = OutputCut(samples=1)
    arrays = eagerly(lambda tensor: output_tensors(tensor, cut, channel_axis=1), numbers(2, 0))
    part, taken = output_arrays(arrays, (2, 0), cut)
    assert part.shape == (1, 0) and taken.channels == ()
    arrays = eagerly(lambda tensor: output_tensors(tensor, cut, channel_axis=0), numbers(2))
    part, taken = output_arrays(arrays, (2,), cut)
    assert part.shape == (2,) and taken is None


def test_complex_outputs_are_given_as_they_are():
    values = np.array([[1 + 2j, 3j]], "complex64")
    arrays = eagerly(lambda tensor: output_tensors(tensor, OutputCut(), channel_axis=1), values)
    part, taken = output_arrays(arrays, (1, 2), OutputCut())
    np.testing.assert_array_equal(part, values)
    assert taken is None


KERNELS = {
    "dense": ((30, 14), convolution(2), KernelCut(blocks=(4, 7))),
    "dense, strongest": ((6, 9), convolution(2), KernelCut(strongest=4, inputs=3)),
    "gates": ((5, 12), convolution(2), KernelCut(strongest=2, parts=4)),
    "parts that do not fit": ((5, 7), convolution(2), KernelCut(strongest=2, parts=4)),
    "1-D": ((5, 3, 8), convolution(3), KernelCut(channels=(1, 7, 0), mean_inputs=True)),
    "2-D": ((3, 3, 4, 8), convolution(4), KernelCut(channels=(0, 1, 2), inputs=3)),
    "2-D, transposed": ((3, 2, 4, 8), transposed(4), KernelCut(strongest=3, mean_inputs=True)),
    "2-D, depthwise": ((3, 3, 4, 2), depthwise(4), KernelCut(channels=(5, 2))),
    "depthwise, whole": ((3, 3, 4, 2), depthwise(4), KernelCut()),
    "3-D": ((4, 3, 3, 2, 6), convolution(5), KernelCut(slices=(0, 3), strongest=2, mean_inputs=True)),
    "heads": ((8, 3, 4), einsum("abc,cde->abde"), KernelCut(blocks=(3, 2))),
    "from heads": ((3, 4, 8), einsum("abcd,cde->abe"), KernelCut(channels=(7, 1), inputs=5)),
    "axes apart": ((3, 4, 5), Layout(out=(0, 2), into=(1,), space=()), KernelCut(strongest=4)),
}


@pytest.mark.parametrize("faulty", [False, True], ids=["numbers", "with NaN and infinity"])
@pytest.mark.parametrize("run", [eagerly, compiled, hosted])
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_cut_as_in_numpy(name, run, faulty):
    shape, layout, cut = KERNELS[name]
    stored = numbers(*shape) * np.linspace(0.5, 2, shape[-1], dtype="float32")
    stored = with_faults(stored) if faulty and shape[-1] > 3 else stored
    kernel = layout.array(stored)
    with np.errstate(invalid="ignore"):
        expected = cut_kernel(kernel, cut)
    make = cut_kernel_view if run is hosted else kernel_tensors
    arrays = run(lambda tensor: make(tensor, layout, cut), stored)
    compare(kernel_arrays(arrays, kernel.shape, cut), expected)
