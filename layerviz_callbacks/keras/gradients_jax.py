"""Gradients on JAX with respect to what stands in the middle of a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.custom_derivatives import SymbolicZero


class Taps:
    """Gives tensors inside a function a gradient of their own: that of a zero which is added to each.

    Attributes:
        connected: the names of those that the function's result depends on; known once it was differentiated.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, Any] = {}
        self.connected: set[str] = set()

    def measured(self, name: str, tensor: Any) -> tuple[Any, Any]:
        """Learn the shape of a tensor, and leave it as it is."""
        self._kinds[name] = (tensor.shape, tensor.dtype)
        return None, tensor

    def zeros(self) -> dict[str, Any]:
        """What is to be differentiated with respect to."""
        return {name: jax.numpy.zeros(*kind) for name, kind in self._kinds.items()}

    def of(self, zeros: Mapping[str, Any]) -> Callable[[str, Any], tuple[Any, Any]]:
        """What is done with each tensor while the function of these zeros runs."""
        return lambda name, tensor: (None, self._tapped(name)(tensor, zeros[name]))

    def _tapped(self, name: str) -> Any:
        """`tensor + zero`, that notes whether a gradient comes back at all."""

        @jax.custom_vjp
        def tapped(tensor: Any, zero: Any) -> Any:
            return tensor

        def forward(tensor: Any, zero: Any) -> tuple[Any, None]:
            return tensor.value, None

        def backward(_: None, gradient: Any) -> tuple[Any, Any]:
            if isinstance(gradient, SymbolicZero):
                return None, None
            self.connected.add(name)
            return gradient, gradient

        tapped.defvjp(forward, backward, symbolic_zeros=True)
        return tapped
