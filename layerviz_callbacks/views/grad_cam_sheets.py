"""The sheet of class-activation maps: input, map over the input, map alone, and what each explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.explaining import Score
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.grad_cam_panels import has_region, inputs_alone, map_panels_of, panel_names
from layerviz_callbacks.views.heat_maps import sample_scale
from layerviz_callbacks.views.labels import label_of
from layerviz_callbacks.views.marks import strange_key
from layerviz_callbacks.views.sample_panels import (
    PanelSheet,
    draw_panel_sheet,
    input_of,
    places_of_panels,
    shown_slices,
)
from layerviz_callbacks.views.sample_texts import (
    Phrase,
    fit_with_text,
    range_phrase,
    score_phrases,
    standing_in_notes,
    subject_of,
)
from layerviz_callbacks.views.sheets import colour_key, make_sheet
from layerviz_callbacks.views.words import count_of, listed, size_of

TITLES = {
    "grad-cam": "Grad-CAM",
    "grad-cam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "cam": "CAM",
}


@dataclass(frozen=True, eq=False)
class Mapped:
    """Maps of one layer with what belongs to them.

    Attributes:
        maps: `(sample, *space)`.
        signed: they say what speaks against the class, too.
        score: what is explained; None: nothing, the maps are of no class.
        alike: by sample, the rank correlation with the map of the untrained model; empty: not known.
        before: the score of the untrained model, or None.
        notes: what else must be known.
        refusal: why the maps mean nothing and are not drawn, in words; empty where they are.
    """

    maps: np.ndarray
    signed: bool
    score: Score | None
    alike: Sequence[float] = ()
    before: Score | None = None
    notes: Sequence[str] = ()
    refusal: str = ""


def draw_maps(
    tag: str,
    mapped: Mapped,
    layer: Layer,
    snapshot: Snapshot,
    *,
    method: str,
    samples: int,
    labels: Sequence[str] = (),
) -> Picture:
    """The sheet of one layer's maps.

    Args:
        tag: see `Picture`.
        mapped: the maps.
        layer: whose they are.
        snapshot: with the inputs.
        method: see `GradCAM`.
        samples: so many are drawn, where they fit.
        labels: the names of the classes; may be empty.
    """
    maps = mapped.maps[:samples]
    rank, space = maps.ndim - 1, maps.shape[1:]
    given = input_of(snapshot.inputs, rank)
    names = ["input"] if mapped.refusal else panel_names(rank, has_input=given is not None)
    texts: list[list[Phrase]] = [[] for _ in maps]
    if not mapped.refusal:
        texts = [_phrases(mapped, values, place, labels) for place, values in enumerate(maps)]
    fitted, below = fit_with_text(space if given is None else given.shape[1:-1], texts, panels=len(names))
    maps = maps[: fitted.samples]
    scale = sample_scale(maps, signed=mapped.signed)
    if mapped.refusal:
        panels, key, notes = inputs_alone(given, fitted), [], [mapped.refusal]
    else:
        panels = map_panels_of(maps, scale, given, fitted, mapped.score)
        key, notes = [colour_key(scale), *strange_key(maps)], _notes(mapped, maps, names, given, fitted)
    facts = [f"{TITLES[method]} of {layer.kind}"]
    facts += [] if mapped.score is None else [subject_of(mapped.score, labels)]
    facts.append(size_of(space))
    facts.append(count_of(fitted.samples, len(snapshot.probe), "sample"))
    return make_sheet(
        tag,
        [draw_panel_sheet(fitted, panels, snapshot.probe.names, below=below, colours=scale.palette)],
        name=layer.name,
        when=snapshot.when,
        facts=", ".join(facts),
        key=key,
        notes=notes,
        details=_DETAILS,
        colours=scale.palette,
        samples=places_of_panels(fitted, below),
    )


_DETAILS = (
    "Where in the input the layer's output speaks for what is explained. "
    "A map shows what the model uses, not whether it is right to use it."
)


def _phrases(mapped: Mapped, values: np.ndarray, place: int, labels: Sequence[str]) -> list[Phrase]:
    """What is said of one sample."""
    phrases = [*score_phrases(mapped.score, place, labels), range_phrase(values, signed=mapped.signed)]
    if mapped.alike:
        alike = mapped.alike[place]
        words = "r none" if np.isnan(alike) else f"r {alike:.2f}"
        then = _class_then(mapped, place)
        if then is None:
            phrases.append((words, words))
        else:
            named = label_of(then, labels)
            phrases.append((f"{words} ({label_of(then, labels, 'class ')})", f"{words} ({named})"))
    return phrases


def _class_then(mapped: Mapped, place: int) -> int | None:
    """The class of step 0, where it was another; else None."""
    if mapped.score is None or mapped.before is None or mapped.score.count == 1:
        return None
    then = mapped.before.classes[place]
    return None if then == mapped.score.classes[place] else then


def _notes(
    mapped: Mapped, maps: np.ndarray, names: Sequence[str], given: np.ndarray | None, fitted: PanelSheet
) -> list[str]:
    rank = maps.ndim - 1
    listing = ", ".join(names).replace("over it", "over it (enlarged linearly)")
    notes = [f"{fitted.order}: {listing}"] if len(names) > 1 else []
    notes.append("each map on its own scale")
    if rank == 3:
        depth = maps.shape[1] if given is None else given.shape[1]
        places = sorted({*shown_slices(depth, fitted.slices)})
        notes.append(f"slices {listed(places)} of {depth}, left to right")
    if given is not None and has_region(mapped.score, rank):
        notes.append("black bar: places that are summed" if rank == 1 else "outlined: places that are summed")
    notes += standing_in_notes(mapped.score, len(maps))
    if mapped.alike:
        then = any(_class_then(mapped, place) is not None for place in range(len(maps)))
        notes.append(
            "r: rank correlation with step 0's map" + (" (and its class, where another)" if then else "")
        )
        notes.append("r that stays near 1 shows edges, not learning")
    return [*notes, *mapped.notes]
