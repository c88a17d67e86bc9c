"""Many channels joined into one map, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DIRECT = 256
"""Up to so many channels (or places) the eigenvectors are found directly, else by iteration."""
_AHEAD = 8
"""So many leading components are followed together by the iteration, of which one is kept."""
_MOST_PLACES = 1024
"""At so many places, evenly spaced, channels are compared with each other."""
_ROUNDS = 100


@dataclass(frozen=True, eq=False)
class Component:
    """A principal component of an output.

    Attributes:
        maps: `(sample, *space)`, what each place has of it; NaN and infinities where a channel has them.
        share: how much of the variance over all places of all samples it explains, from 0 to 1.
        weights: `(channel,)`, of length 1.
    """

    maps: np.ndarray
    share: float
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Clusters:
    """Channels in groups, and the group that leads at each place.

    Attributes:
        groups: the places of each group's channels among those that were given; the group of the first
            channel first. Channels that are the same everywhere, or nowhere finite, are in none.
        leading: `(sample, *space)`, the number of the group with the largest mean magnitude; -1 where there
            is none.
        strength: `(sample, *space)`, that magnitude; NaN and infinities where a channel has them.
    """

    groups: tuple[tuple[int, ...], ...]
    leading: np.ndarray
    strength: np.ndarray


def mean_magnitude(output: np.ndarray) -> np.ndarray:
    """The mean magnitude of the channels of `(sample, *space, channel)` at each place.

    Activation-based attention, as in Zagoruyko and Komodakis, "Paying More Attention to Attention",
    arXiv:1612.03928 (there as a sum).

    Example:
        >>> mean_magnitude(np.array([[[1.0, -3.0], [0.0, 0.0]]]))
        array([[2., 0.]])
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.abs(output).mean(axis=-1))


def principal_component(output: np.ndarray) -> Component:
    """The first principal component of the channels, over all places of all samples `(sample, *space, channel)`.

    Its sign is such that the larger side is positive. As in EigenCAM (Muhammad and Yeasin 2020,
    arXiv:2008.00299), of centred channels.

    Example:
        >>> found = principal_component(np.array([[[3.0, 4.0], [-3.0, -4.0], [0.0, 0.0]]]))
        >>> found.maps.round(6).tolist(), round(found.share, 6), found.weights.round(6).tolist()
        ([[5.0, -5.0, 0.0]], 1.0, [0.6, 0.8])
    """  # noqa: E501
    places, finite = _places(output.astype(np.float64))
    sound = places[finite]
    total = float(np.square(centred := sound - _mean(sound)).sum())
    maps = np.zeros(len(places))
    weights, explained = np.zeros(places.shape[1]), 0.0
    if total > 0:
        weights, explained = _leading(centred)
        maps[finite] = centred @ weights
        if maps.max() < -maps.min() or (maps.max() == -maps.min() and weights.sum() < 0):
            maps, weights = -maps, -weights
    maps[~finite] = _strange(places[~finite])
    share = min(1.0, explained / total) if total > 0 else 0.0
    return Component(maps.reshape(output.shape[:-1]).astype(np.float32), share, weights)


