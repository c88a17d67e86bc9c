"""How a probe enters a model, and what is said where it does not."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_models import read_all

from layerviz_callbacks import ProbeError
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.torch.inputs import call_arguments

CONV = nn.Sequential(nn.Conv2d(3, 2, 3))


def fault(model, probe):
    with pytest.raises(ProbeError) as caught:
        read_all(model, probe)
    return str(caught.value)


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, image, age=None):
        return self.linear(image) + age


class OneDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, batch):
        return self.linear(batch["image"])


def test_float64_numpy_just_works_and_integers_stay():
    (x, ids), named = call_arguments(Named(), Probe([np.ones((2, 2)), np.array([[1], [2]])]))
    assert (x.dtype, ids.dtype, named) == (torch.float32, torch.int64, {})
    (half,), _ = call_arguments(nn.Linear(2, 2).half(), Probe(np.ones((2, 2))))
    assert half.dtype == torch.float16


def test_a_dict_is_keyword_arguments_where_forward_accepts_the_names():
    batch = {"image": np.ones((2, 2)), "age": np.ones((2, 1))}
    arguments, named = call_arguments(Named(), Probe(batch))
    assert arguments == () and list(named) == ["image", "age"]
    compiled = torch.compile(Named(), backend="eager")
    assert list(call_arguments(compiled, Probe(batch))[1]) == ["image", "age"]


def test_a_dict_is_one_argument_where_forward_does_not():
    arguments, named = call_arguments(OneDict(), Probe({"image": np.ones((2, 2))}))
    assert list(arguments[0]) == ["image"] and named == {}
    assert read_all(OneDict(), {"image": np.ones((2, 2))})["linear"].output_shape == (2, 2)


def test_a_list_of_numbers_is_one_input():
    (x,), _ = call_arguments(nn.Linear(2, 1), Probe([[1.0, 2.0], [3.0, 4.0]]))
    assert x.tolist() == [[1, 2], [3, 4]]


def test_the_model_gets_copies():
    class Spoils(nn.Module):
        def forward(self, x):
            return x.zero_()

    x = torch.ones(2, 2)
    snapshot = read_all(nn.Sequential(Spoils()), x)
    assert x.min() == 1 and snapshot.inputs["input"].min() == 1


def test_channels_last_is_told_how_to_move_them():
    message = fault(CONV, np.zeros((2, 9, 8, 3)))
    assert "(2, 9, 8, 3) float64" in message
    assert "Conv2d '0' takes (sample, 3, height, width)" in message
    assert "torch.as_tensor(x).permute(0, 3, 1, 2)" in message


def test_a_missing_axis_of_samples_is_not_taken_for_an_unbatched_image():
    message = fault(CONV, np.zeros((3, 9, 9)))
    assert "An axis is missing" in message and "x[None]" in message
    message = fault(nn.Sequential(nn.LSTM(3, 2, batch_first=True)), np.zeros((7, 3)))
    assert "(sample, time, 3)" in message and "x[None]" in message


def test_a_missing_axis_of_channels_is_told():
    message = fault(nn.Sequential(nn.Conv2d(1, 2, 3)), np.zeros((5, 9, 9)))
    assert "[:, None]" in message


@pytest.mark.parametrize("shape", [(1, 1, 3, 9, 9), (2, 4, 9, 9)])
def test_too_many_axes_and_wrong_channels_are_told_with_what_torch_says(shape):
    message = fault(CONV, np.zeros(shape))
    assert str(shape) in message and "RuntimeError" in message and "(sample, 3, height, width)" in message


def test_a_wrong_number_of_features_is_told():
    message = fault(nn.Sequential(nn.Linear(4, 1)), np.ones((2, 5)))
    assert "Linear '0' takes (sample, ..., 4); it got (2, 5)" in message


def test_a_wrong_dtype_is_told():
    assert "astype('float32')" in fault(CONV, np.zeros((1, 3, 9, 9), np.uint8))
    assert "astype('int64')" in fault(nn.Sequential(nn.Embedding(5, 2)), np.zeros((1, 3)))


def test_too_large_a_word_number_is_told():
    assert "whole numbers from 0 to 4" in fault(nn.Sequential(nn.Embedding(5, 2)), np.array([[0, 9]]))


def test_too_few_inputs_are_told():
    class Two(nn.Module):
        def forward(self, left, right):
            return left + right

    assert "missing 1 required positional argument: 'right'" in fault(Two(), np.zeros((1, 2)))


@pytest.mark.parametrize("probe", [np.zeros((0, 3, 9, 9)), np.full((1, 3, 9, 9), np.nan), np.zeros(3)])
def test_an_unusable_probe_is_refused(probe):
    fault(CONV, probe)


def test_hooks_are_gone_after_a_failure():
    fault(CONV, np.zeros((2, 9, 8, 3)))
    assert not CONV[0]._forward_hooks and not CONV[0]._forward_pre_hooks
