"""Snapshots of models that were explained, made by hand: what a reader and the core give to views."""

from dataclasses import replace

import numpy as np
from view_models import convolve, gabors, layer, shapes, snapshot

from layerviz_callbacks.explaining import Target, score_of
from layerviz_callbacks.snapshot import Initial

LOGITS = np.array([[0.5, 4.0, -1.0], [3.0, 0.1, 0.2], [0.0, 1.0, 2.5]], np.float32)


def convolutional(*, target=None, step=None, size=24, stride=4, outputs=None, names=None, targets=None):
    """Three images, a convolution of ReLU with maps smaller by `stride`, and gradients as after pooling."""
    images, target = shapes(size), target or Target()
    output = np.maximum(convolve(images, gabors(6, 5)), 0)[:, ::stride, ::stride]
    weights = np.cos(np.arange(6) + (0.4 if step is None else step))
    gradient = np.broadcast_to(weights, output.shape).astype(np.float32)
    return explained(output, gradient, images, target=target, outputs=outputs, names=names, targets=targets)


def explained(output, gradient, inputs, *, target=None, outputs=None, kind="Conv2D", **options):
    """One layer, and a classifier's answer where nothing else is said."""
    target = target or Target()
    known = layer(kind=kind, output=output, kernel=np.zeros((output.shape[-1], 1, 3, 3), np.float32))
    shown = snapshot(replace(known, gradients={target: gradient}), inputs=inputs, **options)
    shown = replace(shown, outputs={"output": LOGITS[: len(inputs)]} if outputs is None else outputs)
    score = score_of(target, shown).without_weights()
    return replace(shown, scores={target: score}, chosen=None)


def compared(now, then):
    """The snapshot with another one as the model before training."""
    return replace(now, initial=Initial(then.layers, then.scores))
