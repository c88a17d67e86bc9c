"""What is differentiated with respect to which inputs: checks and words for every kind of Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from layerviz_callbacks.errors import (
    DifferentiationError,
    LayerVizError,
    did_you_mean,
    is_out_of_memory,
)
from layerviz_callbacks.explaining import Derivative
from layerviz_callbacks.keras.differentiation_programs import Differentiated
from layerviz_callbacks.keras.gradients import said
from layerviz_callbacks.probe import Probe


class Reached(BaseException):
    """The layer whose output is wanted has answered; no handler of errors on the way holds it up.

    Attributes:
        tensor: its output.
        channel_axis: of its channels.
    """

    def __init__(self, tensor: Any, channel_axis: int) -> None:
        super().__init__()
        self.tensor, self.channel_axis = tensor, channel_axis


def derivative(
    probe: Probe,
    inputs: Mapping[str, np.ndarray],
    layer: str,
    differentiate: Callable[[Mapping[str, np.ndarray]], Differentiated],
) -> Derivative:
    """Check the inputs, differentiate, and say in words where there is no gradient.

    Args:
        probe: whose inputs the model takes.
        inputs: by name.
        layer: the name of the layer whose output is summed; empty: the model's own is.
        differentiate: does it.

    Raises:
        DifferentiationError: there is no gradient.
    """
    arrays = {name: _prepared(array) for name, array in inputs.items()}
    if set(arrays) != set(probe.arrays):
        raise DifferentiationError(
            f"the model is called with the inputs {list(probe.arrays)}, not with {list(arrays)}"
        )
    floating = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    if not floating:
        raise DifferentiationError("the model's inputs are whole numbers, which have no gradient")
    try:
        found = differentiate(arrays)
    except LayerVizError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        shapes = ", ".join(str(array.shape) for array in arrays.values())
        raise DifferentiationError(
            f"the model cannot be differentiated with inputs of shape {shapes}: {said(error)}"
        ) from error
    if not found.gradients:
        what = f"the output of {layer!r}" if layer else "the model's answer"
        raise DifferentiationError(
            f"{what} does not depend on the inputs, or not in a way that can be differentiated"
        )
    gradients = {
        name: found.gradients.get(name, np.zeros(array.shape, np.float32)) for name, array in floating.items()
    }
    return Derivative(found.answer, gradients)


def chosen_output(names: list[str], name: str) -> str:
    """The name of the output that is meant; the only one, where none is named.

    Raises:
        DifferentiationError: there is no such output.
    """
    if not name and len(names) == 1:
        return names[0]
    if name not in names:
        raise DifferentiationError(
            f"the model has no output {name!r}, but {names}.{did_you_mean(name, names)}"
        )
    return name


def not_come_by(layer: str) -> DifferentiationError:
    """The error for a layer that does not answer in a pass."""
    return DifferentiationError(f"the model does not come by the layer {layer!r}")


def other_sizes(given: Mapping[str, Any], probe: Probe) -> bool:
    """Whether inputs have other sizes than those of the probe, the number of samples aside."""
    shapes = {name: tuple(array.shape)[1:] for name, array in given.items()}
    return any(shapes[name] != array.shape[1:] for name, array in probe.arrays.items())


def _prepared(array: np.ndarray) -> np.ndarray:
    """Numbers of 16 bits become float32, so that their gradient is not rounded."""
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype.kind == "f" and array.dtype.itemsize < 4 else array
