"""One picture over the steps of a training, drawn with one range of values at all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from layerviz_callbacks.history import Album, Frame
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views import View
from layerviz_callbacks.views.base import ModelView

Draw = Callable[[Snapshot], Iterable[Picture]]
Look = Callable[[], Sequence[Snapshot]]
"""Gives the snapshots of all steps, in their order; nothing of them is in memory yet."""

_LAYERS_AT_ONCE = 8
"""The arrays of so many layers, at all steps, are in memory at once."""


@dataclass(frozen=True, eq=False)
class Film:
    """One picture over the steps.

    Attributes:
        tag: see `Picture`.
        family: the group that it belongs to, such as "feature maps".
        layer: the name of the layer that it shows; empty where it is of the model.
        pictures: by step.
    """

    tag: str
    family: str
    layer: str
    pictures: Mapping[int, Picture]


def films_of(view: View, look: Look, failed: Callable[[str, Exception], None]) -> Iterator[Film]:
    """The films of one view, layer by layer, in the model's order.

    Args:
        view: what is drawn; each picture with one range at all steps, the smallest that holds all of them.
        look: gives the snapshots.
        failed: is told what could not be drawn, and why; the others are drawn all the same.
    """
    look = _with_history(view, look) if "history" in view.needs else look
    snapshots = look()
    layers = list(dict.fromkeys(layer.name for one in snapshots for layer in _drawn(view, one, failed)))
    done: set[str] = set()
    for place, name in enumerate(layers):
        if place % _LAYERS_AT_ONCE == 0:
            snapshots = look()
        for film in _guarded(view, name, _of_layer(view, name), snapshots, failed):
            done.add(film.tag)
            yield film
    if isinstance(view, ModelView) or type(view).draw is not View.draw:

        def others(snapshot: Snapshot) -> list[Picture]:
            return [picture for picture in view.draw(snapshot) if picture.tag not in done]

        yield from _guarded(view, "", others, look(), failed)


def pictures_with_one_range(draw: Draw, snapshots: Sequence[Snapshot]) -> dict[str, dict[int, Picture]]:
    """By tag and step, what `draw` gives of each snapshot, with the range that holds the values of all.

    The last step is drawn first: it mostly has the largest values. What was drawn before the range was
    known is drawn again.
    """
    drawn: dict[str, dict[int, Picture]] = {}
    ranges: dict[str, HeldRange] = {}

    def add(snapshot: Snapshot) -> None:
        for picture in draw(replace(snapshot, ranges=dict(ranges))):
            drawn.setdefault(picture.tag, {})[snapshot.step] = picture
            if picture.held is not None:
                ranges[picture.tag] = HeldRange(picture.held.limit, picture.held.signed, since=0)

    for snapshot in [*snapshots[-1:], *snapshots[:-1]]:
        add(snapshot)
    for snapshot in snapshots:
        own = [(tag, steps[snapshot.step]) for tag, steps in drawn.items() if snapshot.step in steps]
        if any(_is_unsettled(picture.held, ranges.get(tag)) for tag, picture in own):
            add(snapshot)
    return {tag: dict(sorted(steps.items())) for tag, steps in drawn.items()}


def _with_history(view: View, look: Look) -> Look:
    """Looks at the same snapshots, each with what the view keeps of those before it."""
    album = Album()
    histories: list[tuple[Frame, ...]] = []
    for snapshot in look():
        shown = replace(snapshot, history=album.frames)
        histories.append(shown.history)
        album.add(Frame(shown.step, shown.when, shown.metrics, shown.best, view.keep(shown)))

    def looked() -> list[Snapshot]:
        return [replace(one, history=frames) for one, frames in zip(look(), histories, strict=True)]

    return looked


def _is_unsettled(held: HeldRange | None, final: HeldRange | None) -> bool:
    if held is None or final is None:
        return False
    return held.before is not None or (held.limit, held.signed) != (final.limit, final.signed)


def _of_layer(view: View, name: str) -> Draw:
    def draw(snapshot: Snapshot) -> Iterable[Picture]:
        layer = snapshot.layers.get(name)
        return [] if layer is None or view.refusal(layer) else view.draw_layer(layer, snapshot)

    return draw


def _drawn(view: View, snapshot: Snapshot, failed: Callable[[str, Exception], None]) -> list[Layer]:
    try:
        return view.drawn(snapshot)
    except Exception as error:  # noqa: BLE001  whatever a view raises, the others are drawn
        failed(view.family, error)
        return []


def _guarded(
    view: View,
    name: str,
    draw: Draw,
    snapshots: Sequence[Snapshot],
    failed: Callable[[str, Exception], None],
) -> Iterator[Film]:
    try:
        drawn = pictures_with_one_range(draw, snapshots)
    except Exception as error:  # noqa: BLE001  whatever a view raises, the others are drawn
        failed(f"{view.family} of {name}" if name else view.family, error)
        return
    for tag, pictures in drawn.items():
        yield Film(tag, view.family, name, pictures)
