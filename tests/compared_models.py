"""Small networks in plain NumPy whose channels can be permuted by hand."""

import numpy as np
from view_models import convolve, layer

from layerviz_callbacks import Probe, Snapshot

NAMES = ("conv1", "conv2", "head")


def weights(seed=0, *, first=6, second=8, classes=4):
    """`conv1` (3x3, of one input), `conv2` (1x1) and `head` (dense, of the mean over space)."""
    generator = np.random.default_rng(seed)
    shapes = {"conv1": (first, 1, 3, 3), "conv2": (second, first, 1, 1), "head": (classes, second)}
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def images(samples=40, size=8, seed=1):
    return np.random.default_rng(seed).normal(size=(samples, size, size, 1)).astype(np.float32)


def answers(kernels, batch):
    """The outputs of the three layers, `(sample, *space, channel)`; conv1 and conv2 before their ReLU."""
    first = convolve(batch, kernels["conv1"])
    second = np.maximum(first, 0) @ kernels["conv2"][:, :, 0, 0].T
    head = np.maximum(second, 0).mean(axis=(1, 2)) @ kernels["head"].T
    return {"conv1": first, "conv2": second.astype(np.float32), "head": head.astype(np.float32)}


def snapshot_of(kernels, batch=None, *, step=1, targets=None, **more):
    """What `inspect` would read of this network."""
    batch = images() if batch is None else batch
    outputs = answers(kernels, batch)
    kinds = {"conv1": "Conv2D", "conv2": "Conv2D", "head": "Dense"}
    layers = {
        name: layer(name, kinds[name], place, kernel=kernels[name], output=outputs[name])
        for place, name in enumerate(NAMES, start=1)
    }
    probe = Probe(batch, targets=targets)
    return Snapshot(
        layers,
        probe,
        {"input": batch},
        outputs={"head": outputs["head"]},
        step=step,
        when=f"epoch {step}",
        **more,
    )


def permuted(kernels, first, second):
    """The same network with the channels of conv1 and conv2 in another order."""
    return {
        "conv1": kernels["conv1"][first],
        "conv2": kernels["conv2"][second][:, first],
        "head": kernels["head"][:, second],
    }
