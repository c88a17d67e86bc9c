"""Snapshots with statistics made by hand, and trainings made of them."""

import numpy as np

from layerviz_callbacks import Layer, Probe, Snapshot
from layerviz_callbacks.health import HealthFollower, LayerStatistics, output_statistics, weight_sample


def well(seed, *shape):
    """Numbers without an illness: normally distributed, float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layer(
    name,
    place,
    *,
    kind="Conv2D",
    kernel=None,
    output=None,
    gradient=None,
    update=None,
    trainable=True,
    **options,
):
    weights = None
    if kernel is not None:
        weights = weight_sample(kernel, gradient=gradient, update=update, trainable=trainable)
    return Layer(
        name,
        kind,
        place,
        parameters=0 if kernel is None else kernel.size,
        kernel_shape=None if kernel is None else kernel.shape,
        output_shape=None if output is None else output.shape,
        statistics=LayerStatistics(None if output is None else output_statistics(output), weights),
        **options,
    )


def head(step):
    """A last layer that is well, and goes on learning."""
    return layer("head", 99, kind="Dense", kernel=well(99, 10, 32) + 0.01 * step, output=well(98, 4, 10))


def step_of(step, *layers, ranges=None, metrics=None, samples=4):
    probe = Probe(np.zeros((samples, 3), np.float32))
    known = {one.name: one for one in layers}
    when = f"epoch {step}" if step else "before training"
    return Snapshot(known, probe, {}, step=step, when=when, ranges=ranges, metrics=metrics or {})


def followed(*snapshots, thresholds=None):
    """The snapshots, each with its health, in the order of the steps."""
    follower = HealthFollower(thresholds)
    return [follower.follow(snapshot) for snapshot in snapshots]


def told(snapshot):
    """What is wrong: (layer, illness), the worst first."""
    return [(verdict.layer, verdict.illness) for verdict in snapshot.verdicts]
