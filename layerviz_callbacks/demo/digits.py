"""The digits of the demo: 1797 real scans of 8 x 8 pixels that come inside scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.probe import Probe

SHOWN_DIGITS = (0, 3, 7, 8)
LABELS = [str(digit) for digit in range(10)]
HELD_OUT = 360
LEARNING_RATE = 2e-3


@dataclass(frozen=True, eq=False)
class Digits:
    """Images `(sample, height, width)` in 0..1 with their labels, cut into training and held-out."""

    train_images: np.ndarray
    train_labels: np.ndarray
    held_out_images: np.ndarray
    held_out_labels: np.ndarray

    def probe(self, *, channel_axis: int) -> Probe:
        """One held-out scan of each of a few digits; the channel axis stands where the framework wants it."""
        places = [int(np.flatnonzero(self.held_out_labels == digit)[0]) for digit in SHOWN_DIGITS]
        return Probe(
            np.expand_dims(self.held_out_images[places], channel_axis),
            names=[f"digit {digit}" for digit in SHOWN_DIGITS],
            targets=self.held_out_labels[places],
        )


def load_digits() -> Digits:
    """Load and shuffle the digits, the same way each time."""
    from sklearn.datasets import load_digits as load

    images, labels = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images = (images[order] / 16.0).astype(np.float32).reshape(-1, 8, 8)
    labels = labels[order].astype(np.int64)
    return Digits(images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT])
