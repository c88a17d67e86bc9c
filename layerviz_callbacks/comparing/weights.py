"""How far the weights of two layers are apart, as they stand and channel by channel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.comparing.assignment import best_assignment, cosines


@dataclass(frozen=True, eq=False)
class Match:
    """Which channel of one layer is which of the other.

    Attributes:
        channels: the channels that were matched, by their numbers.
        partners: `(channel,)`: the numbers of their partners in the other layer.
        signs: `(channel,)`: -1 where the partner is the channel's negative.
        likeness: `(channel,)`: of each channel with its partner: of what it was matched by.
        by: "activations" or "filters".
        inputs_of: the layer by whose match the other layer's inputs were put in order; empty: they stand.
    """

    channels: tuple[int, ...]
    partners: tuple[int, ...]
    signs: np.ndarray
    likeness: np.ndarray
    by: str
    inputs_of: str = ""

    @property
    def moved(self) -> int:
        """How many channels have a partner of another number."""
        return sum(one != other for one, other in zip(self.channels, self.partners, strict=True))

    @property
    def flipped(self) -> int:
        """How many channels are matched with a negative."""
        return int((self.signs < 0).sum())


@dataclass(frozen=True)
class Order:
    """The order in which the channels of a layer stand, found by the match of an earlier layer.

    Attributes:
        layer: the name of that layer.
        partners: of each of its channels, all of them.
        signs: likewise.
    """

    layer: str
    partners: tuple[int, ...]
    signs: tuple[float, ...]

    def inputs(self, count: int, *, flat: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The orders in which `count` inputs of a later layer can stand by it, and the sign of each.

        Args:
            count: how many inputs that layer has.
            flat: its inputs may be the earlier layer's channels and places in one row, in either order.
        """
        partners, signs = np.array(self.partners), np.array(self.signs)
        channels = len(partners)
        if count == channels:
            yield partners, signs
        elif flat and count % channels == 0:
            places = count // channels
            yield (partners[:, None] * places + np.arange(places)).ravel(), np.repeat(signs, places)
            yield (np.arange(places)[:, None] * channels + partners).ravel(), np.tile(signs, places)


def relative_distance(one: np.ndarray, other: np.ndarray) -> float:
    """`|one - other| / |one|`, Euclidean norms; 0 where they are equal, infinite where only `one` is zero.

    Example:
        >>> relative_distance(np.array([3.0, 4.0]), np.array([3.0, 1.0]))
        0.6
    """
    first, second = one.astype(np.float64), other.astype(np.float64)
    largest = max(float(np.abs(first).max(initial=0.0)), float(np.abs(second).max(initial=0.0))) or 1.0
    apart = float(np.linalg.norm((first - second) / largest))
    length = float(np.linalg.norm(first / largest))
    if apart == 0:
        return 0.0
    return apart / length if length else float("inf")


def match_filters(one: np.ndarray, other: np.ndarray, channels: Sequence[int], inputs_of: str = "") -> Match:
    """Match channels by the magnitude of the cosine between their weights; see `Match`.

    Args:
        one: `(channel, ...)`.
        other: in the same shape.
        channels: the number of each channel.
        inputs_of: see `Match`.
    """
    found = cosines(one.reshape(len(one), -1), other.reshape(len(other), -1))
    partners = best_assignment(np.abs(found))
    paired = found[np.arange(len(found)), partners]
    return Match(
        tuple(channels),
        tuple(int(channels[place]) for place in partners),
        np.where(paired < 0, -1.0, 1.0),
        np.abs(paired),
        "filters",
        inputs_of,
    )


def in_input_order(kernel: np.ndarray, orders: Sequence[Order]) -> Iterator[tuple[str, np.ndarray]]:
    """A kernel `(channel, gate, in, *space)` with its inputs as they stand, then in each order that fits."""
    yield "", kernel
    count, flat = kernel.shape[2], all(length == 1 for length in kernel.shape[3:])
    for order in orders:
        for places, signs in order.inputs(count, flat=flat):
            shape = (1, 1, count, *[1] * (kernel.ndim - 3))
            yield order.layer, kernel[:, :, places] * signs.reshape(shape).astype(kernel.dtype)
