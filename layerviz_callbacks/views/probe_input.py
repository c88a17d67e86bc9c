"""The probe itself, once, large and clear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.bars import draw_bars, fit_bars
from layerviz_callbacks.render.curve import draw_curves, panels
from layerviz_callbacks.render.layout import CONTENT_WIDTH, Tiles, fit_panels
from layerviz_callbacks.render.scale import Scale, as_floats
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.probe_images import GAP, draw_images
from layerviz_callbacks.views.sheets import height_key, make_sheet
from layerviz_callbacks.views.words import count_of, size_of

MAX_SAMPLES = 16
MAX_STRIPS = 8
"""So many samples are drawn where each is several pictures: slices of a volume, or bands."""
MAX_COMPONENTS = 12
MAX_BARS = 128
MAX_BAR_ROWS = 8


def probe_refusal(array: np.ndarray) -> str:
    """Why an input `(sample, *space, channel)` cannot be pictured, in words; empty where it can."""
    if array.ndim < 2 or 0 in array.shape:
        return f"inputs of shape {array.shape} are not drawn"
    if array.dtype.kind not in "biuf":
        return f"{array.dtype} inputs are not drawn yet"
    return "" if array.ndim <= 5 else f"{array.ndim - 2}-D inputs are not drawn yet"


def draw_probe(snapshot: Snapshot) -> list[Picture]:
    """The inputs of the probe with their names and targets; nothing for inputs that cannot be pictured.

    | tag | what is drawn |
    |---|---|
    | `probe/input` | a single input: images, volumes, waveforms (a curve a component), or vectors as bars |
    | `probe/NAME` | each of several inputs |

    Unsigned 8-bit images are shown as they are; other values from the smallest of the batch to the largest.
    Volumes show a few slices; images that have neither one channel nor three or four show their first bands.
    """
    pictures = []
    for name, array in snapshot.inputs.items():
        if probe_refusal(array):
            continue
        tag = "probe/input" if len(snapshot.inputs) == 1 else f"probe/{name}"
        labels = _labels(snapshot, min(len(array), MAX_SAMPLES))
        draw = {2: _bars, 3: _curves, 4: _images, 5: _images}[array.ndim]
        pictures.append(draw(tag, name, array, labels))
    return pictures


def _labels(snapshot: Snapshot, count: int) -> list[str]:
    targets = snapshot.probe.targets
    names = list(snapshot.probe.names[:count])
    if targets is None:
        return names
    return [f"{name}{_target(targets[place])}" for place, name in enumerate(names)]


def _target(target: Any) -> str:
    value = np.asarray(target)
    if value.size != 1 or value.dtype.kind not in "biufU":
        return ""
    single = value.reshape(-1)[0]
    return f", target {float(single):.4g}" if value.dtype.kind == "f" else f", target {single}"


def _images(tag: str, name: str, array: np.ndarray, labels: Sequence[str]) -> Picture:
    drawn = draw_images(array, labels[: _most_samples(array)])
    return _picture(tag, name, drawn.bands, drawn.facts, drawn.key, drawn.notes)


def _most_samples(array: np.ndarray) -> int:
    return MAX_SAMPLES if array.ndim == 4 and array.shape[-1] in (1, 3, 4) else MAX_STRIPS


def _curves(tag: str, name: str, array: np.ndarray, labels: Sequence[str]) -> Picture:
    samples = len(labels)
    components = min(array.shape[-1], MAX_COMPONENTS)
    while samples * components > 32 and samples > 1:
        samples -= 1
    values = np.moveaxis(as_floats(array[:samples, :, :components]), -1, 1)
    scale = Scale.of(values)
    columns = 1 if samples * components <= 12 else 2
    width = (CONTENT_WIDTH + GAP) // columns - GAP
    rows = -(-samples // columns)
    height = min(140, max(26, (760 // rows - LINE_HEIGHT - GAP) // components - 4))
    fitted = fit_panels(components, width, components * (height + 4), columns=1)
    tiles = fitted or Tiles(1, components, 26, width // 2 * 2)
    drawn = draw_curves(
        panels(tiles.height, tiles.width, leading=(samples, components), scale=scale), values, scale
    )
    bands = _labelled_blocks(drawn, labels[:samples], columns)
    facts = f"{size_of(array.shape[1:2])}, {count_of(components, array.shape[-1], 'component')}, "
    facts += count_of(samples, len(array), "sample")
    return _picture(tag, name, bands, facts, [height_key(scale, "curves")], [])


def _labelled_blocks(drawn: np.ndarray, labels: Sequence[str], columns: int) -> list[np.ndarray]:
    blocks = []
    for label, sample in zip(labels, drawn, strict=True):
        width = sample.shape[-1]
        padded = np.pad(sample, ((0, 0), (0, 4), (0, 0)), constant_values=palette.PAPER)
        heading = sheet.row([draw_line(label, width=width)], width=width)
        blocks.append(np.concatenate([heading, padded.reshape(-1, width)]))
    return [sheet.row(blocks[place : place + columns], gap=GAP) for place in range(0, len(blocks), columns)]


def _bars(tag: str, name: str, array: np.ndarray, labels: Sequence[str]) -> Picture:
    count = min(array.shape[-1], MAX_BARS)
    labels = labels[:MAX_BAR_ROWS]
    values = as_floats(array[: len(labels), :count])
    scale = Scale.of(values)
    height = max(80, 760 // len(labels) - LINE_HEIGHT - GAP)
    tiles = fit_bars(count, CONTENT_WIDTH, height) or Tiles(count, 1, height, CONTENT_WIDTH // count)
    drawn = draw_bars(values, scale, tiles=tiles)
    bands = _labelled_blocks(drawn[:, None], labels, 1)
    facts = f"{count_of(count, array.shape[-1], 'value')}, {count_of(len(labels), len(array), 'sample')}"
    return _picture(tag, name, bands, facts, [height_key(scale, "bars")], [])


def _picture(
    tag: str,
    name: str,
    bands: Sequence[np.ndarray],
    facts: str,
    key: Sequence[tuple[np.ndarray, str]],
    notes: Sequence[str],
) -> Picture:
    return make_sheet(
        tag,
        bands,
        name="probe" if tag == "probe/input" else f"probe: {name}",
        when="",
        facts=facts,
        key=key,
        notes=notes,
        details="What is shown to the model at every recorded step.",
        colours=palette.sequential(),
    )
