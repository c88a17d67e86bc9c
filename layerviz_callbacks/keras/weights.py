"""The weights of Keras layers that are no kernels, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from layerviz_callbacks.keras.kernels import copied


def read_weights(variables: Iterable[object], kernels: Iterable[object]) -> dict[str, np.ndarray]:
    """Copies of variables but for those that kernels are made of, by their own names.

    Args:
        variables: Keras variables.
        kernels: the variables to leave out.
    """
    left_out = {id(variable) for variable in kernels}
    weights: dict[str, np.ndarray] = {}
    for variable in variables:
        if id(variable) not in left_out:
            name: str = variable.name  # type: ignore[attr-defined]
            weights[_free_name(name, weights)] = copied(variable)
    return weights


def _free_name(wanted: str, taken: dict[str, np.ndarray]) -> str:
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