def clusters(output: np.ndarray, count: int) -> Clusters:
    """Group channels by the correlation of their maps, and find the leading group at each place.

    Channels are standardized over all places of all samples, so that the squared distance of two is
    `2 - 2 * correlation`, and grouped by k-means. The start is fixed: first the channel that correlates best
    with all, then always the one that is farthest from those chosen. (Groups of neurons that fire together,
    as in Olah et al., "The Building Blocks of Interpretability", 2018, there by factorization.)

    Args:
        output: `(sample, *space, channel)`.
        count: how many groups; fewer where fewer channels live.

    Example:
        >>> two = clusters(np.array([[[1.0, 2.0, 0.0, 5.0], [0.0, 0.0, 7.0, 5.0], [1.0, 2.0, 0.0, 5.0]]]), 2)
        >>> two.groups, two.leading.tolist()
        (((0, 1), (2,)), [[0, 1, 0]])
    """
    places, finite = _places(output)
    sound = places[finite]
    step = max(1, -(-len(sound) // _MOST_PLACES))
    compared = sound[::step].astype(np.float64)
    compared -= _mean(compared)
    length = np.sqrt(np.square(compared).sum(axis=0))
    living = np.flatnonzero(length > 1e-9 * np.abs(sound).max(initial=0))
    leading = np.full(len(places), -1)
    strength = np.zeros(len(places))
    groups: tuple[tuple[int, ...], ...] = ()
    if len(living):
        standardized = compared[:, living] / length[living]
        numbers = _grouped(standardized.T @ standardized, min(count, len(living)))
        found = [tuple(living[numbers == number].tolist()) for number in range(numbers.max() + 1)]
        groups = tuple(sorted(group for group in found if group))
        means = np.stack([np.abs(sound[:, list(group)]).mean(axis=1) for group in groups])
        leading[finite] = np.where(means.max(axis=0) > 0, means.argmax(axis=0), -1)
        strength[finite] = means.max(axis=0)
    strength[~finite] = _strange(places[~finite])
    shape = output.shape[:-1]
    return Clusters(groups, leading.reshape(shape), strength.reshape(shape).astype(np.float32))


def strongest(output: np.ndarray, count: int) -> tuple[int, ...]:
    """The places of the `count` channels with the largest mean magnitude, the strongest first."""
    flat = np.abs(output.reshape(-1, output.shape[-1])).mean(axis=0, dtype=np.float64)
    order = np.argsort(-np.where(np.isnan(flat), np.inf, flat), kind="stable")
    return tuple(order[:count].tolist())


def _places(output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(place, channel)`, and which places are finite in all channels."""
    places = output.reshape(-1, output.shape[-1])
    return places, np.isfinite(places).all(axis=1)


def _strange(places: np.ndarray) -> np.ndarray:
    """NaN where a channel is NaN, else the infinity."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(np.isfinite(places), 0, places).sum(axis=1))


def _mean(places: np.ndarray) -> np.ndarray | float:
    return np.asarray(places.mean(axis=0)) if len(places) else 0.0


def _leading(centred: np.ndarray) -> tuple[np.ndarray, float]:
    """The leading eigenvector of the channels' scatter `(channel,)`, of length 1, and its eigenvalue."""
    rows, channels = centred.shape
    if min(rows, channels) > _DIRECT:
        return _leading_by_iteration(centred)
    wide = channels > rows
    values, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    vector = centred.T @ vectors[:, -1] if wide else vectors[:, -1]
    return vector / np.sqrt(np.square(vector).sum()), float(values[-1])


def _leading_by_iteration(centred: np.ndarray) -> tuple[np.ndarray, float]:
    """The same for many channels: subspace iteration from a fixed start."""
    start = np.random.default_rng(0).normal(size=(centred.shape[1], _AHEAD))
    vectors, value = np.linalg.qr(start)[0], 0.0
    for _ in range(_ROUNDS):
        vectors = np.linalg.qr(centred.T @ (centred @ vectors))[0]
        projected = centred @ vectors
        values, turn = np.linalg.eigh(projected.T @ projected)
        vectors, before, value = vectors @ turn[:, ::-1], value, float(values[-1])
        if value - before <= 1e-9 * value:
            break
    return vectors[:, 0], value


def _grouped(alike: np.ndarray, count: int) -> np.ndarray:
    """k-means of points that are known by their inner products `(point, point)`: each point's group."""
    chosen = _apart(alike, count)
    numbers = np.argmax(alike[:, chosen], axis=1)
    numbers[chosen] = np.arange(len(chosen))
    for _ in range(_ROUNDS):
        member = numbers[:, None] == np.arange(count)
        size = np.maximum(member.sum(axis=0), 1)
        to_mean = alike @ member / size
        squared = (member * to_mean).sum(axis=0) / size
        distance = np.where(member.any(axis=0), squared - 2 * to_mean, np.inf)
        nearest = distance.argmin(axis=1)
        if (nearest == numbers).all():
            break
        numbers = nearest
    return np.asarray(numbers)


def _apart(alike: np.ndarray, count: int) -> Sequence[int]:
    """`count` points far from each other: first that in the middle of all, then always the farthest."""
    chosen = [int(np.argmax(alike.sum(axis=1).round(9)))]
    while len(chosen) < count:
        nearness = alike[:, chosen].max(axis=1).round(9)
        nearness[chosen] = np.inf
        chosen.append(int(nearness.argmin()))
    return chosen
