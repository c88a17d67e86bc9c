"""Two runs, or two epochs of one, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from layerviz_callbacks.comparing.all_cka import LayersCKA, layers_cka
from layerviz_callbacks.comparing.answer_rows import MOST_ROWS
from layerviz_callbacks.comparing.cka import ENOUGH_ROWS
from layerviz_callbacks.comparing.comparison import Comparison, LayerComparison
from layerviz_callbacks.comparing.layer_comparison import compare_layer, order_of
from layerviz_callbacks.comparing.layer_pairs import pair_layers
from layerviz_callbacks.comparing.predictions import compare_predictions
from layerviz_callbacks.comparing.probes import probe_refusal
from layerviz_callbacks.comparing.sources import Source, Step, snapshots_of
from layerviz_callbacks.comparing.weights import Order
from layerviz_callbacks.errors import ArgumentError, SelectionError
from layerviz_callbacks.selection import Selector, check_selector, select
from layerviz_callbacks.snapshot import Layer, Snapshot

PARTED_BELOW = 0.8
"""The CKA below which layers are said to part: a convention of this package, not a law."""


def compare(
    a: Source,
    b: Source | None = None,
    *,
    step: Step | tuple[Step, Step] | None = None,
    layers: Selector | None = None,
    parted_below: float = PARTED_BELOW,
) -> Comparison:
    """Compare two runs, or two epochs of one run: matched filters, CKA between layers, where they part.

    Weights are compared wherever two layers have kernels of one shape. Answers (activations, CKA,
    predictions) are compared where both were shown the same probe; else only the weights are, and the
    comparison says so.

    Args:
        a: a `Snapshot`, a `SnapshotFile`, or the name of a file of snapshots.
        b: likewise; None: `a` is a file, of which two steps are compared.
        step: of files: "first", "last", "best" or a number; or a pair, one for a and one for b. None: the
            last of each; of one file its first and its last.
        layers: which layers: names, globs, or a list of these; None: those chosen in training, or every
            layer with a kernel.
        parted_below: the CKA below which layers are said to part, from 0 to 1.

    Raises:
        ArgumentError: what was given cannot be compared, or the two have no layer in common.
        SelectionError: `layers` matches nothing.
        MissingLibraryError: scipy, or for files h5py, is not installed.
        SnapshotFileError: a file cannot be read.

    Example:
        >>> print(compare("seed 1.h5", "seed 2.h5"))                   # doctest: +SKIP
        >>> compare("run.h5", step=(1, 20)).pictures()[0].save("overview.png")  # doctest: +SKIP
        >>> compare(inspect(model, x), inspect(pruned, x)).parts_at    # doctest: +SKIP
    """
    check_selector(layers)
    if (
        isinstance(parted_below, bool)
        or not isinstance(parted_below, (int, float))
        or not 0 <= parted_below <= 1
    ):
        raise ArgumentError(f"parted_below={parted_below!r} is no CKA. Allowed: from 0 to 1, such as 0.8.")
    with ExitStack() as opened:
        snapshots, names = snapshots_of(a, b, step, opened)
        return _compared(snapshots, names, layers, float(parted_below))


def _compared(
    snapshots: tuple[Snapshot, Snapshot],
    names: tuple[str, str],
    selector: Selector | None,
    parted_below: float,
) -> Comparison:
    one, other = snapshots
    chosen = _chosen(one, other, selector)
    paired = pair_layers(*chosen)
    if not paired.pairs:
        raise ArgumentError(
            f"{names[0]!r} and {names[1]!r} are of different models: no layer of one is in the other. "
            f"a has [{_listed(chosen[0])}]; b has [{_listed(chosen[1])}]."
        )
    refusal = probe_refusal(one, other)
    found, orders = [], list[Order]()
    for first, second in paired.pairs:
        compared = compare_layer(first, second, answers=not refusal, orders=orders)
        compared = replace(compared, in_colours=_sees_colours(first, one))
        found.append(compared)
        order = None if first.kernel_shape is None else order_of(compared, _channels(compared))
        if order is not None:  # the last of each number of channels is the likeliest to come before a layer
            orders = [known for known in orders if len(known.partners) != len(order.partners)] + [order]
    predictions, notes = ((), ()) if refusal else compare_predictions(one, other)
    if not refusal:
        notes = (*notes, *_samples_left_out(paired.pairs))
    comparison = Comparison(
        names,
        tuple(found),
        unmatched=paired.unmatched,
        predictions=predictions,
        metrics=_metrics(one, other),
        parted_below=parted_below,
        probe_refusal=refusal,
        notes=notes,
        sample_names=one.probe.names,
        step=max(one.step, other.step),
    )
    return comparison if refusal else _with_cka(comparison, chosen)


def _samples_left_out(pairs: Sequence[tuple[Layer, Layer]]) -> tuple[str, ...]:
    """That not all samples of the outputs are there, in words, and what keeps them."""
    held = {
        (min(len(first.output), len(second.output)), first.output_shape[0])
        for first, second in pairs
        if first.output is not None and second.output is not None and first.output_shape is not None
    }
    fewer = [samples for samples, total in held if samples < total]
    if not fewer:
        return ()
    return (
        f"of outputs {min(fewer)} of {max(total for _, total in held)} samples are held; a training with "
        "snapshots=Snapshots('run.h5', everything=True) keeps all",
    )


def _chosen(one: Snapshot, other: Snapshot, selector: Selector | None) -> tuple[list[Layer], list[Layer]]:
    """The layers that are compared; what a selector does not find in one model may be in the other."""
    if selector is None:
        return _by_default(one), _by_default(other)
    found: list[list[Layer]] = []
    errors = []
    for snapshot in (one, other):
        try:
            names = set(select(selector, [(layer.name, layer) for layer in snapshot]))
        except SelectionError as error:
            errors.append(error)
            names = set()
        found.append([layer for layer in snapshot if layer.name in names])
    if errors:
        raise errors[0]
    return found[0], found[1]


def _by_default(snapshot: Snapshot) -> list[Layer]:
    names = snapshot.chosen
    if names is None:
        return [layer for layer in snapshot if layer.kernel_shape is not None]
    return [layer for layer in snapshot if layer.name in names or layer.base_name in names]


def _sees_colours(layer: Layer, snapshot: Snapshot) -> bool:
    first = next((known for known in snapshot if known.kernel_shape is not None), None)
    images = any(array.ndim == 4 and array.shape[-1] == 3 for array in snapshot.inputs.values())
    return (
        images and first is not None and layer.name == first.name and (layer.kernel_shape or ())[1:2] == (3,)
    )


def _channels(compared: LayerComparison) -> int:
    parts = [part for part in (compared.kernels, compared.outputs) if part is not None]
    return parts[0].total if parts else 0


def _with_cka(comparison: Comparison, chosen: tuple[Sequence[Layer], Sequence[Layer]]) -> Comparison:
    """The same with the CKA of all layers that hold outputs, and where the two part."""
    held = [[layer for layer in layers if layer.output is not None] for layers in chosen]
    rows, columns = ({layer.name: place for place, layer in enumerate(layers)} for layers in held)
    partners = {
        (rows[layer.name], columns[layer.partner])
        for layer in comparison.layers
        if layer.name in rows and layer.partner in columns
    }
    found = layers_cka(held[0], held[1], partners)
    layers = tuple(_own_cka(layer, found, rows, columns) for layer in comparison.layers)
    parted = (
        layer.name
        for layer in layers
        if layer.cka is not None and layer.rows >= ENOUGH_ROWS and layer.cka < comparison.parted_below
    )
    notes = comparison.notes
    if found.most_rows < MOST_ROWS:
        notes = (
            *notes,
            f"so many wide layers: CKA of those that are no partners is of an even choice of "
            f"{found.most_rows} rows, not of up to {MOST_ROWS}",
        )
    return replace(
        comparison,
        layers=layers,
        notes=notes,
        cka=found.debiased,
        rows=found.rows,
        cka_layers=(tuple(rows), tuple(columns)),
        parts_at=next(parted, None),
    )


def _own_cka(
    layer: LayerComparison, found: LayersCKA, rows: dict[str, int], columns: dict[str, int]
) -> LayerComparison:
    if layer.name not in rows or layer.partner not in columns:
        return layer
    place = rows[layer.name], columns[layer.partner]
    debiased, biased = float(found.debiased[place]), float(found.biased[place])
    return replace(
        layer,
        cka=None if np.isnan(debiased) else debiased,
        biased_cka=None if np.isnan(biased) else biased,
        rows=int(found.rows[place]),
    )


def _metrics(one: Snapshot, other: Snapshot) -> dict[str, tuple[float, float]]:
    names = dict.fromkeys([*one.metrics, *other.metrics])
    missing = float("nan")
    return {name: (one.metrics.get(name, missing), other.metrics.get(name, missing)) for name in names}


def _listed(layers: Sequence[Layer], most: int = 12) -> str:
    words = [f"{layer.name} {layer.kernel_shape or layer.kind}" for layer in layers]
    return ", ".join([*words[:most], f"and {len(words) - most} more"] if len(words) > most else words)
