"""What attention weights are among the tensors of a product, told from axes and values alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Labels = tuple[str, ...]
"""One name for each axis of a tensor; the same axis of two tensors has the same name."""

Sizes = Sequence[int | None]

MOST_WEIGHTS = 2**26
"""So many weights of one attention are read; more are refused."""


@dataclass(frozen=True)
class Asked:
    """What a pass is asked for of attention.

    Attributes:
        layers: the names of the layers whose weights are wanted; of the others only shapes are kept.
        samples: the weights of the first so many samples are wanted; None: of all.
        total: how many samples the pass has.
        known: what earlier passes found to be attention, as `(node, call, place)`; None: this is the first.
    """

    layers: frozenset[str] = frozenset()
    samples: int | None = None
    total: int = 1
    known: frozenset[tuple[str, int, int]] | None = None

    @property
    def taken(self) -> int:
        """How many samples' weights are taken."""
        return self.total if self.samples is None else min(self.samples, self.total)


@dataclass(frozen=True, eq=False)
class Attended:
    """Attention weights in one call of a layer, or what may be such.

    Attributes:
        node: the layer's name; "" where they are computed outside of all layers.
        call: 1 for the first call of the layer in the pass.
        place: 1 for the first that may be attention in that call, the same in every pass.
        shape: `(sample, head, query, key)`; a size that is known only when the pass is run is None. Empty
            where it could not be found; then there is a refusal.
        certain: that they are attention weights is known without looking at their values.
        tensors: "weights" where they are wanted; "is_attention", a truth value, where only values tell;
            "shape" where it is not known before.
        refusal: why the weights are not read though they are wanted, in words.
    """

    node: str
    call: int
    place: int
    shape: tuple[int | None, ...]
    certain: bool = False
    tensors: Mapping[str, Any] = field(default_factory=dict)
    refusal: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        """The same in every pass."""
        return self.node, self.call, self.place


@dataclass(frozen=True)
class Arrangement:
    """How a tensor becomes `(sample, head, query, key)`.

    Attributes:
        order: its axes in the order they are brought to.
        shape: the shape it is given then.
        alike: the last axis in that order is none of the four: along it all values must be the same.
    """

    order: tuple[int, ...]
    shape: tuple[int | None, ...]
    alike: bool = False


