"""Pickles for the drawing process, with the arrays beside them.

They only ever travel between two processes of the same user, of which one started the other, over pipes and
memory that nobody else can open. They are never written to a file, and never read from one.
"""

from __future__ import annotations

import io
import pickle
from types import FunctionType
from typing import Any

import numpy as np

FRAMEWORKS = frozenset(
    ["jax", "jaxlib", "keras", "lightning", "pytorch_lightning", "tensorflow", "tf_keras", "torch"]
)
"""Nothing of these is sent: to read it, the drawing process would have to load the framework."""
_BESIDE = 4096
"""Arrays of so many bytes or more travel beside the pickle."""


class UnsendableError(Exception):
    """Something cannot travel to the drawing process; the message says what, and what to type."""


def dumps(value: Any, buffers: list[memoryview] | None = None) -> bytes:
    """Pickle a value for the drawing process; arrays are appended to `buffers`, where there is such a list.

    Raises:
        UnsendableError: it holds something that cannot travel.
    """

    def beside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if buffers is None or raw.nbytes < _BESIDE:
            return True  # within the pickle
        buffers.append(raw)
        return False

    stream = io.BytesIO()
    try:
        _Pickler(stream, protocol=5, buffer_callback=beside).dump(value)
    except UnsendableError:
        raise
    except Exception as error:  # whatever a __reduce__ of the user's raises
        raise UnsendableError(f"it cannot be pickled: {type(error).__name__}: {error}") from error
    return stream.getvalue()


class _Pickler(pickle.Pickler):
    """Refuses what the other process cannot know, and sends arrays as they lie in memory."""

    def reducer_override(self, obj: Any) -> Any:
        named = obj if isinstance(obj, (type, FunctionType)) else type(obj)
        root = (getattr(named, "__module__", None) or "").partition(".")[0]
        if root == "__main__":
            raise UnsendableError(
                f"{named.__qualname__} is defined in the program that is run itself, or in a notebook. "
                "Define it in a module of its own and import it"
            )
        if root in FRAMEWORKS:
            raise UnsendableError(
                f"it holds a {named.__module__}.{named.__qualname__}. Hold a NumPy array or a name instead"
            )
        if type(obj) is np.ndarray and not (obj.flags.c_contiguous or obj.flags.f_contiguous):
            order = tuple(np.argsort([-abs(stride) for stride in obj.strides], kind="stable").tolist())
            return _with_axes, (np.ascontiguousarray(obj.transpose(order)), order)
        return NotImplemented


def _with_axes(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """Undo a transposition: sums run over the same places in the same order as in the other process."""
    return array.transpose(np.argsort(order))
