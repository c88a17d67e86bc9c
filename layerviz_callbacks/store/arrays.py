"""Arrays in a file: written once where they stay the same, and read as they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerviz_callbacks.store.precision import Encoded, decode, encode

_COMPARED_AT_ONCE = 1 << 22


class ArrayWriter:
    """Writes the arrays of one step; one that is the same as in an earlier step becomes a link to that one.

    Args:
        group: where they go.
        earlier: the group of an earlier step, or None.
        precision: see `precision.encode`; of those that are written with `write_layer_array`.
        glimpses: a few numbers of each array as it was last written, by place and name: what differs in
            these need not be compared. The same dictionary for the next step.
    """

    def __init__(self, group: Any, earlier: Any, precision: str, glimpses: dict[str, bytes]) -> None:
        self._group = group
        self._earlier = earlier
        self._precision = precision
        self._glimpses = glimpses
        self._groups: dict[str, Any] = {}
        self._earlier_groups: dict[str, Any] = {}

    def write(self, place: str, name: str, values: np.ndarray, *, scale: float | None = None) -> str:
        """Write an array exactly; why that cannot be, in words, or nothing."""
        stored = storable(values)
        if stored is None:
            return f"{values.dtype} values cannot be stored in HDF5"
        order = _memory_order(values)
        same = self._same(place, name, stored, order, scale)
        group = self._into(place)
        if same is not None:
            group[name] = same
            return ""
        dataset = group.create_dataset(name, data=stored)
        if values.dtype.kind == "U":
            dataset.attrs["text"] = "utf-8"
        if order is not None:
            dataset.attrs["memory_order"] = order
        if scale is not None:
            dataset.attrs["scale"] = scale
        return ""

    def write_layer_array(self, place: str, name: str, values: np.ndarray, channel_axis: int) -> str:
        """Write an array with the precision; `place_levels` holds the levels of uint8."""
        encoded = encode(values, self._precision, channel_axis)
        refusal = self.write(place, name, encoded.stored, scale=encoded.scale)
        if encoded.levels is not None and not refusal:
            self.write(f"{place}_levels", name, encoded.levels)
        return refusal

    def _into(self, place: str) -> Any:
        if place not in self._groups:
            self._groups[place] = self._group.require_group(place) if place else self._group
        return self._groups[place]

    def _same(
        self, place: str, name: str, stored: np.ndarray, order: list[int] | None, scale: float | None
    ) -> Any:
        """The dataset of the earlier step that holds just this."""
        key, glimpse = f"{place}/{name}", _glimpse(stored)
        known = self._glimpses.get(key, glimpse)
        self._glimpses[key] = glimpse
        if self._earlier is None or known != glimpse:
            return None
        if place not in self._earlier_groups:
            self._earlier_groups[place] = self._earlier.get(place) if place else self._earlier
        group = self._earlier_groups[place]
        dataset = None if group is None else group.get(name)
        if dataset is None or dataset.shape != stored.shape or dataset.dtype != stored.dtype:
            return None
        marks = dict(dataset.attrs)
        if marks.get("scale") != scale or list(marks.get("memory_order", ())) != (order or []):
            return None
        return dataset if _holds(dataset, stored) else None


def read_array(dataset: Any) -> np.ndarray:
    """An array that `ArrayWriter.write` wrote exactly."""
    values = np.asarray(dataset[()])
    marks = dataset.attrs
    if "text" in marks:
        return np.char.decode(values, marks["text"], "surrogatepass")
    return _in_memory_order(values, marks.get("memory_order"))


def read_layer_array(dataset: Any, levels: Any, channel_axis: int) -> np.ndarray:
    """An array that `ArrayWriter.write_layer_array` wrote; `levels` is its dataset of levels, or None."""
    marks = dict(dataset.attrs)
    scale = marks.get("scale")
    stored = np.asarray(dataset[()])
    rows = None if levels is None else np.asarray(levels[()])
    values = decode(Encoded(stored, None if scale is None else float(scale), rows), channel_axis)
    return _in_memory_order(values, marks.get("memory_order"))


def storable(values: np.ndarray) -> np.ndarray | None:
    """The array as HDF5 takes it; None where it cannot."""
    if values.dtype.kind in "biufcS" and values.dtype.itemsize:
        return values
    if values.dtype.name == "bfloat16":
        return values.astype(np.float32)
    if values.dtype.kind == "U":
        coded = np.char.encode(values, "utf-8", "surrogatepass")
        return coded if coded.dtype.itemsize else coded.astype("S1")
    return None


def _memory_order(values: np.ndarray) -> list[int] | None:
    """The axes from the slowest to the fastest, where that is not their own order.

    Sums run along the memory: only in the same order do they give the same last bit.
    """
    if values.flags.c_contiguous or not values.size:
        return None
    order = np.argsort([-abs(stride) for stride in values.strides], kind="stable").tolist()
    return None if order == list(range(values.ndim)) else order


def _in_memory_order(values: np.ndarray, order: Any) -> np.ndarray:
    if order is None:
        return values
    return np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))


def _glimpse(values: np.ndarray) -> bytes:
    """At most three numbers along each axis."""
    return values[tuple(slice(None, None, max(1, length // 2)) for length in values.shape)].tobytes()


def _holds(dataset: Any, values: np.ndarray) -> bool:
    """Whether a dataset of the same shape and type has the same bits."""
    if not values.ndim:
        return bool(dataset[()].tobytes() == values.tobytes())
    rows = max(1, _COMPARED_AT_ONCE // max(1, values.nbytes // max(1, len(values))))
    first = 1  # most differ at once
    start = 0
    while start < len(values):
        part = slice(start, start + first)
        if dataset[part].tobytes() != np.ascontiguousarray(values[part]).tobytes():
            return False
        start, first = start + first, rows
    return True
