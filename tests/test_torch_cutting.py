"""What is cut on the device equals the reference in NumPy, and no more than that is copied."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch_models import images

from layerviz_callbacks.cut import KernelCut, OutputCut, cut_kernel, cut_output
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader
from layerviz_callbacks.torch.cutting import take_kernel, take_output

SHAPES = {0: (5, 6), 1: (3, 17, 6), 2: (3, 7, 9, 6), 3: (2, 5, 7, 4, 6)}
OUTPUT_CUTS = [
    OutputCut(),
    OutputCut(samples=2),
    OutputCut(channels=(4, 0, 9)),
    OutputCut(channels=(2, 3)),
    OutputCut(strongest=3, samples=2),
    OutputCut(slices=(0, 3)),
    OutputCut(slices=(4,), block=2, channels=(1,)),
    OutputCut(block=3),
    OutputCut(block=50),
    OutputCut(stretches=4),
    OutputCut(stretches=5, channels=(5,), samples=1),
    OutputCut(stretches=6),  # longer than the curve: it stays as it is
]
KERNEL_CUTS = [
    KernelCut(),
    KernelCut(channels=(3, 1)),
    KernelCut(strongest=4),
    KernelCut(inputs=2),
    KernelCut(mean_inputs=True),
    KernelCut(inputs=3, mean_inputs=True, channels=(0, 1)),
    KernelCut(slices=(1, 2), mean_inputs=True),
]


def values(shape, *, odd=False, seed=0):
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    if odd:
        array[..., 1] = np.nan
        array[0, ..., 2] = np.nan
        array[0, ..., 3] = np.inf
        array[-1, ..., 3] = -np.inf
        array[..., 4] = -np.inf
    return array


def assert_same_taken(part, taken, expected, expected_taken, *, tolerance=0.0):
    assert part.dtype == np.float32 and part.flags["C_CONTIGUOUS"]
    assert part.shape == expected.shape
    np.testing.assert_allclose(part, expected, rtol=tolerance, atol=tolerance)
    assert taken.cut == expected_taken.cut and taken.channels == expected_taken.channels
    np.testing.assert_allclose(taken.lowest, expected_taken.lowest, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(taken.highest, expected_taken.highest, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(taken.not_a_number, expected_taken.not_a_number)


@pytest.mark.parametrize("odd", [False, True], ids=["finite", "NaN and Inf"])
@pytest.mark.parametrize("cut", OUTPUT_CUTS, ids=str)
@pytest.mark.parametrize("rank", SHAPES)
def test_a_cut_of_an_output_equals_the_reference(rank, cut, odd):
    array = values(SHAPES[rank], odd=odd)
    reference = cut_output(array, cut)
    averaged = 1e-6 if cut.block > 1 else 0.0
    assert_same_taken(*take_output(torch.from_numpy(array), cut), *reference, tolerance=averaged)
    channels_first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1))).movedim(1, -1)
    assert_same_taken(*take_output(channels_first, cut), *reference, tolerance=averaged)


@pytest.mark.parametrize(
    "cut", [OutputCut(block=2), OutputCut(strongest=2), OutputCut(channels=(1, 5))], ids=str
)
def test_maps_in_channels_last_memory_are_cut_alike(cut):
    array = values((2, 6, 8, 8))
    tensor = torch.from_numpy(array).to(memory_format=torch.channels_last)
    reference = cut_output(np.moveaxis(array, 1, -1), cut)
    assert_same_taken(*take_output(tensor.permute(0, 2, 3, 1), cut), *reference, tolerance=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("cut", [OutputCut(block=2), OutputCut(strongest=2)], ids=str)
def test_other_types_are_cut_as_their_float32_values(dtype, cut):
    tensor = torch.from_numpy(values((2, 8, 8, 6))).to(dtype)
    reference = cut_output(tensor.float().numpy(), cut)
    assert_same_taken(*take_output(tensor, cut), *reference, tolerance=1e-6)


def test_channels_of_equal_strength_keep_their_order():
    array = np.stack([np.full((2, 9), value, np.float32) for value in (1, -3, 2, 3, 3)], axis=-1)
    _, taken = take_output(torch.from_numpy(array), OutputCut(strongest=4))
    assert taken.channels == (1, 3, 4, 2)


def test_an_empty_output_has_no_range():
    part, taken = take_output(torch.zeros(0, 4, 3), OutputCut(samples=2))
    assert part.shape == (0, 4, 3)
    assert taken.lowest.tolist() == [np.inf] * 3 and taken.highest.tolist() == [-np.inf] * 3


@pytest.mark.parametrize("odd", [False, True], ids=["finite", "NaN and Inf"])
@pytest.mark.parametrize("cut", KERNEL_CUTS, ids=str)
@pytest.mark.parametrize("space", [(), (5,), (3, 3), (3, 2, 3)], ids=str)
def test_a_cut_of_a_kernel_equals_the_reference(space, cut, odd):
    array = np.moveaxis(values((4, *space, 6), odd=odd), -1, 0)  # odd output channels
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    tolerance = 1e-6 if cut.mean_inputs else 0.0
    assert_same_taken(*take_kernel(tensor, cut), *cut_kernel(array, cut), tolerance=tolerance)


@pytest.mark.parametrize("blocks", [(1, 1), (2, 3), (4, 1), (1, 5), (100, 100)], ids=str)
def test_a_matrix_is_cut_to_means_of_blocks(blocks):
    array, cut = values((13, 11)), KernelCut(blocks=blocks)
    part, taken = take_kernel(torch.from_numpy(array), cut)
    assert_same_taken(part, taken, *cut_kernel(array, cut), tolerance=1e-6)
    corner = array[: blocks[0], : blocks[1]].mean()
    np.testing.assert_allclose(part[0, 0], corner, rtol=1e-5)


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that was made, views not counted."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor) and not operation.is_view:
                self.elements = max(self.elements, tensor.numel())
        return result


def test_a_large_matrix_is_nowhere_copied_whole():
    weight = torch.rand(512, 640)
    with Largest() as whole:
        take_kernel(weight, KernelCut())
    with Largest() as blocks:
        take_kernel(weight, KernelCut(blocks=(32, 32)))
    assert whole.elements == weight.numel()
    assert blocks.elements == weight.numel() / 32


def test_the_reader_cuts_what_it_is_asked_to_and_keeps_the_full_shapes():
    x, _ = images(4)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(288, 70))
    names = frozenset({"0", "3"})
    whole = TorchReader(model, x).read(Request(kernels=names, outputs=names))
    output_cuts = {"0": OutputCut(samples=2, strongest=3, block=2), "3": OutputCut(channels=(7,))}
    kernel_cuts = {"0": KernelCut(channels=(1, 4)), "3": KernelCut(blocks=(7, 8))}
    request = Request(kernels=names, outputs=names, output_cuts=output_cuts, kernel_cuts=kernel_cuts)
    snapshot = TorchReader(model, x).read(request)
    for name in names:
        cut, full = snapshot[name], whole[name]
        assert full.output_taken is None and full.kernel_taken is None and not full.weights
        assert (cut.output_shape, cut.kernel_shape) == (full.output.shape, full.kernel.shape)
        reference = cut_output(full.output, output_cuts[name])
        assert_same_taken(cut.output, cut.output_taken, *reference, tolerance=1e-6)
        reference = cut_kernel(full.kernel, kernel_cuts[name])
        assert_same_taken(cut.kernel, cut.kernel_taken, *reference, tolerance=1e-6)
    assert whole["0"].output.min() < 0  # copied, and cut, before the activation in place


def test_further_calls_and_kernels_have_cuts_of_their_own():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 2, batch_first=True)

        def forward(self, x):
            self.lstm(x)
            return self.lstm(x + 1)

    model, names = Model(), frozenset({"lstm"})
    kernel_cuts = {"lstm.weight_hh_l0": KernelCut(channels=(5,))}
    output_cuts = {"lstm#2": OutputCut(stretches=2), "lstm": OutputCut(channels=(1,))}
    reader = TorchReader(model, np.ones((4, 9, 3), np.float32))
    snapshot = reader.read(
        Request(kernels=names, outputs=names, kernel_cuts=kernel_cuts, output_cuts=output_cuts)
    )
    assert snapshot["lstm"].kernel.shape == (8, 3)
    assert snapshot["lstm.weight_hh_l0"].kernel.shape == (1, 2)
    assert snapshot["lstm.weight_hh_l0"].kernel_shape == (8, 2)
    assert snapshot["lstm"].output.shape == (4, 9, 1)
    assert snapshot["lstm#2"].output.shape == (4, 6, 2) and snapshot["lstm#2"].output_shape == (4, 9, 2)
    assert snapshot["lstm.1.0"].output_taken is None
