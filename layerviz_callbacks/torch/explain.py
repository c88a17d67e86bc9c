"""What to say when a model cannot be called with the probe."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from layerviz_callbacks.errors import ProbeError, ReadingError
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.torch.capture import Call, Capture
from layerviz_callbacks.torch.layout import fixed_layout

_SPACES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def unusable_probe(probe: Probe, capture: Capture, error: Exception) -> ProbeError:
    """The error for a forward pass that failed: what was given, where it failed, what to type."""
    given = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in probe.arrays.items())
    parts = [f"The model cannot be called with this probe: {given}."]
    call = _where(capture)
    if call is not None:
        kind = type(call.module).__name__
        parts.append(f"{kind} {call.name!r} takes {expected(call.module)}; it got {call.given}.")
    elif capture.calling:
        call = capture.calling[-1]
        parts.append(f"It failed in {type(call.module).__name__} {call.name!r}, which got {call.given}.")
    words = str(error).strip().rstrip(".")
    parts.append(f"{words}." if isinstance(error, ProbeError) else f"{type(error).__name__}: {words}.")
    parts.append(_hint(probe, call))
    return ProbeError(" ".join(part for part in parts if part))


def fails_in_evaluation(model: nn.Module, capture: Capture, error: Exception) -> ReadingError:
    """The error for a model that takes the probe in training mode, and fails in evaluation mode."""
    inner = capture.calling[-1] if capture.calling else None
    name = type(model).__name__ if inner is None else f"{type(inner.module).__name__} {inner.name!r}"
    return ReadingError(
        f"{name} fails in evaluation mode, though not in training mode: {type(error).__name__}: {error}. "
        f"Pictures are made in evaluation mode: see to it that model.eval(); model(x) works."
    )


def expected(module: nn.Module) -> str:
    """The input that a layer takes, in words; empty where its kind does not tell.

    Example:
        >>> expected(nn.Conv2d(3, 8, 5))
        '(sample, 3, height, width)'
    """
    if isinstance(module, _ConvNd):
        return f"(sample, {', '.join([str(module.in_channels), *_SPACES[len(module.kernel_size)]])})"
    if isinstance(module, nn.Linear):
        return f"(sample, ..., {module.in_features})"
    if isinstance(module, nn.RNNBase):
        axes = "sample, time" if module.batch_first else "time, sample"
        return f"({axes}, {module.input_size})"
    if isinstance(module, _BatchNorm):
        return f"(sample, {module.num_features}, ...)"
    if isinstance(module, nn.LayerNorm):
        return f"(sample, ..., {', '.join(str(size) for size in module.normalized_shape)})"
    if isinstance(module, nn.Embedding):
        return f"whole numbers from 0 to {module.num_embeddings - 1}"
    return ""


def _where(capture: Capture) -> Call | None:
    """The innermost layer that was being called, where it can say what it takes."""
    for call in reversed(capture.calling):
        if fixed_layout(call.module) is not None and expected(call.module):
            return call
    return None


def _hint(probe: Probe, call: Call | None) -> str:
    rank = max(array.ndim for array in probe.arrays.values())
    if call is None or call.given is None:
        return "Pass a batch like those the model is trained on, for example x_val[:4]."
    if isinstance(call.module, _ConvNd):
        needed, channels = len(call.module.kernel_size) + 2, call.module.in_channels
        shape = call.given
        if len(shape) == needed and shape[-1] == channels != shape[1]:
            order = ", ".join(str(axis) for axis in (0, rank - 1, *range(1, rank - 1)))
            return f"The channels come first: move the channel axis: torch.as_tensor(x).permute({order})."
        if len(shape) == needed - 1 and shape[0] != channels:
            return "Add the axis of channels: torch.as_tensor(x)[:, None]."
        if len(shape) == needed - 1:
            return "Add the axis of samples: x[None]; or pass several samples, for example x_val[:4]."
    if isinstance(call.module, nn.RNNBase) and len(call.given) == 2:
        return "Add the axis of samples: x[None]; or pass several samples, for example x_val[:4]."
    dtypes = {array.dtype.kind for array in probe.arrays.values()}
    if dtypes <= {"i", "u", "b"} and not isinstance(call.module, (nn.Embedding, nn.EmbeddingBag)):
        return "The probe holds whole numbers: pass floating-point ones, for example x.astype('float32')."
    if "f" in dtypes and isinstance(call.module, (nn.Embedding, nn.EmbeddingBag)):
        return "The probe holds floating-point numbers: pass whole ones, for example x.astype('int64')."
    return "Pass a batch like those the model is trained on, for example x_val[:4]."
