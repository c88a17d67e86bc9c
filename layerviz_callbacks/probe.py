"""The fixed batch that is shown to the model each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from layerviz_callbacks.errors import ProbeError


class Probe:
    """A fixed batch of inputs, shown to the model at every recorded step.

    (Not a "probing classifier": nothing is trained on it.)

    Args:
        inputs: what the model is called with: one array or tensor of shape `(sample, ...)`, a list
            or tuple of them (several inputs), or a dict of them (named inputs). All share the first
            axis, the samples. Kept as given; the layout is the model's own.
        names: one name a sample, shown on every sheet. Default: "sample 1", "sample 2", ...
        targets: one target a sample (class numbers, masks, picks ...): any array or sequence whose
            first axis is the samples.
        display: how to show an input as it looked before normalisation: an array of the same samples
            `(sample, *space, channel)`, or a function from the input array to such an array. Values
            of unsigned 8-bit images are shown as they are; others from their minimum to their maximum.

    Raises:
        ProbeError: no samples, samples that do not agree in number, no numbers, or NaN in it.

    Example:
        >>> import numpy as np
        >>> Probe(np.zeros((2, 28, 28, 1)), names=["seven", "nine"]).names
        ('seven', 'nine')
    """

    def __init__(
        self,
        inputs: Any,
        *,
        names: Sequence[str] | None = None,
        targets: Any = None,
        display: Any | Callable[[np.ndarray], Any] = None,
    ) -> None:
        self.inputs = inputs
        self.arrays: dict[str, np.ndarray] = _named_arrays(inputs)
        self.sample_count = _common_length(self.arrays)
        for name, array in self.arrays.items():
            _check_values(name, array)
        self.names = _sample_names(names, self.sample_count)
        self.targets = None if targets is None else _per_sample("targets", targets, self.sample_count)
        self._display = display
        if display is not None and not callable(display):
            _per_sample("display", display, self.sample_count)

    @classmethod
    def of(cls, probe: Any) -> Probe:
        """Return `probe` itself where it is a `Probe`, else a `Probe` of it."""
        return probe if isinstance(probe, cls) else cls(probe)

    def shown(self) -> dict[str, np.ndarray] | None:
        """The inputs as the user wants them displayed, or None where they are shown as they are.

        Raises:
            ProbeError: `display` is a function and fails, or does not keep the samples.
        """
        if self._display is None:
            return None
        if not callable(self._display):
            return {next(iter(self.arrays)): to_numpy(self._display)}
        shown = {}
        for name, array in self.arrays.items():
            try:
                result = to_numpy(self._display(array))
            except Exception as error:
                raise ProbeError(
                    f"display= failed on the input {name!r} of shape {array.shape}: "
                    f"{type(error).__name__}: {error}. Pass a function from that array to an array "
                    "(sample, *space, channel), or the array itself."
                ) from error
            shown[name] = _per_sample("display", result, self.sample_count)
        return shown

    def __len__(self) -> int:
        return self.sample_count

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in self.arrays.items())
        return f"Probe({shapes})"


def to_numpy(value: Any) -> np.ndarray:
    """Return a NumPy copy of an array or of any framework's tensor, without importing a framework.

    16-bit floats that NumPy does not know (bfloat16) become float32.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    if hasattr(value, "numpy") and callable(value.numpy):
        value = value.numpy()
    array = np.array(value)
    if array.dtype.kind == "V" or array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    return array


def _named_arrays(inputs: Any) -> dict[str, np.ndarray]:
    if isinstance(inputs, Mapping):
        parts = {str(name): value for name, value in inputs.items()}
    elif isinstance(inputs, (list, tuple)) and any(hasattr(part, "shape") for part in inputs):
        parts = {f"input {place}": value for place, value in enumerate(inputs, start=1)}
    else:
        parts = {"input": inputs}
    if not parts:
        raise ProbeError(f"The probe is empty: {inputs!r}. Pass a few samples, for example x_val[:4].")
    arrays = {}
    for name, value in parts.items():
        try:
            arrays[name] = to_numpy(value)
        except (TypeError, ValueError) as error:
            raise ProbeError(
                f"The probe's {name} of type {type(value).__name__} is not an array: {error}. Pass an array "
                "or tensor (sample, ...), or a list, tuple or dict of them, for example x_val[:4]."
            ) from error
    return arrays


def _common_length(arrays: Mapping[str, np.ndarray]) -> int:
    shapes = {name: array.shape for name, array in arrays.items()}
    for name, shape in shapes.items():
        if len(shape) < 2 and len(arrays) == 1:
            raise ProbeError(
                f"The probe's {name} has the shape {shape}: an axis of samples and at least one more are "
                "needed. Pass a batch, for example x_val[:4], or x_val[:1] for a single sample."
            )
        if len(shape) == 0 or 0 in shape:
            raise ProbeError(
                f"The probe's {name} is empty: shape {shape}. Pass a few samples, for example x_val[:4]."
            )
    lengths = {shape[0] for shape in shapes.values()}
    if len(lengths) > 1:
        raise ProbeError(
            f"The probe's inputs do not agree in their number of samples (the first axis): {shapes}. "
            "Cut all of them at the same samples, for example [image[:4], age[:4]]."
        )
    return int(lengths.pop())


def _check_values(name: str, array: np.ndarray) -> None:
    if array.dtype.kind not in "biufc":
        raise ProbeError(
            f"The probe's {name} holds {array.dtype} values. Allowed: numbers. "
            "Pass what the model itself is called with, for example x_val[:4].astype('float32')."
        )
    if array.dtype.kind in "fc" and np.isnan(array).any():
        count = int(np.isnan(array).sum())
        raise ProbeError(
            f"The probe's {name} holds {count} NaN: the model would answer NaN everywhere. "
            "Choose other samples, or pass np.nan_to_num(x)."
        )


def _sample_names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"sample {place}" for place in range(1, count + 1))
    listed = None if isinstance(names, (str, bytes)) else _as_list(names)
    if listed is None or len(listed) != count:
        raise ProbeError(
            f"names={names!r} does not fit a probe of {count} samples. "
            f"Pass a list of {count} names, one a sample."
        )
    return tuple(str(name) for name in listed)


def _as_list(value: Any) -> list[Any] | None:
    try:
        return list(value)
    except TypeError:
        return None


def _per_sample(argument: str, value: Any, count: int) -> np.ndarray:
    try:
        array = to_numpy(value)
    except (TypeError, ValueError) as error:  # ragged lists
        raise ProbeError(
            f"{argument} of type {type(value).__name__} is not an array ({error}). "
            f"Pass one whose first axis is the {count} samples."
        ) from error
    if array.ndim == 0 or len(array) != count:
        raise ProbeError(
            f"{argument} of shape {array.shape} does not fit a probe of {count} samples. "
            f"Its first axis must be the {count} samples."
        )
    return array
