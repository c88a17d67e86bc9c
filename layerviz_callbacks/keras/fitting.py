"""Whether a probe fits a Keras model, and what to type where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.errors import LayerVizError, ProbeError, ReadingError, did_you_mean
from layerviz_callbacks.probe import Probe

Shape = tuple[Any, ...]


def model_inputs(model: Any, probe: Probe, arrays: Mapping[str, Any] | None = None) -> Any:
    """The probe's arrays, nested the way the model is called with them.

    They are the probe's own copies, so that a batch that is changed in place later stays the same probe.

    Args:
        model: the model.
        probe: the batch.
        arrays: what stands in their places, under their names; None: they themselves.
    """
    arrays = probe.arrays if arrays is None else arrays
    if isinstance(probe.inputs, Mapping):
        return {name: arrays[str(name)] for name in probe.inputs}
    if list(arrays) == ["input"]:
        return arrays["input"]
    values = list(arrays.values())
    if len(values) == 1 and not isinstance(_declared(model), (list, tuple, dict)):
        return values[0]
    return tuple(values) if isinstance(probe.inputs, tuple) else values


def check_fits(model: Any, probe: Probe) -> None:
    """Compare a probe with the inputs that the model declares; Keras itself adds or drops a last axis.

    Raises:
        ProbeError: with the probe's shape, what the model expects, and what to type.
    """
    declared = _declared(model)
    if declared is None:
        _check_against_build(model, probe)
        return
    expected = _named(declared)
    for place, (name, given) in enumerate(_paired(expected, probe)):
        tensor = list(expected.values())[place]
        label = "The probe" if len(expected) == 1 else f"The probe's input {name!r}"
        _check_shape(label, given, (None, *tensor.shape[1:]))
        _check_dtype(label, given, keras.backend.standardize_dtype(tensor.dtype))


def failed_pass(model: Any, declared: Any, probe: Probe, error: Exception) -> LayerVizError:
    """The error of a model that could not be called with the probe; to be asked inside an isolation.

    Args:
        model: the model.
        declared: what declares its inputs: itself, or a stand-in.
        probe: what it was called with.
        error: what came of it.
    """
    try:
        model(model_inputs(declared, probe), training=True)
    except Exception:  # noqa: BLE001  it fails there, too: the probe is at fault
        return _call_error(declared, probe, error)
    return ReadingError(
        f"The model {model.name!r} fails in evaluation mode, though not in training mode. Pictures are made "
        "in evaluation mode: see to it that model(x, training=False) works. "
        f"What Keras said: {type(error).__name__}: {error}"
    )


def not_built(model: Any, probe: Probe, name: str) -> str:
    """What to say of a model whose layer of that name has no weights yet."""
    arrays = list(probe.arrays.values())
    call = "model(x_val[:1])"
    build = f"model.build({(None, *arrays[0].shape[1:])}) or {call}" if len(arrays) == 1 else call
    keras_module = "keras" if isinstance(model, keras.Model) else "tf_keras"
    return (
        f"The model {model.name!r} is not built yet: its layer {name!r} has no weights. "
        f"Type {build} first, or begin the model with {keras_module}.Input(...)."
    )


def displayed_inputs(probe: Probe, channels_first: Set[Shape]) -> dict[str, np.ndarray]:
    """The probe's inputs as they are displayed, channels last.

    Args:
        probe: the probe.
        channels_first: the shapes of the tensors that a layer took as `(sample, channel, *space)`.
    """
    shown = probe.shown()
    if shown is not None:
        return shown
    axes = input_axes(probe, channels_first)
    return {name: array.transpose(axes[name]) for name, array in probe.arrays.items()}


def input_axes(probe: Probe, channels_first: Set[Shape]) -> dict[str, tuple[int, ...]]:
    """How each of the probe's arrays is transposed to `(sample, *space, channel)`.

    Args:
        probe: the probe.
        channels_first: the shapes of the tensors that a layer took as `(sample, channel, *space)`.
    """
    return {
        name: (0, *range(2, array.ndim), 1) if array.shape in channels_first else tuple(range(array.ndim))
        for name, array in probe.arrays.items()
    }


def _call_error(model: Any, probe: Probe, error: Exception) -> ProbeError:
    shapes = {name: (array.shape, str(array.dtype)) for name, array in probe.arrays.items()}
    given = next(iter(shapes.values())) if len(shapes) == 1 else shapes
    declared = _declared(model)
    expects = ""
    if declared is not None:
        wanted = {name: tuple(tensor.shape) for name, tensor in _named(declared).items()}
        expects = f" It expects {next(iter(wanted.values())) if len(wanted) == 1 else wanted}."
    elif (built_with := _built_shape(model)) is not None:
        expects = f" It was built with {built_with}."
    return ProbeError(
        f"The model {model.name!r} cannot be called with the probe of shape and dtype {given}.{expects} "
        f"Pass samples exactly as the model is trained with them, for example x_val[:4]. "
        f"What Keras said: {type(error).__name__}: {error}"
    )


def _declared(model: Any) -> Any:
    """The structure of symbolic inputs of a Functional or built Sequential model; None for others."""
    for source in (getattr(model, "_functional", None), model):
        structure = getattr(source, "_inputs_struct", None)
        if structure is not None:
            return structure
    return None


def _named(declared: Any) -> dict[str, Any]:
    nests = (dict, list, tuple)
    if isinstance(declared, dict) and not any(isinstance(part, nests) for part in declared.values()):
        return {str(name): declared[name] for name in sorted(declared)}
    return {tensor.name: tensor for tensor in keras.tree.flatten(declared)}


def _paired(expected: dict[str, Any], probe: Probe) -> list[tuple[str, np.ndarray]]:
    arrays = probe.arrays
    if isinstance(probe.inputs, Mapping):
        missing = [name for name in expected if name not in arrays]
        if missing:
            raise ProbeError(
                f"The probe has the inputs {list(arrays)}, but the model expects {list(expected)}: "
                f"{missing} is missing.{did_you_mean(missing[0], arrays)} Pass a dict with these names, "
                f"for example {{{missing[0]!r}: x_val[:4]}}."
            )
        return [(name, arrays[name]) for name in expected]
    if len(arrays) != len(expected):
        raise ProbeError(
            f"The probe has {len(arrays)} input(s), but the model expects {len(expected)}: {list(expected)}. "
            f"Pass one array for each, for example [{', '.join(f'{name}[:4]' for name in expected)}]."
        )
    return list(zip(expected, arrays.values(), strict=True))


def _check_against_build(model: Any, probe: Probe) -> None:
    """A subclassed model declares nothing, but remembers the shape it was built with: rank and channels."""
    built_with = _built_shape(model)
    if built_with is None or len(probe.arrays) != 1:
        return
    loose = (None, *(None for _ in built_with[1:-1]), built_with[-1])
    _check_shape("The probe", next(iter(probe.arrays.values())), loose, told=(None, *built_with[1:]))


def _built_shape(model: Any) -> Shape | None:
    shape: Any = (model.get_build_config() or {}).get("input_shape")
    plain = isinstance(shape, (tuple, list)) and all(size is None or isinstance(size, int) for size in shape)
    return tuple(shape) if plain and len(shape) > 1 else None


def _check_shape(label: str, given: np.ndarray, expected: Shape, *, told: Shape | None = None) -> None:
    shape = given.shape
    column = len(shape) == 1 and expected == (None, 1)  # a table's column, which Keras takes as it is
    if _agree(shape, expected) or column:
        return
    raise ProbeError(
        f"{label} has the shape {shape}, but the model expects {told or expected} (None: any number). "
        + _what_to_type(shape, expected)
    )


def _what_to_type(given: Shape, expected: Shape) -> str:
    if len(given) == len(expected) - 1:
        if expected[-1] in (1, None) and _agree(given, expected[:-1]):
            return "Add the channel axis: x_val[:4][..., None]."
        if _agree(given, expected[1:]):
            return "This is a single sample: add the axis of samples, x_val[:1], or x[None]."
    if len(given) == len(expected) + 1:
        if given[-1] == 1 and _agree(given[:-1], expected):
            return "Take the last axis off: x_val[:4][..., 0]."
        if given[0] == 1 and _agree(given[1:], expected):
            return "Take the first axis off: x[0]."
    if len(given) == len(expected) > 2:
        if _agree((given[0], *given[2:], given[1]), expected):
            return "Move the channels to the end: np.moveaxis(x_val[:4], 1, -1)."
        if _agree((given[0], given[-1], *given[1:-1]), expected):
            return "Move the channels to the front: np.moveaxis(x_val[:4], -1, 1)."
        if _agree(given[1:-1], expected[1:-1]):
            return (
                f"It has {given[-1]} channels where {expected[-1]} are expected: pass x_val[:4] prepared "
                "as the training data were."
            )
    return "Pass samples exactly as the model is trained with them, for example x_val[:4]."


def _agree(given: Sequence[Any], expected: Sequence[Any]) -> bool:
    return len(given) == len(expected) and all(
        want is None or have == want for have, want in zip(given, expected, strict=True)
    )


def _check_dtype(label: str, given: np.ndarray, expected: str) -> None:
    if given.dtype.kind == "c" and "complex" not in expected:
        raise ProbeError(
            f"{label} holds {given.dtype} values, but the model expects {expected}. "
            "Pass real numbers, for example np.abs(x_val[:4])."
        )
    whole = "int" in expected and given.dtype.kind == "f"
    if whole and not np.array_equal(given, np.round(given)):
        raise ProbeError(
            f"{label} holds {given.dtype} values with fractions, but the model expects {expected}, and they "
            f"would be cut off. Pass whole numbers, for example x_val[:4].astype({expected!r})."
        )
