"""Tensors to NumPy: copies that no later operation can change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


def tensors_in(value: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a nested result, with its path.

    Tuples, lists and named tuples, mappings, dataclasses and packed sequences (padded, samples first) are
    looked into.

    Example:
        >>> [path for path, _ in tensors_in({"a": torch.zeros(1), "b": (torch.zeros(1), None)})]
        ['a', 'b.0']
    """
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, PackedSequence):
        yield path, pad_packed_sequence(value, batch_first=True)[0]
    else:
        for key, part in parts_of(value):
            yield from tensors_in(part, f"{path}.{key}" if path else str(key))


def argument_tensors(arguments: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The tensors among an operation's arguments, or its results: those in lists and tuples too."""
    for one in arguments:
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, (list, tuple)):
            yield from argument_tensors(one)


def parts_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """The keys and parts of what holds others: a tuple, list, named tuple, mapping or dataclass."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from zip(getattr(value, "_fields", range(len(value))), value, strict=True)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))


def has_values(tensor: torch.Tensor) -> bool:
    """Whether it holds numbers that can be shown as float32: no whole numbers, no truth values."""
    return tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized


def plain_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as a dense real one: nested padded with 0, sharded gathered, complex as its magnitude."""
    tensor = tensor.detach()
    if tensor.is_nested:
        tensor = tensor.to_padded_tensor(0.0)
    if hasattr(tensor, "full_tensor"):
        tensor = tensor.full_tensor()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.is_floating_point() and tensor.element_size() == 1:
        tensor = tensor.float()  # no arithmetic is defined for 8 bits
    return tensor.abs() if tensor.is_complex() else tensor


def plain_gradient(parameter: torch.Tensor) -> torch.Tensor | None:
    """What is in `.grad`; None where it is empty, sparse, or held by several processes in parts."""
    gradient = parameter.grad
    if gradient is None or gradient.shape != parameter.shape:
        return None
    return gradient.detach() if is_plain(gradient) else None


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether it lies here as a whole, as an array of real numbers."""
    return (
        tensor.layout is torch.strided and not hasattr(tensor, "full_tensor") and tensor.is_floating_point()
    )


def to_float32(tensor: torch.Tensor, axes: tuple[int, ...] | None = None) -> np.ndarray:
    """A float32 copy on the CPU with its axes in this order (None: as they are), C-contiguous."""
    array = plain_tensor(tensor).to("cpu", torch.float32, copy=True).numpy()
    return np.ascontiguousarray(array if axes is None else array.transpose(axes))
