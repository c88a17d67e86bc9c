"""CKA between every layer of one model and every layer of another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from layerviz_callbacks.comparing.answer_rows import MOST_ROWS, common_grid, maps_of, rows_of
from layerviz_callbacks.comparing.cka import (
    FEW_ROWS,
    FEWEST_ROWS,
    Representation,
    biased_cka,
    debiased_cka,
)
from layerviz_callbacks.snapshot import Layer

MOST_WORK = 3e10
"""Multiplications for all layers with all, a few seconds; beyond, all but the partners are of fewer rows."""


@dataclass(frozen=True, eq=False)
class LayersCKA:
    """Three numbers a pair of layers, `(layer of a, layer of b)`.

    Attributes:
        debiased: see `debiased_cka`; NaN where two cannot be compared.
        biased: see `biased_cka`, of the pairs that were asked for; else NaN.
        rows: how many rows they are of; 0 where they cannot be compared.
        most_rows: so many rows were taken at most of layers that are no partners: `MOST_ROWS`, or `FEW_ROWS`
            where that is too much work.
    """

    debiased: np.ndarray
    biased: np.ndarray
    rows: np.ndarray
    most_rows: int = MOST_ROWS


def layers_cka(
    one: Sequence[Layer], other: Sequence[Layer], partners: Collection[tuple[int, int]] = ()
) -> LayersCKA:
    """CKA between layers that hold outputs of the same probe.

    Layers of different sizes are compared on the coarser grid, see `common_grid`. What is held on a grid is
    made once, for all pairs, and then given up.

    Args:
        one: layers of a.
        other: layers of b.
        partners: the pairs of places whose biased CKA is wanted, too.
    """
    sides = [[_Held.of(layer) for layer in layers] for layers in (one, other)]
    shape = len(one), len(other)
    by_rows: dict[tuple[tuple[int, ...], int], list[tuple[int, int]]] = {}
    for place, first in enumerate(sides[0]):
        for column, second in enumerate(sides[1]):
            if first.samples == second.samples and first.finite and second.finite:
                count = min(len(first.output), len(second.output))
                key = common_grid(first.output, second.output), count
                by_rows.setdefault(key, []).append((place, column))
    most = _most_rows(sides, by_rows)
    found = LayersCKA(np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, int), most)
    for (grid, samples), pairs in by_rows.items():
        prepared = [
            {place: held[place].prepared(grid, samples, most) for place in {pair[side] for pair in pairs}}
            for side, held in enumerate(sides)
        ]
        for place, column in pairs:
            is_pair = (place, column) in partners
            if is_pair and most < MOST_ROWS:
                both = [sides[0][place].prepared(grid, samples), sides[1][column].prepared(grid, samples)]
            else:
                both = [prepared[0][place], prepared[1][column]]
            found.rows[place, column] = len(both[0].features)
            if len(both[0].features) >= FEWEST_ROWS:
                found.debiased[place, column] = debiased_cka(*both)
                if is_pair:
                    found.biased[place, column] = biased_cka(*both)
    return found


def _most_rows(
    sides: Sequence[Sequence[_Held]],
    by_rows: Mapping[tuple[tuple[int, ...], int], Sequence[tuple[int, int]]],
) -> int:
    work = 0
    for (grid, samples), pairs in by_rows.items():
        rows = min(MOST_ROWS, samples * prod(grid))
        work += rows * sum(sides[0][place].channels * sides[1][column].channels for place, column in pairs)
    return MOST_ROWS if work <= MOST_WORK else FEW_ROWS


@dataclass(frozen=True, eq=False)
class _Held:
    """An output as it is compared.

    Attributes:
        output: `(sample, *space, channel)`.
        samples: how many samples the layer had, held or not.
        finite: it holds neither NaN nor infinities.
    """

    output: np.ndarray
    samples: int
    finite: bool

    @property
    def channels(self) -> int:
        """How many it holds."""
        return int(self.output.shape[-1])

    def prepared(self, grid: tuple[int, ...], samples: int, most: int = MOST_ROWS) -> Representation:
        """Its rows on this grid."""
        return Representation.of(rows_of(self.output, grid, samples=samples, most=most))

    @classmethod
    def of(cls, layer: Layer) -> _Held:
        output = maps_of(layer)
        samples = (layer.output_shape or output.shape)[0]
        return cls(output, int(samples), bool(output.size) and bool(np.isfinite(output).all()))
