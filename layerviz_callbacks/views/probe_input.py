"""The probe itself, once, large and clear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.bars import draw_bars, fit_bars
from layerviz_callbacks.render.curve import draw_curves, panels
from layerviz_callbacks.render.grid import enlarge, mean_blocks
from layerviz_callbacks.render.layout import CONTENT_WIDTH, Tiles, fit_panels, fit_tiles
from layerviz_callbacks.render.scale import Scale, as_floats, finite_range
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.sheets import height_key, make_sheet
from layerviz_callbacks.views.words import count_of, size_of

MAX_SAMPLES = 16
MAX_COMPONENTS = 12
MAX_BARS = 128
MAX_BAR_ROWS = 8
_GAP = 12


def probe_refusal(array: np.ndarray) -> str:
    """Why an input `(sample, *space, channel)` cannot be pictured, in words; empty where it can."""
    if array.ndim < 2 or 0 in array.shape:
        return f"inputs of shape {array.shape} are not drawn"
    if array.dtype.kind not in "biuf":
        return f"{array.dtype} inputs are not drawn yet"
    if array.ndim == 4 and array.shape[-1] not in (1, 3, 4):
        return f"images of {array.shape[-1]} channels are not drawn yet"
    return "" if array.ndim <= 4 else f"{array.ndim - 2}-D inputs are not drawn yet"


def draw_probe(snapshot: Snapshot) -> list[Picture]:
    """The inputs of the probe with their names and targets; nothing for inputs that cannot be pictured.

    | tag | what is drawn |
    |---|---|
    | `probe/input` | a single input: images, waveforms (a curve a component), or vectors as bars |
    | `probe/NAME` | each of several inputs |

    Unsigned 8-bit images are shown as they are; other values from the smallest of the batch to the largest.
    """
    pictures = []
    for name, array in snapshot.inputs.items():
        if probe_refusal(array):
            continue
        tag = "probe/input" if len(snapshot.inputs) == 1 else f"probe/{name}"
        labels = _labels(snapshot, min(len(array), MAX_SAMPLES))
        draw = {2: _bars, 3: _curves, 4: _images}[array.ndim]
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
    count = len(labels)
    values = as_floats(array[:count])[..., :3]
    low, high = (0.0, 255.0) if array.dtype == np.uint8 else map(float, finite_range(values))
    columns, tiles = _fit_images(array.shape[1], array.shape[2], count)
    shown = np.moveaxis(mean_blocks(values, tiles.reduce, axes=(1, 2)), -1, 1)
    share = np.nan_to_num(np.clip((shown - low) / ((high - low) or 1.0), 0, 1))
    grey = enlarge(np.rint(share * 255).astype(np.uint8), tiles.enlarge)
    colours = np.moveaxis(np.broadcast_to(grey, (count, 3, *grey.shape[2:])), 1, -1)
    pitch = (CONTENT_WIDTH + _GAP) // columns
    rows = -(-count // columns)
    row_height = LINE_HEIGHT + tiles.height + _GAP
    body = np.empty((rows * row_height - _GAP, CONTENT_WIDTH, 3), np.uint8)
    body[...] = palette.sequential()[palette.PAPER]
    for place in range(count):
        top, left = place // columns * row_height, place % columns * pitch
        label = palette.sequential()[draw_line(labels[place], width=pitch - _GAP)]
        body[top : top + LINE_HEIGHT, left : left + label.shape[1]] = label
        body[top + LINE_HEIGHT : top + LINE_HEIGHT + tiles.height, left : left + tiles.width] = colours[place]
    words = _range_words(array, low, high)
    notes = [f"1 pixel = mean of {tiles.reduce}x{tiles.reduce}"] if tiles.reduce > 1 else []
    kind = "grey images" if array.shape[-1] == 1 else "RGB images"
    facts = f"{kind} {size_of(array.shape[1:3])}, {count_of(count, len(array), 'sample')}"
    return _picture(tag, name, [body], facts, [(draw_line(words), words)], notes)


def _fit_images(height: int, width: int, count: int) -> tuple[int, Tiles]:
    best: tuple[int, Tiles] | None = None
    for columns in range(1, min(count, 8) + 1):
        rows = -(-count // columns)
        room = (CONTENT_WIDTH + _GAP) // columns - _GAP
        tiles = fit_tiles(height, width, 1, room, min(460, 760 // rows - LINE_HEIGHT - _GAP))
        if tiles is None:
            continue
        full_rows = best is not None and count % columns == 0 and count % best[0] != 0
        share = 0.7 if full_rows else 1.0
        if best is None or tiles.enlarge * best[1].reduce >= share * best[1].enlarge * tiles.reduce:
            best = columns, tiles
    return best or (1, Tiles(1, 1, height, width))


def _curves(tag: str, name: str, array: np.ndarray, labels: Sequence[str]) -> Picture:
    samples = len(labels)
    components = min(array.shape[-1], MAX_COMPONENTS)
    while samples * components > 32 and samples > 1:
        samples -= 1
    values = np.moveaxis(as_floats(array[:samples, :, :components]), -1, 1)
    scale = Scale.of(values)
    columns = 1 if samples * components <= 12 else 2
    width = (CONTENT_WIDTH + _GAP) // columns - _GAP
    rows = -(-samples // columns)
    height = min(140, max(26, (760 // rows - LINE_HEIGHT - _GAP) // components - 4))
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
    return [sheet.row(blocks[place : place + columns], gap=_GAP) for place in range(0, len(blocks), columns)]


def _bars(tag: str, name: str, array: np.ndarray, labels: Sequence[str]) -> Picture:
    count = min(array.shape[-1], MAX_BARS)
    labels = labels[:MAX_BAR_ROWS]
    values = as_floats(array[: len(labels), :count])
    scale = Scale.of(values)
    height = max(80, 760 // len(labels) - LINE_HEIGHT - _GAP)
    tiles = fit_bars(count, CONTENT_WIDTH, height) or Tiles(count, 1, height, CONTENT_WIDTH // count)
    drawn = draw_bars(values, scale, tiles=tiles)
    bands = _labelled_blocks(drawn[:, None], labels, 1)
    facts = f"{count_of(count, array.shape[-1], 'value')}, {count_of(len(labels), len(array), 'sample')}"
    return _picture(tag, name, bands, facts, [height_key(scale, "bars")], [])


def _range_words(array: np.ndarray, low: float, high: float) -> str:
    if array.dtype == np.uint8:
        return "shown as they are, 0 to 255"
    return f"black {sheet.number(low)}, white {sheet.number(high)} (the batch's range)"


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
