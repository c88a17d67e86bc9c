"""Arrays over steps as xarray's, with named and labelled axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerviz_callbacks.store.library import xarray_library
from layerviz_callbacks.store.series import named_axes


def dataset(
    arrays: Mapping[str, np.ndarray],
    steps: Mapping[str, Sequence[int]],
    channels: Mapping[str, Sequence[int]],
    samples: Sequence[str],
) -> Any:
    """One `xarray.Dataset` of a layer's arrays over steps.

    Args:
        arrays: "kernel", "output", "attention", each over its steps.
        steps: of each array.
        channels: of each array; none where they have no numbers.
        samples: the names of the probe's samples.
    """
    xarray = xarray_library()
    variables = []
    for name, values in arrays.items():
        axes = named_axes(name, values.ndim)
        labels = dict(zip(axes, _labels(axes, values, steps[name], channels[name], samples), strict=True))
        known = {axis: given for axis, given in labels.items() if given is not None}
        variables.append(xarray.DataArray(values, dims=axes, coords=known, name=name))
    return xarray.merge(variables, join="outer", compat="no_conflicts")


def _labels(
    axes: Sequence[str],
    values: np.ndarray,
    steps: Sequence[int],
    channels: Sequence[int],
    samples: Sequence[str],
) -> list[list[Any] | None]:
    unique = len(set(samples)) == len(samples)
    labels: list[list[Any] | None] = []
    for axis, length in zip(axes, values.shape, strict=True):
        if axis == "step":
            labels.append(list(steps))
        elif axis == "sample":
            named = unique and length <= len(samples)
            labels.append(list(samples[:length]) if named else list(range(length)))
        elif axis in ("out", "channel") and len(channels) == length:
            labels.append(list(channels))
        else:
            labels.append(None)
    return labels
