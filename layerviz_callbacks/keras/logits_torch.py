"""Hears softmax and sigmoid on PyTorch, however they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FUNCTIONS = {
    torch.softmax,
    torch.nn.functional.softmax,
    torch.Tensor.softmax,
    torch.special.softmax,
    torch.sigmoid,
    torch.nn.functional.sigmoid,
    torch.Tensor.sigmoid,
    torch.special.expit,
}


class SoftmaxMode(TorchFunctionMode):
    """While it is entered, tells of each softmax and sigmoid its result and what it was made of.

    Args:
        remember: is told `(output, logits)`.
    """

    def __init__(self, remember: Callable[[Any, Any], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._remember = remember

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, and tell where it is one of these."""
        output = func(*args, **(kwargs or {}))
        if func in _FUNCTIONS:
            self._remember(output, args[0] if args else (kwargs or {}).get("input"))
        return output
