"""Attention written by hand: weights that sum to one, found in the products that they are used in."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

PRODUCTS = frozenset(("matmul", "__matmul__", "bmm", "baddbmm", "einsum"))
WEIGHTINGS = frozenset(("mul", "mul_", "__mul__", "multiply", "multiply_"))

_CHECKED = 1 << 20  # numbers
_EXACT = (torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One of the two tensors of a product, seen as weights of the other.

    Attributes:
        side: which of its forms it is; the same at each step.
        weights: `(*batch, query, key)`, a view.
        operand: the tensor as it was given.
        values: the other tensor.
    """

    side: str
    weights: torch.Tensor
    operand: torch.Tensor
    values: torch.Tensor


def candidates(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], samples: int) -> Iterator[Candidate]:
    """What might be attention in a call of one of `PRODUCTS` or `WEIGHTINGS`, by shapes alone."""
    if name == "einsum":
        yield from _of_einsum(args)
        return
    given = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor)]
    one, other = (given[1:3] if name == "baddbmm" else given[:2]) if len(given) > 1 else (None, None)
    if one is None or other is None or not (one.is_floating_point() and other.is_floating_point()):
        return
    if name in WEIGHTINGS:
        yield from _of_weighting(one, other, samples)
        yield from _of_weighting(other, one, samples)
        return
    if one.ndim > 2 and other.ndim > 2:
        if one.shape[-1] > 1:
            yield Candidate("left", one, one, other)
        if other.shape[-2] > 1:
            yield Candidate("right", other.mT, other, one)


def is_attention(weights: torch.Tensor) -> bool:
    """Whether weights `(*batch, query, key)` are not negative and each query's sum to one over several keys.

    Queries whose weights are all 0 or NaN (padding) may be among them. Weights that are all 0 or 1 choose,
    they do not attend; and weights of which there is one set in memory for all samples are no sample's own.
    """
    if weights.numel() == 0 or weights.shape[-1] < 2:
        return False
    if weights.shape[0] > 1 and weights.stride(0) == 0:
        return False
    if not sum_to_one(weights):
        return False
    part = _part(weights)
    none = (part == 0).all(-1) | part.isnan().any(-1)
    return bool(none.sum() * 2 <= none.numel() and not ((part == 0) | (part == 1)).all())


def sum_to_one(weights: torch.Tensor) -> bool:
    """Whether weights that were attention may still be: as sharp as they like, NaN where training failed."""
    part = _part(weights)
    if part.numel() == 0 or (part < 0).any():
        return False
    sums = part.sum(-1)
    tolerance = 1e-3 if weights.dtype in _EXACT else 2e-2
    return bool((((sums - 1).abs() <= tolerance) | (sums == 0) | sums.isnan()).all())


def _part(weights: torch.Tensor) -> torch.Tensor:
    """As many of its first entries as tell what it is, float32."""
    each = max(1, weights.numel() // max(1, weights.shape[0]))
    return weights.detach()[: max(1, _CHECKED // each)].float()


def _of_weighting(weights: torch.Tensor, values: torch.Tensor, samples: int) -> Iterator[Candidate]:
    """Values multiplied by a number for each place: `(sample, key, 1)`, and the like; one query."""
    shape, rank = tuple(weights.shape), weights.ndim
    if rank != values.ndim or not 2 < rank < 6 or samples not in shape[:2]:
        return
    different = [axis for axis in range(rank) if shape[axis] != values.shape[axis]]
    if len(different) != 1 or shape[different[0]] != 1 or values.shape[different[0]] < 2:
        return
    if different[0] == rank - 1 and shape[0] == samples:
        if rank == 4:
            yield Candidate("by head", weights.mT, weights, values)  # (sample, head, key, 1)
        yield Candidate("last", weights.reshape(samples, 1, -1), weights, values)
    if different[0] == rank - 1 and shape[1] == samples and rank == 3:
        yield Candidate("time first", weights.permute(1, 2, 0), weights, values)
    if different[0] == 1 and shape[0] == samples:
        yield Candidate("second", weights.reshape(samples, 1, -1), weights, values)


def _of_einsum(args: tuple[Any, ...]) -> Iterator[Candidate]:
    if not args or not isinstance(args[0], str):
        return
    operands = list(args[1]) if len(args) == 2 and isinstance(args[1], (list, tuple)) else list(args[1:])
    letters = _letters(args[0], operands)
    if letters is None:
        return
    one, other, result = letters
    for side, own, values in (("left", 0, 1), ("right", 1, 0)):
        tensor = operands[own]
        if tensor.is_floating_point():
            weights = _as_weights(tensor, (one, other)[own], (one, other)[values], result)
            if weights is not None:
                yield Candidate(side, weights, tensor, operands[values])


def _letters(equation: str, operands: list[Any]) -> tuple[str, str, str] | None:
    """The letters of the two operands and of the result; None where they are not two."""
    given, arrow, result = equation.replace(" ", "").partition("->")
    parts = given.split(",")
    if not arrow or len(parts) != 2 or len(operands) != 2:
        return None
    free = [letter for letter in string.ascii_letters if letter not in equation]
    written = []
    for part, operand in zip(parts, operands, strict=True):
        hidden = operand.ndim - len(part.replace("...", ""))
        written.append(part.replace("...", "".join(free[:hidden])))
    hidden = max(len(new) - len(part.replace("...", "")) for new, part in zip(written, parts, strict=True))
    return written[0], written[1], result.replace("...", "".join(free[:hidden]))


def _as_weights(tensor: torch.Tensor, own: str, other: str, result: str) -> torch.Tensor | None:
    """`(*batch, query, key)`: keys are summed over, queries are the weights' alone, the batch is common."""
    batch = [letter for letter in own if letter in other and letter in result]
    query = [letter for letter in own if letter not in other and letter in result]
    key = [letter for letter in own if letter in other and letter not in result]
    if not batch or not key or len(batch) + len(query) + len(key) < len(own) or len(set(own)) < len(own):
        return None
    ordered = tensor.permute([own.index(letter) for letter in (*batch, *query, *key)])
    sizes = ordered.shape[: len(batch)]
    keys = ordered.shape[len(batch) + len(query) :].numel()
    return ordered.reshape(*sizes, -1, keys)
