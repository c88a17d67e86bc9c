"""Calling a model with inputs of other shapes than the probe's, which it may refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from layerviz_callbacks.errors import ArgumentError, DifferentiationError
from layerviz_callbacks.explaining.differentiation import Derivative, Differentiate


def differentiated(
    differentiate: Differentiate,
    inputs: Mapping[str, np.ndarray],
    weights: Callable[[tuple[int, ...]], np.ndarray],
    *,
    layer: str = "",
    output: str = "",
) -> Derivative:
    """What `differentiate` gives, where the model may refuse the inputs' shapes.

    Raises:
        DifferentiationError: there is no gradient, or the model fails with these inputs; in words.
    """
    try:
        return differentiate(inputs, weights, layer=layer, output=output)
    except (ArgumentError, DifferentiationError):
        raise
    except Exception as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
        words = " ".join(str(error).split())
        raise DifferentiationError(
            f"the model fails with inputs of the shapes {shapes}: {type(error).__name__}: {words[:300]}"
        ) from error


def is_differentiable(array: np.ndarray) -> bool:
    """Whether an input has gradients: it holds floating-point numbers."""
    return array.dtype.kind == "f"


def no_floating_point(inputs: Mapping[str, np.ndarray]) -> DifferentiationError:
    """The error for inputs that have no gradients."""
    given = ", ".join(f"{name} is {array.dtype}" for name, array in inputs.items())
    return DifferentiationError(
        f"inputs that are no floating-point numbers have no gradients ({given}); where the model takes "
        "floating-point ones, pass the probe as x.astype('float32')"
    )
