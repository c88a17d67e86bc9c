"""What is measured of a layer on its device: all channels of its output, and an even part of its weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_ROWS = 256
"""So many rows and columns of a kernel are taken at most."""
MOST_VALUES = 4096
"""So many values of an output are taken at most, for its histogram."""
NEAR_ZERO = 0.02
NEAR_ONE = 0.98


@dataclass(frozen=True, eq=False)
class OutputStatistics:
    """An output `(sample, *space, channel)` in numbers: of each channel, over all samples and places.

    NaN and infinities count in `finite` alone; the other numbers are those of the finite values.

    Attributes:
        values: how many values a channel has.
        mean: `(channel,)`, float32; 0 where nothing is finite.
        deviation: `(channel,)`, the standard deviation; 0 where nothing is finite.
        lowest: `(channel,)`; +inf where nothing is finite.
        highest: `(channel,)`; -inf where nothing is finite.
        zeros: `(channel,)`, the share of the values that are exactly zero.
        near_zero: `(channel,)`, the share whose magnitude is below 0.02.
        near_one: `(channel,)`, the share whose magnitude is above 0.98.
        finite: `(channel,)`, the share that is finite.
        sample: `(n,)`, values spread evenly over the output as it lies in memory, channels last; float32.
    """

    values: int
    mean: np.ndarray
    deviation: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    zeros: np.ndarray
    near_zero: np.ndarray
    near_one: np.ndarray
    finite: np.ndarray
    sample: np.ndarray


@dataclass(frozen=True, eq=False)
class WeightSample:
    """An even part of a kernel as a matrix `(out, in * space)`: `spread` rows and columns of it.

    Attributes:
        values: `(row, column)`, float32.
        rows: the numbers of the output channels that were taken.
        shape: the matrix in full: `(out, in * space)`.
        gradient: `(row, column)`, that of the loss at the last optimizer step; None where it is not known.
        update: `(row, column)`, what the last optimizer step added; None where it is not known.
        trainable: the optimizer may change it.
    """

    values: np.ndarray
    rows: tuple[int, ...]
    shape: tuple[int, int]
    gradient: np.ndarray | None = None
    update: np.ndarray | None = None
    trainable: bool = True


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What was measured of one layer.

    Attributes:
        output: None where it has no output of floating-point numbers.
        weights: None where it has no kernel.
    """

    output: OutputStatistics | None = None
    weights: WeightSample | None = None


def spread(total: int, most: int) -> np.ndarray:
    """At most so many of the numbers from 0 to `total - 1`, spread evenly; first and last are among them.

    Example:
        >>> spread(9, 3).tolist(), spread(2, 3).tolist()
        ([0, 4, 8], [0, 1])
    """
    if total <= most:
        return np.arange(total)
    return np.round(np.linspace(0, total - 1, most)).astype(np.int64)


def output_statistics(output: np.ndarray) -> OutputStatistics:
    """The statistics of an output `(sample, *space, channel)`; what a device computes is equal to it.

    Example:
        >>> found = output_statistics(np.float32([[0, 1], [0, 3]]))
        >>> found.zeros.tolist(), found.mean.tolist(), found.deviation.tolist()
        ([1.0, 0.0], [0.0, 2.0], [0.0, 1.0])
    """
    rows = np.asarray(output, np.float32).reshape(-1, output.shape[-1])
    finite = np.isfinite(rows)
    count = np.maximum(finite.sum(0), 1)
    known = np.where(finite, rows, 0)
    mean = known.sum(0, dtype=np.float64) / count
    deviation = np.sqrt(np.square(np.where(finite, rows - mean, 0)).sum(0, dtype=np.float64) / count)
    magnitude, total = np.abs(rows), max(len(rows), 1)
    return OutputStatistics(
        values=len(rows),
        mean=mean.astype(np.float32),
        deviation=deviation.astype(np.float32),
        lowest=np.where(finite, rows, np.inf).min(0, initial=np.inf),
        highest=np.where(finite, rows, -np.inf).max(0, initial=-np.inf),
        zeros=((rows == 0).sum(0) / total).astype(np.float32),
        near_zero=((magnitude < NEAR_ZERO).sum(0) / total).astype(np.float32),
        near_one=((finite & (magnitude > NEAR_ONE)).sum(0) / total).astype(np.float32),
        finite=(finite.sum(0) / total).astype(np.float32),
        sample=rows.ravel()[spread(rows.size, MOST_VALUES)],
    )


def weight_sample(
    kernel: np.ndarray,
    *,
    gradient: np.ndarray | None = None,
    update: np.ndarray | None = None,
    trainable: bool = True,
) -> WeightSample:
    """The even part of a kernel `(out, in, *space)`, with the same part of what is as large as it.

    Example:
        >>> weight_sample(np.ones((2, 3, 1, 1), np.float32)).values.shape
        (2, 3)
    """
    matrix = kernel.reshape(len(kernel), -1)
    rows, columns = spread(matrix.shape[0], MOST_ROWS), spread(matrix.shape[1], MOST_ROWS)

    def part(array: np.ndarray) -> np.ndarray:
        return np.asarray(array.reshape(matrix.shape)[np.ix_(rows, columns)], np.float32)

    return WeightSample(
        values=part(kernel),
        rows=tuple(int(row) for row in rows),
        shape=(matrix.shape[0], matrix.shape[1]),
        gradient=None if gradient is None else part(gradient),
        update=None if update is None else part(update),
        trainable=trainable,
    )
