"""Which part of a layer is copied off the device: only what a picture shows of it."""

from __future__ import annotations

from layerviz_callbacks.cut.channels import chosen_channels, strength_of_kernels, strength_of_outputs
from layerviz_callbacks.cut.cuts import VALUES_A_STRETCH, KernelCut, OutputCut, Taken
from layerviz_callbacks.cut.cutting import (
    cut_kernel,
    cut_output,
    shape_of_kernel,
    shape_of_output,
    stretch_starts,
)
from layerviz_callbacks.cut.recutting import cut_again, recut_kernel, recut_output

__all__ = [
    "VALUES_A_STRETCH",
    "KernelCut",
    "OutputCut",
    "Taken",
    "chosen_channels",
    "cut_again",
    "cut_kernel",
    "cut_output",
    "recut_kernel",
    "recut_output",
    "shape_of_kernel",
    "shape_of_output",
    "strength_of_kernels",
    "strength_of_outputs",
    "stretch_starts",
]
