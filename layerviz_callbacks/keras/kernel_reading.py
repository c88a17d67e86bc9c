"""Copies kernels, and of each no more than was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.cut import KernelCut, Taken
from layerviz_callbacks.keras.capture import copied_tensors
from layerviz_callbacks.keras.cutting import Tensors, kernel_arrays, kernel_tensors
from layerviz_callbacks.keras.hosted import cut_kernel_view, view_of
from layerviz_callbacks.keras.kernels import StoredKernel, copied
from layerviz_callbacks.keras.layout import Layout
from layerviz_callbacks.keras.recent import Recent

Copied = tuple[np.ndarray, Taken | None]


class KernelReader:
    """Reads kernels; on JAX the cuts of one request are compiled together, once."""

    def __init__(self) -> None:
        self._programs: Recent[Any] = Recent()

    def read(self, kernels: Mapping[str, StoredKernel], cuts: Mapping[str, KernelCut]) -> dict[str, Copied]:
        """The kernels by name, as `(out, in, *space)`, with what was taken of each; None: all of it.

        Args:
            kernels: what to read, by `Layer.name`.
            cuts: by the same names, the part that is enough; the others are copied whole.
        """
        whole = {name: kernel for name, kernel in kernels.items() if name not in cuts}
        read: dict[str, Copied] = {
            name: (kernel.layout.array(copied(kernel.read())), None) for name, kernel in whole.items()
        }
        parts = {name: kernel for name, kernel in kernels.items() if name in cuts}
        stored = {name: kernel.read() for name, kernel in parts.items()}
        for name, tensors in self._cut(parts, cuts, stored).items():
            read[name] = kernel_arrays(copied_tensors(tensors), parts[name].shape, cuts[name])
        return read

    def _cut(
        self, kernels: Mapping[str, StoredKernel], cuts: Mapping[str, KernelCut], stored: dict[str, Any]
    ) -> dict[str, Any]:
        if keras.backend.backend() != "jax" or not stored:
            return {
                name: _cut_now(stored[name], kernel.layout, cuts[name]) for name, kernel in kernels.items()
            }
        import jax

        layouts = {name: (kernel.layout, cuts[name]) for name, kernel in kernels.items()}

        def cut_all(given: dict[str, Any]) -> dict[str, Any]:
            return {name: kernel_tensors(given[name], *layouts[name]) for name in given}

        program = self._programs.get(frozenset(layouts.items()), lambda: jax.jit(cut_all))
        result: dict[str, Any] = program(stored)
        return result


def _cut_now(stored: Any, layout: Layout, cut: KernelCut) -> Tensors:
    view = view_of(stored)
    return kernel_tensors(stored, layout, cut) if view is None else cut_kernel_view(view, layout, cut)
