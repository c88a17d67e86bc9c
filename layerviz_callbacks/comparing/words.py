"""A comparison in words: a table, and where the two part."""

from __future__ import annotations

from collections.abc import Sequence

from layerviz_callbacks.comparing.cka import ENOUGH_ROWS
from layerviz_callbacks.comparing.comparison import Comparison, LayerComparison, PredictionComparison
from layerviz_callbacks.render.sheet import number

_HEAD = (
    ("layer", "kind", "distance", "", "cosine", "", "correlation", "", "moved", "CKA ", "rows"),
    ("", "", "as it is", "matched", "as it is", "matched", "as it is", "matched", "", "", ""),
)
_NAMED = 4


def table_of(comparison: Comparison) -> str:
    """The layers in a table, under it what is to be said of them."""
    rows = [*_HEAD, *(_row(layer) for layer in comparison.layers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_joined(row, widths) for row in rows]
    rule = "-" * max(len(line) for line in lines)
    said = [f"a: {comparison.names[0]}", f"b: {comparison.names[1]}", ""]
    said += [*lines[:2], rule, *lines[2:], rule, *how_to_read(comparison), "", verdict_of(comparison)]
    said += [prediction_words(found) for found in comparison.predictions]
    said += _metric_lines(comparison)
    noted = [f"{layer.title}: {'; '.join(_notes(layer))}." for layer in comparison.layers if _notes(layer)]
    missing = [
        f"only in {model}: {name}, {reason}."
        for model, layers in zip("ab", comparison.unmatched, strict=True)
        for name, reason in layers.items()
    ]
    further = [
        *_order_line(comparison),
        *noted,
        *missing,
        *(f"{note[0].upper()}{note[1:]}." for note in comparison.notes),
    ]
    return "\n".join([*said, *(["", *further] if further else [])])


def verdict_of(comparison: Comparison) -> str:
    """Where the two part, in words."""
    if comparison.probe_refusal:
        refusal = comparison.probe_refusal
        return (
            f"{refusal[0].upper()}{refusal[1:]}. CKA, correlations and predictions need the same inputs; "
            "only weights are compared."
        )
    known = [layer for layer in comparison.layers if layer.cka is not None]
    sure = [layer for layer in known if layer.rows >= ENOUGH_ROWS]
    limit = number(comparison.parted_below)
    if not sure:
        if not known:
            return "Where they part cannot be told: no layer's outputs are held by both."
        return (
            f"Where they part cannot be told: CKA is of fewer than {ENOUGH_ROWS} rows in every layer. "
            f"Compare with {ENOUGH_ROWS} samples or more."
        )
    if comparison.parts_at is None:
        least = min(sure, key=_cka)
        return (
            f"They part nowhere: CKA is {limit} or more in every layer that can tell, {len(sure)} of them "
            f"(the least: {_cka(least):.2f}, at {least.title})."
        )
    at = comparison[comparison.parts_at]
    before = sure[: sure.index(at)]
    words = f"They part at {at.title}: CKA {two_digits(at.cka)}, the first below {limit}"
    if before:
        words += f"; in the layers before it {min(map(_cka, before)):.2f} or more"
    return f"{words}."


def how_to_read(comparison: Comparison) -> list[str]:
    """What the columns of the table are."""
    lines = ["distance: |a - b| / |a| of the kernels; cosine: between filters, mean over channels"]
    if any(layer.correlation is not None for layer in comparison.layers):
        lines.append("correlation: between the activations of channels, mean over channels")
    by = {layer.match.by for layer in comparison.layers if layer.match is not None}
    if by:
        words = {"activations": "correlation of activations", "filters": "|cosine| of filters"}
        ways = " or ".join(f"the best {words[way]}" for way in sorted(by))
        lines.append(f"matched: with each channel of a beside its partner in b, by {ways}")
        lines.append("moved: how many channels have a partner of another number")
    if any(layer.cka is not None for layer in comparison.layers):
        lines.append(
            "CKA: linear, debiased (the plain one nears 1 where rows are few); 1: the same but for rotation"
        )
    return lines


def prediction_words(found: PredictionComparison) -> str:
    """What two models answer, in a sentence."""
    if found.agreement is None:
        difference = number(found.difference)
        return f"Predictions ({found.output}): mean |a - b| = {difference}, {found.samples} samples."
    what = "samples" if found.kind == "classes" else "places"
    words = f"Predictions ({found.output}): the same class in {found.agreement:.0%} of the {what}"
    words += f" ({found.samples})" if found.kind == "classes" else f" of {found.samples} samples"
    if found.right is not None:
        words += f"; right: a {found.right[0]:.0%}, b {found.right[1]:.0%}"
    if found.apart:
        listed = ", ".join(found.apart[:_NAMED])
        more = len(found.apart) - _NAMED
        words += f"; other answers to {listed}" + (f" and {more} more" if more > 0 else "")
    return f"{words}."


def _row(layer: LayerComparison) -> tuple[str, ...]:
    return (
        layer.title,
        layer.kind,
        two_digits(layer.distance),
        two_digits(layer.matched_distance),
        two_digits(layer.cosine),
        two_digits(layer.matched_cosine),
        two_digits(layer.correlation),
        two_digits(layer.matched_correlation),
        "" if layer.match is None else f"{layer.match.moved}/{len(layer.match.channels)}",
        two_digits(layer.cka) + ("?" if layer.cka is not None and layer.rows < ENOUGH_ROWS else " "),
        str(layer.rows) if layer.rows else "",
    )


def two_digits(value: float | None) -> str:
    """A number with two digits after the point; nothing where there is none.

    Example:
        >>> two_digits(0.125), two_digits(-0.001), two_digits(None)
        ('0.12', '0.00', '')
    """
    words = "" if value is None else f"{value:.2f}"
    return "0.00" if words == "-0.00" else words


def _joined(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _notes(layer: LayerComparison) -> list[str]:
    notes = list(layer.notes)
    if layer.cka is not None and layer.rows < ENOUGH_ROWS:
        notes.append(f"? CKA of {layer.rows} rows is unsure")
    match = layer.match
    if match is not None and match.flipped:
        notes.append(f"{match.flipped} of {len(match.channels)} filters are matched with a negative")
    return notes


def _order_line(comparison: Comparison) -> list[str]:
    """Which layers' inputs were put in the order of an earlier match."""
    ordered = [
        f"{layer.title} (by {layer.match.inputs_of})"
        for layer in comparison.layers
        if layer.match is not None and layer.match.inputs_of
    ]
    return [f"Matched with inputs in the order of an earlier match: {', '.join(ordered)}."] if ordered else []


def _metric_lines(comparison: Comparison) -> list[str]:
    if not comparison.metrics:
        return []
    width = max(len(name) for name in comparison.metrics)
    lines = [f"{'':{width}}  {'a':>8}  {'b':>8}"]
    for name, values in comparison.metrics.items():
        cells = ["" if value != value else number(value) for value in values]
        lines.append(f"{name:{width}}  {cells[0]:>8}  {cells[1]:>8}")
    return ["", *lines]


def _cka(layer: LayerComparison) -> float:
    return float("nan") if layer.cka is None else layer.cka
