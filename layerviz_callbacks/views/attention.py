"""Attention: where the queries of each head look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from layerviz_callbacks.errors import ArgumentError, check_choice, check_count
from layerviz_callbacks.health.attention_measures import entropies
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.request import Request
from layerviz_callbacks.selection import Selector, select
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.attention_measures import distances
from layerviz_callbacks.views.attention_rollout import draw_rollout, rollout_layers, rollout_refusal
from layerviz_callbacks.views.attention_sheets import draw_attention
from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.patches import attention_shape_of, placement_of


class Attention(View):
    """The weights with which queries attend to keys: of each head, on its own and over the input.

    | tag | what is drawn |
    |---|---|
    | `attention/NN_layer` | a map a head and sample, queries down, keys across; over it, what the input receives: of a sequence a curve under the trace, of patches a map beside the image |
    | `attention/rollout` | the same of attention through all drawn layers, where two or more have as many queries as keys, and all of these equally many (Abnar and Zuidema 2020, arXiv:2005.00928) |
    | `attention entropy/NN_layer/head 3` | a scalar: 1 where the head attends evenly to all keys, 0 where each query attends to one key |
    | `attention distance/NN_layer/head 3` | a scalar: how far its queries look, in places of the sequence, or in patches; where there are as many queries as keys (Dosovitskiy et al. 2021, arXiv:2010.11929) |

    It tells from which places a layer takes what it passes on, and whether heads look near or far, at one key or
    at all. It cannot tell why the model answers as it does, for attention is not explanation: other weights may
    give the same answer, and a key that is looked at need not matter (Jain and Wallace 2019, arXiv:1902.10186).

    What the input receives is what the class token gives, where the model has one; of a layer with one query its
    weights; else the mean over queries. Colours go from 0 to the layer's largest weight, the same for all heads
    and samples. Large maps are reduced by blocks' largest weights, so that lines and diagonals keep their
    height. Rollout takes the layers to follow one another, in the model's order: of a model with branches side by
    side, name those of one branch by `rollout=`. Scalars are means over the drawn samples and all queries, of rows divided by their sums; rows of NaN
    (a query that may attend to nothing) are left out of them.

    Args:
        layers: which layers; None: those of the callback, or every layer that computes attention.
        every_n_epochs: how often; None: as often as the callback records.
        max_samples: at most so many samples are drawn, the first ones.
        max_heads: at most so many heads are drawn, the first ones; None: as many as can be read.
        contrast: "layer": the colours of a sheet's maps share one scale; "head": each head has its own, so that
            weak ones can be seen beside one that looks at a single key; the sheet says so.
        rollout: draw attention rollout, where there is one; or the layers that follow one another, as a list of
            names, such as ["encoder.*", "decoder.0.attention"], drawn or not.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> Attention(layers="encoder*", max_samples=2).family
        'attention'
    """  # noqa: E501

    family = "attention"
    needs = frozenset({"attention"})
    leaves_out: ClassVar[str] = "no attention is computed in them"

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = None,
        max_samples: int = 4,
        max_heads: int | None = None,
        contrast: str = "layer",
        rollout: bool | Sequence[str] = True,
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        check_count("max_samples", max_samples)
        check_count("max_heads", max_heads, optional=True)
        check_choice("contrast", contrast, ("layer", "head"))
        self.max_samples = max_samples
        self.max_heads = max_heads
        self.contrast = contrast
        self.rollout = _checked_chain(rollout)

    def by_default(self, snapshot: Snapshot) -> list[Layer]:
        """Those that compute attention."""
        return [layer for layer in snapshot if attention_shape_of(layer) is not None]

    def refusal(self, layer: Layer) -> str:
        """Why there is no attention of this layer, in words; empty where there is."""
        shape = attention_shape_of(layer)
        if layer.refusal:
            return layer.refusal
        if shape is None:
            return "it computes no attention"
        if len(shape) != 4 or 0 in shape:
            return f"attention of shape {tuple(shape)} is not drawn"
        return ""

    def refusals(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The layers whose attention cannot be read, of those that were chosen, with the reason."""
        said = "attention of "
        by_itself = self.layers is None and snapshot.chosen is None
        chosen = {layer.name for layer in self.chosen(snapshot)}
        unread = {
            what.removeprefix(said): why for what, why in snapshot.unread.items() if what.startswith(said)
        }
        return {name: why for name, why in unread.items() if by_itself or name in chosen}

    def request(self, layers: Sequence[Layer], shapes: Snapshot) -> Request:
        """The attention of the samples that are drawn, of these layers."""
        through = [] if isinstance(self.rollout, bool) else self._chain(shapes)
        names = frozenset(layer.base_name for layer in [*layers, *through])
        return Request(attention=names, attention_samples=self._samples)

    def check(self, shapes: Snapshot) -> None:
        """Raise `ArgumentError` where the layers that rollout goes through are none of this model."""
        if not isinstance(self.rollout, bool) and len(self._chain(shapes)) < 2:
            raise ArgumentError(
                f"rollout={list(self.rollout)!r} is a single layer of this model. Give two or more that "
                "follow one another, or True for all that are drawn."
            )

    def scalars(self, snapshot: Snapshot) -> Mapping[str, float]:
        """Entropy and mean distance of each head, by tag; none of what was not read, or is not defined."""
        found: dict[str, float] = {}
        for layer in self.drawn(snapshot):
            if layer.attention is None:
                continue
            weights = layer.attention[: self._samples]
            measured = {"entropy": entropies(weights)}
            if weights.shape[-2] == weights.shape[-1]:
                measured["distance"] = distances(weights, placement_of(layer, snapshot))
            _, _, name = self.tag(layer, snapshot).partition("/")
            for what, values in measured.items():
                for head, value in enumerate(values):
                    if np.isfinite(value):
                        found[f"{self.family} {what}/{name}/head {head}"] = float(value)
        return found

    def draw(self, snapshot: Snapshot) -> list[Picture]:
        """The pictures of every chosen layer in the model's order, then the rollout through them."""
        drawn = super().draw(snapshot)
        layers = rollout_layers(self._chain(snapshot))
        if layers and not rollout_refusal(layers, len(snapshot.probe)):
            drawn += draw_rollout(f"{self.family}/rollout", layers, snapshot, samples=self._samples)
        return drawn

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """One sheet; none where the attention was not read."""
        if layer.attention is None:
            return []
        layers = rollout_layers(self._chain(snapshot))
        first = bool(layers) and layers[0] is layer
        why = rollout_refusal(layers, len(snapshot.probe)) if first else ""
        return [
            draw_attention(
                self.tag(layer, snapshot),
                layer,
                layer.attention,
                snapshot,
                samples=self._samples,
                heads=self._heads(layer.attention.shape[1]),
                each_head=self.contrast == "head",
                notes=[f"no rollout: {why}"] if why else [],
            )
        ]

    def _chain(self, snapshot: Snapshot) -> list[Layer]:
        """The layers that rollout goes through, where they can be.

        Raises:
            SelectionError: one of the names is that of no layer with attention.
        """
        if isinstance(self.rollout, bool):
            return self.drawn(snapshot) if self.rollout else []
        attending = [layer for layer in snapshot if attention_shape_of(layer) is not None]
        names = select(self.rollout, [(layer.base_name, layer) for layer in attending], argument="rollout")
        return [layer for layer in attending if layer.base_name in names]

    @property
    def _samples(self) -> int:
        return self._fewer(self.max_samples)

    def _heads(self, total: int) -> int:
        return self._fewer(min(total, self.max_heads or total))


def _checked_chain(given: bool | Sequence[str]) -> bool | tuple[str, ...]:
    if isinstance(given, bool):
        return given
    if isinstance(given, (list, tuple)) and given and all(isinstance(name, str) for name in given):
        return tuple(given)
    raise ArgumentError(
        f"rollout={given!r} is not an option. Allowed: True, False, or a list of the names of layers that "
        "follow one another."
    )