def arranged(
    sizes: Sizes, samples: int, *, heads: Sequence[int], queries: Sequence[int], keys: Sequence[int]
) -> Arrangement:
    """How a tensor whose first axis are the samples becomes `(sample, head, query, key)`.

    Samples may be several to one of the probe (windows, or heads that were joined with them: sample by
    sample, as `reshape(x, (-1, ...))` of `(sample, head, ...)` makes them); these become heads.
    """
    per_sample = _product(sizes, [0])
    folded = 1 if per_sample is None else max(1, per_sample // samples)
    several = _product(sizes, heads)
    shape = (
        samples if per_sample is None else per_sample // folded,
        None if several is None else folded * several,
        _product(sizes, queries),
        _product(sizes, keys),
    )
    return Arrangement((0, *heads, *queries, *keys), shape)


def weights_in_product(
    weights: Labels, values: Labels, output: Labels, sizes: Sizes, others: Sizes, samples: int
) -> Arrangement | None:
    """How one side of a product is arranged if it holds attention weights for the other; None: it cannot.

    Both sides must have the samples as their first axis (a product with a layer's own kernel is none), and
    the side that holds the weights is summed over its keys, of which there are at least two.

    Args:
        weights: the axes of that side.
        values: those of the other side.
        output: those of the product.
        sizes: the shape of that side.
        others: the shape of the other side.
        samples: how many samples the pass has.

    Example:
        >>> sides = ("b", "h", "q", "k"), ("b", "k", "h", "d"), ("b", "q", "h", "d")
        >>> weights_in_product(*sides, (2, 4, 5, 5), (2, 5, 4, 8), samples=2)
        Arrangement(order=(0, 1, 2, 3), shape=(2, 4, 5, 5), alike=False)
    """
    if not weights or any(len(set(labels)) < len(labels) for labels in (weights, values)):
        return None
    size = dict(zip(weights, sizes, strict=True))
    there = {
        label
        for label, other in zip(values, others, strict=True)
        if label in size and not (other == 1 and size[label] != 1)  # else it is the same for all
    }
    sample = weights[0]
    if sample not in there or sample not in output or not _fits(size[sample], samples):
        return None
    heads = [label for label in weights[1:] if label in there and label in output]
    keys = [label for label in weights[1:] if label in there and label not in output]
    queries = [label for label in weights[1:] if label not in there and label in output]
    if len(heads) + len(keys) + len(queries) + 1 < len(weights) or not keys:
        return None
    if all(label in weights for label in values):  # there is nothing to be weighted
        return None
    if _size(size, keys) in (0, 1):
        return None
    if len(queries) > 1 and _size(size, keys) in (_size(size, queries[1:]),):  # values that all heads share
        heads, queries = [*heads, queries[0]], queries[1:]
    place = {label: axis for axis, label in enumerate(weights)}
    return arranged(
        sizes,
        samples,
        heads=[place[label] for label in heads],
        queries=[place[label] for label in queries],
        keys=[place[label] for label in keys],
    )


def weights_in_multiplication(weights: Sizes, values: Sizes, samples: int) -> Arrangement | None:
    """How `(sample, *space, 1)` is arranged that is multiplied with `(sample, *space, channel)`.

    Where both have channels, the weights must be alike in all of them.
    """
    rank = len(weights)
    if rank < 3 or len(values) != rank or not _fits(weights[0], samples):
        return None
    if tuple(weights[:-1]) != tuple(values[:-1]) or values[-1] in (None, 0, 1):
        return None
    if weights[-1] not in (1, values[-1]):
        return None
    space = list(range(1, rank - 1))
    if _product(weights, space) in (0, 1):
        return None
    found = arranged(weights, samples, heads=[], queries=[], keys=space)
    return Arrangement((*found.order, rank - 1), found.shape, alike=weights[-1] != 1)


def weights_of_output(
    weights: Sizes, output: Sizes, inputs: Sequence[Sizes], samples: int
) -> Arrangement | None:
    """How a layer's further output is arranged if it may be its attention weights; None: it cannot be.

    It is `(sample, [head,] query, key)` beside a first output whose places are the queries, or
    `(sample, key[, 1])` beside one that has no places; the keys are the places of one of the inputs.
    """
    if len(weights) < 2 or len(output) < 2 or not _fits(weights[0], samples) or None in weights[1:]:
        return None
    lengths = {size for shape in inputs for size in shape[1:-1]}
    lengths |= {_product(shape, range(1, len(shape) - 1)) for shape in inputs if len(shape) > 3}
    if len(output) == 2:
        if len(weights) > 3 or (len(weights) == 3 and weights[2] != 1):
            return None
        keys, queries, heads = [1], [], []
    elif len(weights) in (3, 4) and weights[-2] in (output[1], math.prod(size or 0 for size in output[1:-1])):
        heads, queries, keys = list(range(1, len(weights) - 2)), [len(weights) - 2], [len(weights) - 1]
        lengths.add(weights[-2])
    else:
        return None
    count = weights[keys[0]]
    if count in (0, 1) or count not in lengths:
        return None
    found = arranged(weights, samples, heads=heads, queries=queries, keys=keys)
    last = (2,) if len(output) == 2 and len(weights) == 3 else ()
    return Arrangement((*found.order, *last), found.shape)


def axes_of_matmul(
    left: int, right: int, *, left_transposed: bool = False, right_transposed: bool = False
) -> tuple[Labels, Labels, Labels] | None:
    """The axes of two sides of a matrix product, by their number, and of the product.

    Example:
        >>> axes_of_matmul(3, 3)
        (('0', 'query', 'key'), ('0', 'key', 'value'), ('0', 'query', 'value'))
    """
    if left < 2 or right < 2:
        return None
    most = max(left, right) - 2
    batch = tuple(str(axis) for axis in range(most))
    one = ("key", "query") if left_transposed else ("query", "key")
    other = ("value", "key") if right_transposed else ("key", "value")
    return (*batch[most - left + 2 :], *one), (*batch[most - right + 2 :], *other), (*batch, "query", "value")


def axes_of_einsum(equation: object, left: int, right: int) -> tuple[Labels, Labels, Labels] | None:
    """The axes of two operands of an `einsum` and of its result; None where it is not of that kind.

    Example:
        >>> axes_of_einsum("...qk,...kd->...qd", 3, 3)
        (('0', 'q', 'k'), ('0', 'k', 'd'), ('0', 'q', 'd'))
    """
    if isinstance(equation, bytes):
        equation = equation.decode()
    if not isinstance(equation, str):
        return None
    operands, arrow, result = equation.replace(" ", "").partition("->")
    sides = operands.split(",")
    if len(sides) != 2:
        return None
    letters = [re.sub(r"[^A-Za-z]", "", side) for side in sides]
    more = [rank - len(side) for rank, side in zip((left, right), letters, strict=True)]
    if any(count < 0 or (count and "..." not in side) for count, side in zip(more, sides, strict=True)):
        return None
    if not arrow:
        both = "".join(letters)
        result = "..." + "".join(sorted(letter for letter in set(both) if both.count(letter) == 1))
    batch = tuple(str(axis) for axis in range(max(more)))

    def axes(side: str, count: int) -> Labels:
        before, dots, after = side.partition("...")
        return (*before, *(batch[len(batch) - count :] if dots else ()), *after)

    return axes(sides[0], more[0]), axes(sides[1], more[1]), axes(result, len(batch))


def _fits(size: int | None, samples: int) -> bool:
    return size is None or (size > 0 and size % samples == 0)


def _product(sizes: Sizes, axes: Sequence[int]) -> int | None:
    found = [sizes[axis] for axis in axes]
    return None if None in found else math.prod(size for size in found if size is not None)


def _size(size: Mapping[str, int | None], labels: Sequence[str]) -> int | None:
    found = [size[label] for label in labels]
    return None if None in found else math.prod(one for one in found if one is not None)
