"""A part of a sheet of attention: what time steps receive, as curves under the trace and on its axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.curve import curve_columns, draw_curves, panels
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, measure
from layerviz_callbacks.views.attention_sections import ON_INPUT, Key, Section, Style
from layerviz_callbacks.views.sample_panels import (
    MOST_COMPONENTS,
    PanelSheet,
    curve_panels,
    draw_panel_sheet,
    fit_panel_sheet,
)
from layerviz_callbacks.views.sheets import height_key
from layerviz_callbacks.views.words import count_of

MOST_COLOURED_HEADS = 4
"""So many heads have a curve in a colour of their own; more are grey."""
_MEAN = palette.CURVES[6]
_FAINT = palette.INK + 10


def time_section(
    values: np.ndarray,
    given: np.ndarray,
    names: Sequence[str],
    style: Style,
    *,
    samples: int,
    heads: int,
) -> Section:
    """What time steps receive, as curves under the trace and on its axis: single heads, their mean bold.

    Args:
        values: `(sample, head, step)`, as many steps as the trace has or fewer; all share one scale.
        given: the input, `(sample, time, component)`, or `(sample, time)`.
        names: of the samples.
        style: how they are drawn.
        samples: how many samples are wanted.
        heads: how many heads are wanted.
    """
    length, several = given.shape[1:2], values.shape[1] > 1
    fitted = fit_panel_sheet(length, samples=samples, panels=2)
    above = _trace(given, fitted)
    if above is None:
        fitted = fit_panel_sheet(length, samples=samples, panels=1)
    scale = Scale.of(values, signed=style.signed)
    shown = _on_columns(values[: fitted.samples], curve_columns(fitted.width))
    drawn = panels(fitted.height, fitted.width, leading=(fitted.samples,), scale=scale)
    key = [height_key(scale, "curves")]
    if style.even and not style.signed:
        level = np.full((fitted.samples, 2), style.even, values.dtype)
        drawn = draw_curves(drawn, level, scale, colour=palette.ZERO_LINE)
        words = f"even {sheet.number(style.even)}"
        key.append((sheet.legend_entry(sheet.swatch(palette.ZERO_LINE), words), f"grey line: {words}"))
    coloured = heads <= MOST_COLOURED_HEADS
    for head in range(heads - 1, -1, -1):
        drawn = draw_curves(drawn, shown[:, head], scale, colour=palette.CURVES[head] if coloured else _FAINT)
    if several:
        drawn = _bold(drawn, shown.mean(axis=1), scale, _MEAN)
        key.append((sheet.legend_entry(sheet.swatch(_MEAN), "mean"), "bold: the mean of all heads"))
        key += _head_key(heads, coloured=coloured)
    body = draw_panel_sheet(fitted, [drawn] if above is None else [above, drawn], names)
    steps = values.shape[-1]
    said = count_of(steps, steps, "token" if _holds_tokens(given) else "time step")
    said += "" if steps == length[0] else f" on the axis of the input's {length[0]}"
    return Section(ON_INPUT, said, body, heads, fitted.samples, key)


def _head_key(heads: int, *, coloured: bool) -> Key:
    if not coloured:
        return [(sheet.legend_entry(sheet.swatch(_FAINT), "each head"), "thin: each head")]
    words = [f"head {head}" for head in range(heads)]
    return [
        (sheet.legend_entry(sheet.swatch(palette.CURVES[head]), words[head]), words[head])
        for head in range(heads)
    ]


def _on_columns(values: np.ndarray, columns: int) -> np.ndarray:
    """Each of fewer steps than columns of pixels is held over its stretch, from k/n to (k+1)/n."""
    count = values.shape[-1]
    return values if count > columns else values[..., np.arange(columns) * count // columns]


def _trace(given: np.ndarray, fitted: PanelSheet) -> np.ndarray | None:
    """The input `(sample, height, width)`: curves, or tokens' numbers; None where these have no room."""
    columns = curve_columns(fitted.width)
    if _holds_tokens(given):
        return _tokens(given[: fitted.samples], fitted)
    trace = given[: fitted.samples, :, None] if given.ndim == 2 else given[: fitted.samples]
    components = min(MOST_COMPONENTS, trace.shape[-1])
    values = np.moveaxis(trace[..., :components].astype(np.float32), -1, 1)
    shown = np.moveaxis(_on_columns(values, columns), 1, -1)
    colours = [palette.INK + 4 * place for place in range(components)]
    return curve_panels(np.ascontiguousarray(shown), fitted, Scale.of(shown), colours)


def _holds_tokens(given: np.ndarray) -> bool:
    return given.ndim == 2 and given.dtype.kind in "biu"


def _tokens(tokens: np.ndarray, fitted: PanelSheet) -> np.ndarray | None:
    count = tokens.shape[1]
    pitch = fitted.width / count
    if max(measure(str(token)) for token in np.unique(tokens)) + 4 > pitch:
        return None
    drawn = np.full((len(tokens), fitted.height, fitted.width), palette.PAPER, np.uint8)
    for sample, row in enumerate(tokens):
        for place, token in enumerate(row):
            line = draw_line(str(token))
            left = int((place + 0.5) * pitch) - line.shape[1] // 2
            drawn[sample, -LINE_HEIGHT:, left : left + line.shape[1]] = line
    return drawn


def _bold(ground: np.ndarray, values: np.ndarray, scale: Scale, colour: int) -> np.ndarray:
    """Curves in lines of 4 pixels."""
    empty = np.full(ground.shape, palette.PANEL, np.uint8)
    line = draw_curves(empty, values, scale, colour=colour) == colour
    wide = line.copy()
    wide[:, 1:] |= line[:, :-1]
    wide[:, :-1] |= line[:, 1:]
    return draw_curves(np.where(wide, np.uint8(colour), ground), values, scale, colour=colour)
