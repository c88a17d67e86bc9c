"""Snapshots made by hand, from formulas: the same numbers on every machine."""

from dataclasses import replace
from functools import reduce

import numpy as np

from layerviz_callbacks import Layer, Probe, Snapshot
from layerviz_callbacks.cut import cut_kernel, cut_output


def layer(name="conv1", kind="Conv2D", place=1, *, kernel=None, output=None, **options):
    return Layer(
        name,
        kind,
        place,
        kernel=kernel,
        kernel_shape=None if kernel is None else kernel.shape,
        output=output,
        output_shape=None if output is None else output.shape,
        **options,
    )


def snapshot(*layers, inputs=None, when="epoch 3/12", **options):
    """All these layers are chosen."""
    if inputs is None:  # of a kind that has no thumbnail
        samples = next((len(known.output) for known in layers if known.output is not None), 2)
        inputs = np.zeros((samples, 5), np.float32)
    known = {known.name: known for known in layers}
    return Snapshot(known, Probe(inputs, **options), {"input": inputs}, when=when, chosen=frozenset(known))


def gabors(channels, size, *, colours=1):
    """Oriented edges, as a trained first layer has them `(channels, colours, size, size)`."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    kernels = np.empty((channels, colours, size, size), np.float32)
    for channel in range(channels):
        angle = np.pi * channel / channels
        along = x * np.cos(angle) + y * np.sin(angle)
        for colour in range(colours):
            wave = np.cos(4 * along + channel + 2 * colour * (channel % 3 == 0))
            kernels[channel, colour] = wave * np.exp(-2 * (x**2 + y**2)) * (1 + channel % 4) / 4
    return kernels


def shapes(size=16):
    """Three images: a ring, a bar, a cross `(3, size, size, 1)`, from 0 to 1."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    ring = np.exp(-30 * (np.hypot(x, y) - 0.6) ** 2)
    bar = np.exp(-20 * x**2)
    cross = np.maximum(np.exp(-20 * (x - y) ** 2), np.exp(-20 * (x + y) ** 2))
    return np.stack([ring, bar, cross])[..., None].astype(np.float32)


def convolve(images, kernels):
    """`(sample, height, width, channel)` of single-channel images, padded with zeros."""
    size = kernels.shape[-1]
    padded = np.pad(images[..., 0], ((0, 0), (size // 2,) * 2, (size // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.einsum("nhwij,cij->nhwc", windows, kernels[:, 0]).astype(np.float32)


def waves(length=1500):
    """Two events and a quiet trace of three components `(3, length, 3)`."""
    time = np.arange(length) / 100
    traces = np.zeros((3, length, 3), np.float32)
    for sample, (start, rate) in enumerate([(3, 7), (6, 11)]):
        decay = np.exp(-np.maximum(0, time - start)) * (time > start)
        for component in range(3):
            traces[sample, :, component] = decay * np.sin(time * rate * 3 + component) / (1 + component)
    return traces + 0.02 * np.sin(time * 91)[:, None].astype(np.float32)


def volumes(size=16):
    """A hollow ball and a slanted rod `(2, size, size, size, 1)`, from 0 to 1."""
    z, y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j, -1 : 1 : size * 1j]
    ball = np.exp(-20 * (np.sqrt(x**2 + y**2 + z**2) - 0.6) ** 2)
    rod = np.exp(-20 * (x**2 + (y - z / 2) ** 2))
    return np.stack([ball, rod])[..., None].astype(np.float32)


def waves_in_space(channels):
    """3x3x3 kernels, each a wave in another direction `(channels, 1, 3, 3, 3)`."""
    z, y, x = np.mgrid[-1:1:3j, -1:1:3j, -1:1:3j]
    kernels = np.empty((channels, 1, 3, 3, 3), np.float32)
    for channel in range(channels):
        turn, tilt = np.pi * channel / channels, np.pi * (channel % 4) / 4
        along = x * np.cos(turn) + y * np.sin(turn) * np.cos(tilt) + z * np.sin(tilt)
        kernels[channel, 0] = np.cos(2 * along + channel)
    return kernels


def convolve_volumes(inputs, kernels):
    """`(sample, depth, height, width, channel)` of single-channel volumes, padded with zeros."""
    size = kernels.shape[-1]
    padded = np.pad(inputs[..., 0], ((0, 0), *((size // 2,) * 2,) * 3))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size,) * 3, axis=(1, 2, 3))
    return np.einsum("ndhwijk,cijk->ndhwc", windows, kernels[:, 0]).astype(np.float32)


def only_shapes(known):
    """The snapshot as it is before anything was read: shapes, no arrays."""
    layers = {layer.name: replace(layer, kernel=None, output=None) for layer in known}
    return replace(known, layers=layers)


def read_with(known, *views):
    """The snapshot as a reader reads it for these views: of each layer the part that they ask for."""
    shapes, layers = only_shapes(known), {}
    for layer in known:
        empty = shapes[layer.name]
        if layer.output is not None:
            cuts = [view.output_cut(empty, shapes) for view in views]
            part, taken = cut_output(layer.output, reduce(lambda one, other: one.union(other), cuts))
            layer = replace(layer, output=part, output_taken=taken)
        if layer.kernel is not None:
            cuts = [view.kernel_cut(empty, shapes) for view in views]
            part, taken = cut_kernel(layer.kernel, reduce(lambda one, other: one.union(other), cuts))
            layer = replace(layer, kernel=part, kernel_taken=taken)
        layers[layer.name] = layer
    return replace(known, layers=layers)
