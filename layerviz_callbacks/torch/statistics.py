"""Statistics of outputs on their device, equal to `layerviz_callbacks.health.output_statistics`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from layerviz_callbacks.health import OutputStatistics, spread
from layerviz_callbacks.health.statistics import MOST_VALUES, NEAR_ONE, NEAR_ZERO

_LONGEST = 1 << 12  # values that are added up in float32; further sums are made in float64
_BLOCK_ON_CPU = 1 << 18  # values that are worked on at a time: all that is made of them stays in the cache
_BLOCK_ELSEWHERE = 1 << 24  # of an accelerator's memory, no more than a few times as many values are taken
_SHORTEST_ROW = 32  # shorter rows are turned into columns
_BELOW_NEAR_ZERO = float(np.nextafter(np.float32(NEAR_ZERO), np.float32(0)))
_NEAR_ONE = float(np.float32(NEAR_ONE))
_NUMBERS = 8  # see `_measured`


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of an output, still on its device.

    Attributes:
        values: how many values a channel has.
        channels: how many channels.
        counts: `(piece,)`, how many values of each channel a piece of the output has.
        numbers: flat on the device: `(8, piece, channel)`, see `_measured`, then the sample.
    """

    values: int
    channels: int
    counts: np.ndarray
    numbers: torch.Tensor

    def statistics(self) -> OutputStatistics:
        """The statistics, with one transfer."""
        numbers = self.numbers.to("cpu").numpy()
        pieces = len(self.counts)
        end = _NUMBERS * pieces * self.channels
        return _merged(
            numbers[:end].reshape(_NUMBERS, pieces, self.channels), self.counts, self.values, numbers[end:]
        )


def measure_output(tensor: torch.Tensor, axes: tuple[int, ...]) -> Measured | None:
    """Measure all channels of an output over all samples and places; nothing leaves the device.

    The output is gone through once, in blocks that stay in the cache. The values of each block are centred
    before they are squared, so that a large mean costs no precision; blocks are joined by the formula of
    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
    Stanford STAN-CS-79-773 (1979).

    Args:
        tensor: an output of floating-point numbers, dense; it is not changed.
        axes: which order of its axes makes it `(sample, *space, channel)`.

    Returns:
        None where it has no channels.

    Example:
        >>> measured = measure_output(torch.tensor([[0.0, 1.0], [0.0, 3.0]]), (0, 1))
        >>> found = measured.statistics()
        >>> found.zeros.tolist(), found.mean.tolist(), found.deviation.tolist()
        ([1.0, 0.0], [0.0, 2.0], [0.0, 1.0])
    """
    if tensor.ndim == 0 or tensor.shape[axes[-1]] == 0:
        return None
    channels = tensor.shape[axes[-1]]
    values = tensor.numel() // channels
    sample = _sample(tensor.permute(axes))
    if values == 0:
        return Measured(0, channels, np.zeros(0), sample)
    counts, numbers = _pieces(tensor, axes[-1])
    return Measured(values, channels, counts, torch.cat([numbers.flatten(), sample]))


def _sample(output: torch.Tensor) -> torch.Tensor:
    """Values spread evenly over an output `(sample, *space, channel)`: a copy, float32."""
    if output.numel() <= MOST_VALUES:
        return output.flatten().to(torch.float32, copy=True)
    places = np.unravel_index(spread(output.numel(), MOST_VALUES), tuple(output.shape))
    return output[tuple(torch.from_numpy(place).to(output.device) for place in places)].float()


def _pieces(tensor: torch.Tensor, channel_axis: int) -> tuple[np.ndarray, torch.Tensor]:
    """The numbers `(8, piece, channel)` of each piece, and how many values of a channel it has.

    As the order of samples and places does not matter, the tensor is taken as it lies in memory: channels
    between other axes are rows, `(before, channel, after)`; channels at the end are columns.
    """
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    place = order.index(channel_axis)
    channels = tensor.shape[channel_axis]
    before = [tensor.shape[axis] for axis in order[:place]]
    laid_out = tensor.permute(order).reshape(int(np.prod(before)), channels, -1)
    if laid_out.shape[-1] >= _SHORTEST_ROW:
        counts, numbers = _numbers(laid_out.flatten(0, 1), axis=1)
        numbers = numbers.reshape(_NUMBERS, -1, channels)  # (piece of a row, before) are the pieces
        return np.repeat(counts, laid_out.shape[0]), numbers
    return _numbers(laid_out.movedim(1, -1).flatten(0, 1), axis=0)


