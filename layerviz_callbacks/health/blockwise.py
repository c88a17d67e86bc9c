"""The statistics of an output that lies in the computer's own memory, block by block.

Each block is small enough to stay in the processor's cache while everything is measured of it, so that an
output is loaded from memory once. What blocks have in common is put together as in Chan, Golub and LeVeque,
"Updating formulae and a pairwise algorithm for computing sample variances" (1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.health.statistics import (
    MOST_VALUES,
    NEAR_ONE,
    NEAR_ZERO,
    OutputStatistics,
    output_statistics,
    spread,
)

_COLUMNS = 512
"""Narrower rows are laid beside each other until they are about so wide."""
_ROWS = 128
"""At most so many rows a block; counts of 8 bits have room for 255."""
_BLOCK = 1 << 16
_PIECE = 1 << 20
"""So many values are copied at a time where an output does not lie row by row."""
_SMALLEST_SQUARES = np.float32(1e-30)


def blockwise_statistics(output: np.ndarray) -> OutputStatistics:
    """As `output_statistics` to float32 rounding, in a fraction of the time.

    Args:
        output: `(sample, *space, channel)`, floating-point; in any memory order, and not written to.

    Example:
        >>> blockwise_statistics(np.float32([[0, 1], [0, 3]])).mean.tolist()
        [0.0, 2.0]
    """
    if output.size == 0:
        return output_statistics(output)
    channels = output.shape[-1]
    rows = output.size // channels
    with np.errstate(invalid="ignore", over="ignore"):
        scratch = _Scratch(min(output.size, max(_BLOCK, channels)))
        blocks = [_measured(block, scratch) for piece in _pieces(output) for block in _blocks(piece)]
        found = _Block(*(_by_channel(blocks, name, channels) for name in _Block.__dataclass_fields__))
        count = found.count.sum(0)
        known = np.maximum(count, 1)
        mean = found.total.sum(0) / known
        apart = found.total / np.maximum(found.count, 1) - mean
        squares = found.squares.sum(0) + (found.count * np.square(apart)).sum(0)
        flat = spread(output.size, MOST_VALUES)
        return OutputStatistics(
            values=rows,
            mean=mean.astype(np.float32),
            deviation=np.sqrt(squares / known).astype(np.float32),
            lowest=found.lowest.min(0).astype(np.float32),
            highest=found.highest.max(0).astype(np.float32),
            zeros=(found.zeros.sum(0) / rows).astype(np.float32),
            near_zero=(found.near_zero.sum(0) / rows).astype(np.float32),
            near_one=(found.near_one.sum(0) / rows).astype(np.float32),
            finite=(count / rows).astype(np.float32),
            sample=output[np.unravel_index(flat, output.shape)].astype(np.float32),
        )


class _Scratch:
    """Memory for one block, used again and again: to ask for it anew would take as long as to measure."""

    def __init__(self, values: int) -> None:
        self._numbers, self._flags = np.empty(values, np.float32), np.empty(values, bool)

    def numbers(self, shape: tuple[int, ...]) -> np.ndarray:
        """Room for numbers."""
        return self._numbers[: math.prod(shape)].reshape(shape)

    def flags(self, shape: tuple[int, ...]) -> np.ndarray:
        """Room for what is true or false."""
        return self._flags[: math.prod(shape)].reshape(shape)


@dataclass(frozen=True, eq=False)
class _Block:
    """What was found of each column of a block.

    Attributes:
        count: of finite values.
        total: their sum.
        squares: the sum of their squared distances from their mean in this block.
        lowest: +inf where nothing is finite.
        highest: -inf where nothing is finite.
        zeros: how many values are exactly zero.
        near_zero: how many have a magnitude below `NEAR_ZERO`.
        near_one: how many have one above `NEAR_ONE`.
    """

    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    zeros: np.ndarray
    near_zero: np.ndarray
    near_one: np.ndarray


def _by_channel(blocks: list[_Block], name: str, channels: int) -> np.ndarray:
    """`(part, channel)`, float64: a column of a block belongs to the channel of its place."""
    parts = [getattr(block, name).reshape(-1, channels) for block in blocks]
    return np.concatenate(parts).astype(np.float64)


def _pieces(output: np.ndarray) -> Iterator[np.ndarray]:
    """The output as `(row, channel)`, float32, each row in one piece of memory."""
    channels = output.shape[-1]
    if output.flags.c_contiguous and output.dtype == np.float32:
        yield output.reshape(-1, channels)
        return
    step = max(1, _PIECE * len(output) // output.size)
    for start in range(0, len(output), step):
        yield np.ascontiguousarray(output[start : start + step], np.float32).reshape(-1, channels)


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """`(row, column)`: all values of `(row, channel)`, each column with those of one channel."""
    count, channels = rows.shape
    beside = max(1, _COLUMNS // channels)
    whole = count // beside * beside
    for part in (rows[:whole].reshape(-1, beside * channels), rows[whole:]):
        step = min(_ROWS, max(1, _BLOCK // part.shape[1]))
        for start in range(0, len(part), step):
            yield part[start : start + step]


def _measured(block: np.ndarray, scratch: _Scratch) -> _Block:
    rows = len(block)
    total = np.add.reduce(block, axis=0)
    lowest, highest = np.minimum.reduce(block, axis=0), np.maximum.reduce(block, axis=0)
    if not np.isfinite(total).all():
        return _measured_with_care(block)
    numbers, flags = scratch.numbers(block.shape), scratch.flags(block.shape)
    np.subtract(block, total / np.float32(rows), out=numbers)
    np.multiply(numbers, numbers, out=numbers)
    squares = np.add.reduce(numbers, axis=0)
    lost = (squares < _SMALLEST_SQUARES) & (highest > lowest)
    if lost.any() or not np.isfinite(squares).all():
        return _measured_with_care(block)
    magnitude = block if lowest.min() >= 0 else np.abs(block, out=numbers)
    furthest = max(highest.max(), -lowest.min())
    none = np.zeros(block.shape[1], np.uint8)
    return _Block(
        count=np.full(block.shape[1], rows),
        total=total,
        squares=squares,
        lowest=lowest,
        highest=highest,
        zeros=_counted(np.equal(block, 0, out=flags)),
        near_zero=_counted(np.less(magnitude, NEAR_ZERO, out=flags)),
        near_one=none if furthest < NEAR_ONE else _counted(np.greater(magnitude, NEAR_ONE, out=flags)),
    )


def _measured_with_care(block: np.ndarray) -> _Block:
    """The same where something is not finite, or too large or too small to be squared in float32."""
    finite = np.isfinite(block)
    count = finite.sum(0)
    known = np.where(finite, block, 0).astype(np.float64)
    total = known.sum(0)
    apart = np.where(finite, known - total / np.maximum(count, 1), 0)
    magnitude = np.abs(block)
    return _Block(
        count=count,
        total=total,
        squares=np.square(apart).sum(0),
        lowest=np.where(finite, block, np.inf).min(0),
        highest=np.where(finite, block, -np.inf).max(0),
        zeros=(block == 0).sum(0),
        near_zero=(magnitude < NEAR_ZERO).sum(0),
        near_one=(finite & (magnitude > NEAR_ONE)).sum(0),
    )


def _counted(flags: np.ndarray) -> np.ndarray:
    """How many of each column are true, of at most 255 rows."""
    counts: np.ndarray = np.add.reduce(flags.view(np.uint8), axis=0, dtype=np.uint8)
    return counts
