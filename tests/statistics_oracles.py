"""A view that asks for statistics, and what they are compared with: the reference, of the whole arrays."""

from dataclasses import fields

import numpy as np
from fakes import Keeps

from layerviz_callbacks.health import output_statistics, weight_sample
from layerviz_callbacks.request import Request


class AsksForStatistics(Keeps):
    """Asks for the statistics of its layers, and keeps the snapshots that it is given."""

    def refusal(self, layer):
        return ""

    def request(self, layers, shapes):
        names = frozenset(layer.base_name for layer in layers)
        return super().request(layers, shapes) | Request(statistics=names)


def assert_output_statistics(found, output):
    """`found` is what the reference says of the whole output `(sample, *space, channel)`."""
    expected = output_statistics(output)
    size = np.abs(output[np.isfinite(output)]).max(initial=0.0)
    for field in fields(expected):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if field.name in ("mean", "deviation"):
            np.testing.assert_allclose(one, other, rtol=3e-6, atol=3e-7 * size, err_msg=field.name)
        else:
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        assert np.asarray(one).dtype == np.asarray(other).dtype, field.name


def assert_weight_sample(found, kernel, *, trainable=True, gradient=None, update=None):
    """`found` is the even part of a kernel `(out, in, *space)`, and of what is as large as it."""
    expected = weight_sample(kernel, gradient=gradient, update=update, trainable=trainable)
    assert (found.rows, found.shape, found.trainable) == (expected.rows, expected.shape, trainable)
    assert (found.gradient is None, found.update is None) == (gradient is None, update is None)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.values.dtype == np.float32
    if gradient is not None:
        np.testing.assert_array_equal(found.gradient, expected.gradient)
    if update is not None:
        np.testing.assert_allclose(found.update, expected.update, rtol=1e-5, atol=1e-9)
