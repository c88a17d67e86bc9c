"""Cuts of what lies in the computer's own memory: by NumPy, on a view of it, with nothing copied before.

There, calling a framework for each step of a cut costs more than the cut.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from layerviz_callbacks.cut import KernelCut, OutputCut, Taken, cut_kernel, cut_output
from layerviz_callbacks.keras.cutting import Tensors
from layerviz_callbacks.keras.layout import Layout


def view_of(tensor: Any) -> np.ndarray | None:
    """An array that looks at a tensor's own memory; None where that is elsewhere, or no array can.

    It must not be kept: training may change it. bfloat16, which NumPy does not know, has no view.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        if tensor.device.type != "cpu" or str(tensor.dtype) == "torch.bfloat16":
            return None
        view: np.ndarray = tensor.detach().numpy()
    elif backend == "tensorflow":
        if "CPU" not in tensor.device or not tensor.dtype.is_floating or tensor.dtype.name == "bfloat16":
            return None
        try:
            view = np.asarray(memoryview(tensor))
        except (TypeError, ValueError, BufferError):
            return None
    else:
        return None
    return None if view.dtype.kind == "c" or 0 in view.shape else view


def cut_output_view(view: np.ndarray, cut: OutputCut | None, *, channel_axis: int) -> Tensors:
    """As `cutting.output_tensors`, in arrays of their own memory."""
    if channel_axis != view.ndim - 1 and view.ndim > 1:
        view = np.moveaxis(view, channel_axis, -1)
    if cut is None or view.ndim < 2:
        return {"part": np.array(view, np.float32, order="C")}
    with np.errstate(invalid="ignore", over="ignore"):
        part, taken = cut_output(view, cut)
    return _arrays(np.array(part, np.float32, order="C"), taken)


def cut_kernel_view(view: np.ndarray, layout: Layout, cut: KernelCut) -> Tensors:
    """As `cutting.kernel_tensors`, in arrays of their own memory."""
    with np.errstate(invalid="ignore", over="ignore"):
        part, taken = cut_kernel(layout.view(view), cut)
    return _arrays(np.array(part, order="C"), taken)


def _arrays(part: np.ndarray, taken: Taken) -> Tensors:
    return {
        "part": part,
        "channels": np.array(taken.channels, int),
        "lowest": taken.lowest,
        "highest": taken.highest,
        "not_a_number": taken.not_a_number,
    }
