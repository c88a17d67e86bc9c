"""Where outputs, inputs and space stand among the axes of a stored kernel."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """Which axes of a stored kernel are outputs, inputs and space; several become one, none counts 1."""

    out: tuple[int, ...]
    into: tuple[int, ...]
    space: tuple[int, ...]

    def shape(self, stored: Sequence[int]) -> tuple[int, ...]:
        """The shape `(out, in, *space)` of a kernel stored with this shape."""
        out = math.prod(stored[axis] for axis in self.out)
        into = math.prod(stored[axis] for axis in self.into)
        return (out, into, *(stored[axis] for axis in self.space))

    def array(self, stored: np.ndarray) -> np.ndarray:
        """The kernel as a contiguous array `(out, in, *space)`."""
        return np.ascontiguousarray(self.view(stored))

    def view(self, stored: np.ndarray) -> np.ndarray:
        """The kernel as `(out, in, *space)`, in the same memory unless axes that are apart become one."""
        moved = stored.transpose(self.out + self.into + self.space)
        return moved.reshape(self.shape(stored.shape))

    def merged(self, stored: Sequence[int]) -> Merged:
        """How to make one axis of the outputs and one of the inputs, and move no data where that can be."""
        groups = [("out", self.out), ("in", self.into), *(("space", (axis,)) for axis in self.space)]
        named = sorted((group for group in groups if group[1]), key=lambda group: group[1][0])
        order = tuple(axis for _, axes in named for axis in axes)
        if not self.into:
            named.append(("in", ()))
        roles = [role for role, _ in named]
        return Merged(
            order=None if order == tuple(range(len(stored))) else order,
            shape=tuple(math.prod(stored[axis] for axis in axes) for _, axes in named),
            out=roles.index("out"),
            into=roles.index("in"),
            space=tuple(place for place, role in enumerate(roles) if role == "space"),
        )


@dataclass(frozen=True)
class Merged:
    """A stored kernel with one axis of outputs and one of inputs, the axes in the stored order.

    Attributes:
        order: the stored axes in the order they must be brought to first; None: as they are.
        shape: the shape to give it then.
        out: the axis of the outputs.
        into: the axis of the inputs.
        space: the axes of space, in their order.
    """

    order: tuple[int, ...] | None
    shape: tuple[int, ...]
    out: int
    into: int
    space: tuple[int, ...]


def convolution(rank: int) -> Layout:
    """`(*space, in, out)`; a Dense kernel is one without space."""
    return Layout(out=(rank - 1,), into=(rank - 2,), space=tuple(range(rank - 2)))


def transposed(rank: int) -> Layout:
    """`(*space, out, in)`."""
    return Layout(out=(rank - 2,), into=(rank - 1,), space=tuple(range(rank - 2)))


def depthwise(rank: int) -> Layout:
    """`(*space, channel, multiplier)`: each output sees one input channel."""
    return Layout(out=(rank - 2, rank - 1), into=(), space=tuple(range(rank - 2)))


def einsum(equation: str) -> Layout:
    """The axes of the kernel that the output keeps are outputs, those summed over are inputs.

    Example:
        >>> einsum("abc,cde->abde")
        Layout(out=(1, 2), into=(0,), space=())
    """
    _, kernel, output = re.split(",|->", equation.replace(" ", ""))
    kept = tuple(place for place, letter in enumerate(kernel) if letter in output)
    summed = tuple(place for place, letter in enumerate(kernel) if letter not in output)
    return Layout(out=kept, into=summed, space=())
