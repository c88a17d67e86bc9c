"""The sheets of answers without space: classes with their probabilities, and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.scale import finite_range
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.labels import label_of
from layerviz_callbacks.views.marks import strange_key
from layerviz_callbacks.views.prediction_kinds import Answer
from layerviz_callbacks.views.prediction_rows import MARKED, Row, RowSheet, draw_row_sheet, fit_row_sheet
from layerviz_callbacks.views.prediction_sheets import Drawn
from layerviz_callbacks.views.thumbnails import can_be_small, thumbnails
from layerviz_callbacks.views.words import count_of

TOP, TOP_OF_FEW = 3, 5
"""So many of the likeliest classes are drawn; of up to two samples, more."""
MOST_NUMBERS = 12


def draw_classes(answer: Answer, snapshot: Snapshot, samples: int, labels: Sequence[str]) -> Drawn:
    """The likeliest classes of each sample, its target, and whether the model is right."""
    values, count = answer.values, answer.values.shape[-1]
    top = min(count, TOP_OF_FEW if samples <= 2 else TOP)
    fitted = fit_row_sheet(samples=samples, rows=top, side=can_be_small(snapshot.inputs, samples))
    targets = [_targets(answer, place) for place in range(len(values))]
    blocks = [
        [_class_row(values[place, number], number, labels, target=number in targets[place])
         for number in _likeliest(values[place], targets[place], top)]
        for place in range(fitted.samples)
    ]  # fmt: skip
    known = answer.numbers is not None or answer.truth is not None
    right = [_is_right(values[place], targets[place], answer) for place in range(len(values))]
    said = [
        _verdict(values[place], targets[place], answer, right=right[place] if known else None)
        for place in range(fitted.samples)
    ]
    facts = [f"{count} classes", count_of(fitted.samples, len(values), "sample")]
    key: list[tuple[np.ndarray, str]] = [(draw_line("bars from 0 to 1"), "bars from 0 to 1")]
    notes = [] if known else ["margin: of the likeliest class over the next"]
    if known:
        facts.append(f"{sum(right)} of {len(right)} right")
        key.append((sheet.legend_entry(sheet.swatch(MARKED), "> target"), "the target is marked by >"))
        if answer.numbers is not None:
            notes.append("+ or -: target less best other class")
    if answer.several:
        notes.append("several classes can be right; right: all of them on their side of 0.5")
    if count > top:
        notes.append(f"the {top} likeliest classes" + (", and the target" if known else ""))
    notes += [answer.made] if answer.made else []
    return Drawn(
        [_body(fitted, blocks, snapshot, said)],
        ", ".join(facts),
        [*key, *strange_key(values)],
        notes,
        palette.sequential(),
    )


def draw_numbers(answer: Answer, snapshot: Snapshot, samples: int, labels: Sequence[str]) -> Drawn:
    """Each number of each sample as a bar from zero, with its target as a mark and the difference."""
    values, truth = answer.values[:, :MOST_NUMBERS], answer.truth
    count = values.shape[1]
    side = can_be_small(snapshot.inputs, samples)
    fitted = fit_row_sheet(samples=samples, rows=count, side=side, wide=True)
    shown = [values] if truth is None else [values, truth[:, :count]]
    low, high = (float(end) for end in finite_range(np.concatenate(shown).astype(np.float64)))
    low, high = min(low, 0.0), max(high, 0.0)
    blocks = [
        [
            _number_row(values[place, number], None if truth is None else truth[place, number],
                        label_of(number, labels), low, high)
            for number in range(count)
        ]
        for place in range(fitted.samples)
    ]  # fmt: skip
    facts = [
        count_of(count, answer.values.shape[1], "number"),
        count_of(fitted.samples, len(values), "sample"),
    ]
    words = f"bars from {sheet.number(low)} to {sheet.number(high)}"
    key: list[tuple[np.ndarray, str]] = [(draw_line(words), words)]
    notes = []
    if truth is not None:
        with np.errstate(invalid="ignore"):
            error = np.abs(values - truth[:, :count])
        known = error[np.isfinite(error)]
        facts += [f"mean error {sheet.number(float(known.mean()))}"] if known.size else []
        key.append((draw_line("black mark: target"), "black mark: target"))
        notes.append("in brackets: answer less target")
    return Drawn(
        [_body(fitted, blocks, snapshot, ())],
        ", ".join(facts),
        [*key, *strange_key(values)],
        notes,
        palette.sequential(),
    )


def _body(
    fitted: RowSheet, blocks: Sequence[Sequence[Row]], snapshot: Snapshot, said: Sequence[tuple[str, bool]]
) -> np.ndarray:
    small = thumbnails(snapshot.inputs, fitted.samples, fitted.side) if fitted.side else []
    return draw_row_sheet(fitted, blocks, snapshot.probe.names, said, small)


def _targets(answer: Answer, place: int) -> tuple[int, ...]:
    """The classes that are right for a sample."""
    if answer.numbers is not None:
        return (int(answer.numbers[place]),) if answer.numbers[place] >= 0 else ()
    return tuple(np.flatnonzero(answer.truth[place] >= 0.5).tolist()) if answer.truth is not None else ()


def _likeliest(shares: np.ndarray, targets: Sequence[int], top: int) -> list[int]:
    """The likeliest classes, of equal ones the first; the first target takes the last place if it must."""
    order = np.argsort(-np.where(np.isnan(shares), -np.inf, shares), kind="stable")[:top].tolist()
    missing = [number for number in targets[:1] if number not in order]
    return [*order[: top - len(missing)], *missing]


def _is_right(shares: np.ndarray, targets: Sequence[int], answer: Answer) -> bool:
    if not np.isfinite(shares).all():
        return False
    if answer.several:
        return set(np.flatnonzero(shares >= 0.5).tolist()) == set(targets)
    return int(shares.argmax()) in targets


def _verdict(
    shares: np.ndarray, targets: Sequence[int], answer: Answer, *, right: bool | None
) -> tuple[str, bool]:
    """What is said of a sample, and whether in bold."""
    if not np.isfinite(shares).all():
        return "no answer", True
    best = np.sort(shares)[::-1]
    if right is None:
        margin = best[0] - best[1] if not answer.several else 0.0
        return f"margin {margin:.2f}", False
    word = "right" if right else "wrong"
    if answer.several or not targets:
        return (word if targets or answer.several else "no target"), not right
    others = np.delete(shares, targets[0])
    return f"{word} {shares[targets[0]] - others.max():+.2f}", not right


def _class_row(share: float, number: int, labels: Sequence[str], *, target: bool) -> Row:
    name = label_of(number, labels)
    name = f"> {name}" if target else name
    if not np.isfinite(share):
        return Row(name, _strange_words(share), 0, 0, marked=target, strange=_strange_index(share))
    percent = f"{100 * share:.0f}%" if share >= 0.005 or share == 0 else "<1%"
    return Row(name, percent, 0.0, float(share), marked=target)


def _number_row(value: float, target: float | None, name: str, low: float, high: float) -> Row:
    span = (high - low) or 1.0
    tick = None if target is None or not np.isfinite(target) else (float(target) - low) / span
    if not np.isfinite(value):
        return Row(name, _strange_words(value), 0, 0, tick, strange=_strange_index(value))
    words = sheet.number(float(value))
    if tick is not None and target is not None:
        words += f" ({float(value) - float(target):+.2g})"
    return Row(name, words, -low / span, (float(value) - low) / span, tick, coloured=True)


def _strange_words(value: float) -> str:
    return "NaN" if np.isnan(value) else ("+Inf" if value > 0 else "-Inf")


def _strange_index(value: float) -> int:
    if np.isnan(value):
        return palette.NOT_A_NUMBER
    return palette.PLUS_INFINITY if value > 0 else palette.MINUS_INFINITY
