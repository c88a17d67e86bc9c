"""What a file of snapshots holds, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.commands.terminal import table, tell
from layerviz_callbacks.health import HealthReport
from layerviz_callbacks.selection import select
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.store import SnapshotFile

_MOST_STEPS = 24
_MOST_METRICS = 6


def tell_file(file: SnapshotFile, steps: Sequence[int] | None, layers: Sequence[str] | None) -> None:
    """Tell steps, metrics, layers and what is wrong with them.

    Args:
        file: opened.
        steps: these are listed; None: all, or a choice where they are many.
        layers: names, globs and kinds of those that are listed; None: all.

    Raises:
        SelectionError: a layer is not there.
    """
    listed = _chosen(file) if steps is None else steps
    last = file[listed[-1]]
    names = None if layers is None else set(select(layers, [(one.name, one) for one in last]))
    tell(table(_step_rows(file, listed), right=[0, *range(2, 20)]))
    left_out = len(file.steps) - len(listed)
    if steps is None and left_out:
        tell(f"... {left_out} of {len(file.steps)} steps are not listed; --step all lists them")
    tell()
    tell(table(_layer_rows(last, names), right=[4]))
    tell()
    tell(f"Probe: {len(last.probe)} samples: {_shortly(last.probe.names)}")
    best = file.best_step
    if best is not None:
        tell(f"Best step: {best} ({file.when(best) or 'no words for it'})")
    if last.verdicts or last.health:
        tell(str(HealthReport(last.verdicts, last.when or f"step {last.step}")))


def _chosen(file: SnapshotFile) -> list[int]:
    """All steps, or the first, the best, the last and an even choice of the others."""
    steps = file.steps
    if len(steps) <= _MOST_STEPS:
        return list(steps)
    places = np.linspace(0, len(steps) - 1, _MOST_STEPS - 1).round().astype(int)
    return sorted(
        {*(steps[place] for place in places), *([file.best_step] if file.best_step in steps else [])}
    )


def _step_rows(file: SnapshotFile, listed: Sequence[int]) -> list[list[str]]:
    metrics = file.metrics
    names = list(metrics)[:_MOST_METRICS]
    place_of = {step: place for place, step in enumerate(file.steps)}
    rows = [["step", "when", *names]]
    for step in listed:
        values = [metrics[name][place_of[step]] for name in names]
        when = file.when(step) + (" (best)" if step == file.best_step else "")
        rows.append([str(step), when, *("" if np.isnan(value) else f"{value:.4g}" for value in values)])
    return rows


def _layer_rows(snapshot: Snapshot, names: set[str] | None) -> list[list[str]]:
    rows = [
        [
            "layer",
            "kind",
            "kernel (out, in, *space)",
            "output (sample, *space, channel)",
            "parameters",
            "stored",
        ]
    ]
    for layer in snapshot:
        if names is None or layer.name in names:
            rows.append(
                [
                    layer.name,
                    layer.kind,
                    str(layer.kernel_shape or ""),
                    str(layer.output_shape or ""),
                    f"{layer.parameters:,}",
                    _stored(layer),
                ]
            )
    return rows


def _stored(layer: Layer) -> str:
    """What the file holds of a layer, in words: a part where not all channels or samples are there."""
    held = []
    if layer.kernel is not None:
        held.append("kernel" if layer.kernel.shape == layer.kernel_shape else "kernel (a part)")
    held += ["weights"] if layer.weights else []
    if layer.output is not None:
        held.append("output" if layer.output.shape == layer.output_shape else "output (a part)")
    held += ["attention"] if layer.attention is not None else []
    held += ["gradients"] if layer.gradients else []
    held += ["patterns"] if layer.patterns is not None else []
    return ", ".join(held)


def _shortly(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
