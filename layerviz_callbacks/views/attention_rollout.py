"""Attention through all layers of a model: one more sheet of attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render.scale import as_floats
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.attention_measures import rollout
from layerviz_callbacks.views.attention_sections import Style
from layerviz_callbacks.views.attention_sheets import OnInput, Shown, attention_sheet
from layerviz_callbacks.views.patches import attention_shape_of, placement_of
from layerviz_callbacks.views.words import listed

MOST_TOKENS_OF_MAPS = 512
"""With more tokens only what the input receives is computed: it costs far less than a map."""


def rollout_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Those whose attention was read and has as many queries as keys; none where they are fewer than two."""
    square = [
        layer
        for layer in layers
        if layer.attention is not None and layer.attention.shape[-1] == layer.attention.shape[-2]
    ]
    return square if len(square) > 1 else []


def rollout_refusal(layers: Sequence[Layer], samples: int) -> str:
    """Why there is no rollout through these layers, in words; empty where there is.

    Args:
        layers: as `rollout_layers` gives them.
        samples: how many the probe has.
    """
    sizes = sorted({layer.attention.shape[-1] for layer in layers if layer.attention is not None})
    if len(sizes) > 1:
        return f"layers attend to different numbers of keys ({listed(sizes)})"
    others = sorted({_samples(layer) for layer in layers} - {samples})
    return (
        f"layers attend within {listed(others)} windows, not within the {samples} samples" if others else ""
    )


def draw_rollout(tag: str, layers: Sequence[Layer], snapshot: Snapshot, *, samples: int) -> list[Picture]:
    """The sheet of attention rollout through these layers, one after the other; none where it would be empty.

    Args:
        tag: see `Picture`.
        layers: as `rollout_layers` gives them, not refused.
        snapshot: they belong to.
        samples: at most so many are drawn.
    """
    attentions = [as_floats(layer.attention[:samples]) for layer in layers if layer.attention is not None]
    tokens = attentions[0].shape[-1]
    placement = placement_of(layers[0], snapshot)
    maps = rollout(attentions).astype(np.float32)[:, None] if tokens <= MOST_TOKENS_OF_MAPS else None
    on_input = None
    if placement is not None:
        start = np.full(tokens, 1 / tokens)
        words = f"mean over {tokens} queries"
        if placement.further:
            start, words = np.eye(1, tokens)[0], "from the class token (query 0)"
        values = rollout(attentions, start).astype(np.float32)[:, None, placement.further :]
        on_input = OnInput(values, placement, words)
    if maps is None and on_input is None:
        return []
    names = ", ".join(layer.name for layer in layers)
    shown = Shown(maps, on_input, samples=_samples(layers[0]), style=Style(even=1 / tokens, noun="rollout"))
    return [
        attention_sheet(
            tag,
            shown,
            snapshot,
            heads=1,
            name="attention rollout",
            facts=[f"{len(layers)} layers", f"{tokens} tokens"],
            key=[],
            notes=[
                f"mean of heads, half attention and half residual, through {names}, "
                "taken to follow one another"
            ],
        )
    ]


def _samples(layer: Layer) -> int:
    shape = attention_shape_of(layer)
    return 0 if shape is None else shape[0]
