"""What a film strip remembers of a layer at one step: a few small arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from layerviz_callbacks.render.grid import mean_blocks
from layerviz_callbacks.render.held_range import HeldRange, held_range
from layerviz_callbacks.render.scale import Scale, as_floats

MOST_PIXELS = 32 * 32
"""Of a map so many pixels are kept; of a larger one the means of blocks."""
LONGEST_SIDE = 64
MATRIX_ROWS, MATRIX_COLUMNS = 64, 38
"""Cells that are kept of a matrix at most; of a larger one the means of blocks."""


@dataclass(frozen=True, eq=False)
class KeptPart:
    """What is kept of a layer's kernel, or of its answer to the sample that is shown.

    Attributes:
        values: `(row, *shape)`, float32; None where nothing was read at this step.
        rows: the numbers of the channels that are the rows; those of a step before, where nothing was read.
        held: the range of values up to this step; None before anything was read.
        saturated: whether each row is saturated at this step; empty: none is.
    """

    values: np.ndarray | None = None
    rows: tuple[int, ...] = ()
    held: HeldRange | None = None
    saturated: tuple[bool, ...] = ()

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        rows: tuple[int, ...],
        step: int,
        before: KeptPart,
        *,
        signed: bool | None,
        saturated: tuple[bool, ...] = (),
    ) -> KeptPart:
        """What is kept of `values` at a step, after what was kept `before`."""
        needed = Scale.of(values, signed=signed)
        return cls(values, rows, held_range(needed, step, before=before.held), saturated)


@dataclass(frozen=True, eq=False)
class KeptDistance:
    """How far a kernel is from where it began.

    Attributes:
        start: the kernel at the first step, or the part of it that is compared.
        norm: the L2 norm of that.
        since: that step.
        distance: the L2 norm of the difference; None where nothing was read at this step, or nothing alike.
        sampled: `start` is an even part of all weights, `WeightSample.values`.
    """

    start: np.ndarray
    norm: float
    since: int
    distance: float | None = None
    sampled: bool = False

    @classmethod
    def of(cls, compared: tuple[np.ndarray, bool], step: int, before: KeptDistance | None) -> KeptDistance:
        """The distance at a step, after what was kept `before`; `compared`: the values, and see `sampled`."""
        values, sampled = compared
        if before is None:
            start = np.array(values, np.float32, order="C")
            return cls(start, l2_norm(start), step, _distance(start, start), sampled)
        if before.sampled != sampled or before.start.shape != values.shape:
            return replace(before, distance=None)
        return replace(before, distance=_distance(as_floats(values), before.start))


def l2_norm(values: np.ndarray) -> float:
    """The root of the sum of squares."""
    flat = values.reshape(-1).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.sqrt(np.einsum("i,i->", flat, flat)))


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        return l2_norm(one - other)


@dataclass(frozen=True, eq=False)
class KeptLayer:
    """All that is kept of a layer at a step. What does not change is the same memory in every frame.

    Attributes:
        kernels: of its kernel.
        maps: of its answer.
        distance: None before a kernel was read.
    """

    kernels: KeptPart = KeptPart()
    maps: KeptPart = KeptPart()
    distance: KeptDistance | None = None

    def arrays(self, name: str) -> Iterator[tuple[str, np.ndarray]]:
        """As arrays, under names that no other layer has."""
        for what, part in (("kernels", self.kernels), ("maps", self.maps)):
            if part.values is not None:
                yield f"{what} {name}", part.values
            if part.held is not None:
                held = part.held
                before = math.nan if held.before is None else held.before
                yield f"range of {what} {name}", np.array([held.limit, held.signed, held.since, before])
                yield f"rows of {what} {name}", np.array(part.rows, np.int64)
            if any(part.saturated):
                yield f"saturated {what} {name}", np.array(part.saturated)
        if self.distance is not None:
            known = self.distance
            now = () if known.distance is None else (known.distance,)
            yield f"start {name}", known.start
            yield f"distance {name}", np.array([known.norm, known.since, known.sampled, *now])

    @classmethod
    def from_arrays(cls, kept: Mapping[str, np.ndarray], name: str) -> KeptLayer:
        """The same out of a frame; of a layer that is not in it, nothing."""
        distance, numbers = None, kept.get(f"distance {name}")
        if numbers is not None:
            norm, since, sampled, *now = numbers.tolist()
            distance = KeptDistance(
                kept[f"start {name}"], norm, int(since), now[0] if now else None, bool(sampled)
            )
        return cls(_part(kept, "kernels", name), _part(kept, "maps", name), distance)


def _part(kept: Mapping[str, np.ndarray], what: str, name: str) -> KeptPart:
    numbers = kept.get(f"range of {what} {name}")
    if numbers is None:
        return KeptPart()
    limit, signed, since, before = numbers.tolist()
    held = HeldRange(limit, bool(signed), int(since), None if math.isnan(before) else before)
    rows = tuple(kept[f"rows of {what} {name}"].tolist())
    saturated = kept.get(f"saturated {what} {name}")
    marked = () if saturated is None else tuple(saturated.tolist())
    return KeptPart(kept.get(f"{what} {name}"), rows, held, marked)


def small_maps(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Maps `(..., height, width)` as small as is kept, a copy; and how many pixels became one each way.

    Example:
        >>> small, factor = small_maps(np.ones((6, 56, 56), np.float32))
        >>> small.shape, factor
        ((6, 28, 28), 2)
    """
    height, width = values.shape[-2:]
    factor = 1
    while (
        -(-height // factor) * -(-width // factor) > MOST_PIXELS or max(height, width) > LONGEST_SIDE * factor
    ):
        factor += 1
    small = mean_blocks(values, factor) if factor > 1 else values
    return np.array(small, np.float32, order="C"), factor


def small_matrix(matrix: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """A matrix `(out, in)` as small as is kept, a copy; and how many rows and columns became one."""
    factors = -(-matrix.shape[0] // MATRIX_ROWS), -(-matrix.shape[1] // MATRIX_COLUMNS)
    return np.array(mean_blocks(matrix, factors), np.float32, order="C"), factors
