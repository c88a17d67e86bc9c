"""What is said of channels that are the same everywhere, or hold NaN or infinities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.cut import Taken
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.views.saturation import Saturation
from layerviz_callbacks.views.words import count_of


@dataclass(frozen=True, eq=False)
class Marks:
    """Which of the channels that are drawn are marked; from all their values, before any was left out.

    Attributes:
        zero: `(channel,)`, zero everywhere.
        constant: `(channel,)`, another number everywhere.
        saturated: `(channel,)`, at the bounds of a bounded activation almost everywhere, see `saturation`.
        strange: which hold NaN, plus and minus infinity: their palette index, name and number of channels.
    """

    zero: np.ndarray
    constant: np.ndarray
    saturated: np.ndarray
    strange: tuple[tuple[int, str, int], ...]

    @classmethod
    def of(cls, taken: Taken, *, values: int, saturation: Saturation | None = None) -> Marks:
        """The marks of what was taken, of which each channel has so many `values`."""
        low, high, sound = taken.lowest, taken.highest, ~taken.not_a_number
        zero = (low == 0) & (high == 0) & sound
        constant = (low == high) & np.isfinite(low) & sound & ~zero & (values > 1)
        counts = (
            (palette.NOT_A_NUMBER, "NaN", int(taken.not_a_number.sum())),
            (palette.PLUS_INFINITY, "+Inf", int((high == np.inf).sum())),
            (palette.MINUS_INFINITY, "-Inf", int((low == -np.inf).sum())),
        )
        same = zero | constant
        saturated = np.zeros_like(same) if saturation is None else saturation.channels & ~same & (values > 1)
        return cls(zero, constant, saturated, tuple(entry for entry in counts if entry[-1]))

    @property
    def crossed(self) -> np.ndarray:
        """`(channel,)`: the same everywhere."""
        return np.asarray(self.zero | self.constant)

    def key(self, *, ground: int | None, noun: str = "channel") -> list[tuple[np.ndarray, str]]:
        """What the marks of a sheet mean, as far as it has any.

        Args:
            ground: the index that the cross stands on; None: the mark is no cross, but a stub at a bar's
                foot.
            noun: what a channel is called.
        """
        marked = "marked" if ground is None else "crossed out"
        entries = []
        for name, found, meaning in (
            ("all zero", self.zero, "zero in all that is drawn"),
            ("constant", self.constant, "one value in all that is drawn"),
        ):
            if found.any():
                mark = sheet.swatch(palette.DEAD) if ground is None else sheet.cross_swatch(ground)
                words = f"{int(found.sum())} {name}"
                entries.append((sheet.legend_entry(mark, words), f"{marked}: {words} ({meaning})"))
        if self.saturated.any():
            mark = sheet.swatch(palette.DEAD) if ground is None else sheet.corner_swatch(ground)
            words = f"{int(self.saturated.sum())} saturated"
            where = "with a cap" if ground is None else "with a corner"
            entries.append((sheet.legend_entry(mark, words), f"{where}: {words}"))
        return entries + self.strange_key(noun=noun)

    def strange_key(self, *, noun: str = "channel") -> list[tuple[np.ndarray, str]]:
        """The part of the key for NaN and infinities."""
        return [
            (sheet.legend_entry(sheet.swatch(index), words), words)
            for index, name, count in self.strange
            for words in [f"{count_of(count, count, noun)} with {name}"]
        ]


def strange_key(values: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """The key of NaN and infinities in `(sample, ...)`, as far as there are any: in how many samples."""
    entries = []
    for index, name, found in (
        (palette.NOT_A_NUMBER, "NaN", np.isnan(values)),
        (palette.PLUS_INFINITY, "+Inf", values == np.inf),
        (palette.MINUS_INFINITY, "-Inf", values == -np.inf),
    ):
        count = int(found.any(axis=tuple(range(1, values.ndim))).sum())
        if count:
            words = f"{name} in {count_of(count, count, 'sample')}"
            entries.append((sheet.legend_entry(sheet.swatch(index), words), words))
    return entries