def _numbers(matrix: torch.Tensor, axis: int) -> tuple[np.ndarray, torch.Tensor]:
    """The numbers `(8, piece, length of the other axis)` of the pieces along this axis; and their lengths."""
    on_cpu = matrix.device.type == "cpu"
    length, kept = matrix.shape[axis], matrix.shape[1 - axis]
    lengths = [min(_LONGEST, length - start) for start in range(0, length, _LONGEST)]
    beside = max(1, (_BLOCK_ON_CPU if on_cpu else _BLOCK_ELSEWHERE) // lengths[0])
    numbers = matrix.new_empty((_NUMBERS, len(lengths), kept), dtype=torch.float32)
    for piece, piece_length in enumerate(lengths):
        part = matrix.narrow(axis, piece * _LONGEST, piece_length)
        for start in range(0, kept, beside):
            width = min(beside, kept - start)
            block = part.narrow(1 - axis, start, width).float()
            into = numbers[:, piece, start : start + width]
            if on_cpu:  # asking an accelerator would make the model wait
                _measured(block, axis, into)
                if bool(into[:4].isfinite().all()):
                    continue
            _measured_with_care(block, axis, into)
    return np.array(lengths), numbers


def _measured(block: torch.Tensor, axis: int, into: torch.Tensor) -> None:
    """Write of each row (or column) of a block of finite, moderate numbers, into `(8, row)`:

    lowest, highest, mean, standard deviation; how many values are not 0, how many are 0.02 or more in
    magnitude, how many are above 0.98; how many are finite.
    """
    length = block.shape[axis]
    torch.amin(block, axis, out=into[0])
    torch.amax(block, axis, out=into[1])
    torch.clamp(block.mean(axis), into[0], into[1], out=into[2])  # equal numbers have exactly that mean
    mean = into[2].unsqueeze(axis)
    _count_beyond(block, axis, into)
    centred = block - mean
    into[3] = (centred.mul_(centred).sum(axis) / length).sqrt_()
    into[7] = length


def _measured_with_care(block: torch.Tensor, axis: int, into: torch.Tensor) -> None:
    """The same of any numbers: NaN and infinities are left out, and no square of a large one overflows."""
    finite = block.isfinite()
    count = finite.sum(axis, dtype=torch.float32)
    torch.amin(torch.where(finite, block, torch.inf), axis, out=into[0])
    torch.amax(torch.where(finite, block, -torch.inf), axis, out=into[1])
    known = torch.where(finite, block, 0.0)
    _count_beyond(known, axis, into)
    among = count.clamp(min=1).unsqueeze(axis)
    scale = known.abs().amax(axis, keepdim=True).clamp(min=1)
    bounds = [torch.where(count > 0, bound, 0.0).unsqueeze(axis) / scale for bound in into[:2]]
    known /= scale
    mean = (known.sum(axis, keepdim=True) / among).clamp(*bounds)
    centred = torch.where(finite, known - mean, 0.0)
    deviation = (centred.mul_(centred).sum(axis, keepdim=True) / among).sqrt_()
    into[2] = (mean * scale).squeeze(axis)
    into[3] = (deviation * scale).squeeze(axis)
    into[7] = count


def _count_beyond(block: torch.Tensor, axis: int, into: torch.Tensor) -> None:
    """How many values are not 0, not near 0, and above 0.98.

    Ones are added up, since truth values are added up five times as slowly.
    """
    magnitude = block.abs()
    into[4] = magnitude.sign().sum(axis)
    for place, beyond in ((5, _BELOW_NEAR_ZERO), (6, _NEAR_ONE)):
        into[place] = functional.threshold(magnitude, beyond, 0.0).sign_().sum(axis)


def _merged(numbers: np.ndarray, counts: np.ndarray, values: int, sample: np.ndarray) -> OutputStatistics:
    """The statistics of all pieces together.

    Args:
        numbers: `(8, piece, channel)`.
        counts: `(piece,)`, the values of each channel in a piece.
        values: all values of a channel.
        sample: see `OutputStatistics`.
    """
    lowest, highest = numbers[0], numbers[1]
    means, deviations, not_zero, not_near_zero, near_one, finite = numbers[2:].astype(np.float64)
    known, total = finite.sum(0), max(values, 1)
    weights = finite / np.maximum(known, 1)
    mean = (weights * means).sum(0)
    variance = (weights * (np.square(deviations) + np.square(means - mean))).sum(0)
    return OutputStatistics(
        values=values,
        mean=mean.astype(np.float32),
        deviation=np.sqrt(variance).astype(np.float32),
        lowest=lowest.min(0, initial=np.inf),
        highest=highest.max(0, initial=-np.inf),
        zeros=((finite - not_zero).sum(0) / total).astype(np.float32),
        near_zero=((finite - not_near_zero).sum(0) / total).astype(np.float32),
        near_one=(near_one.sum(0) / total).astype(np.float32),
        finite=(known / total).astype(np.float32),
        sample=np.array(sample, np.float32),
    )
