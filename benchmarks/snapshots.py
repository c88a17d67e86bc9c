"""Networks' layers made by hand, as a reader hands them over: for benchmarks that need no framework."""

from dataclasses import replace
from functools import reduce

import numpy as np

from layerviz_callbacks import Layer, Probe, Snapshot
from layerviz_callbacks.cut import cut_kernel, cut_output

VGG_REDUCTIONS = [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16]


def layer_of(name, kind, place, kernel, output):
    """A layer of which everything was read."""
    return Layer(
        name, kind, place, kernel=kernel, kernel_shape=kernel.shape, output=output, output_shape=output.shape
    )


def snapshot_of(layers, inputs):
    """A snapshot in the third epoch of twelve."""
    known = {layer.name: layer for layer in layers}
    return Snapshot(known, Probe(inputs), {"input": inputs}, step=3, when="epoch 3/12")


def photos(samples, pixels):
    """Scenes of soft edges and grain `(sample, pixels, pixels, 3)`, uint8."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:pixels, 0:pixels] / pixels
    scenes = np.empty((samples, pixels, pixels, 3))
    for sample in range(samples):
        ring = np.hypot(x - 0.5, y - 0.3 - 0.1 * (sample % 4)) < 0.3
        for colour in range(3):
            scenes[sample, ..., colour] = ring + np.sin((7 + sample % 5) * x + 3 * colour * y)
    scenes += random.normal(size=scenes.shape) * 0.15
    low, high = scenes.min(), scenes.max()
    return ((scenes - low) / (high - low) * 255).astype(np.uint8)


def vgg(*, samples=4, channels=64, pixels=64):
    """The 13 convolutions of VGG16 with `channels` each, over photos, random weights: full outputs."""
    random, images = np.random.default_rng(1), photos(samples, pixels)
    answer, layers = images.astype(np.float32) / 255, []
    for place, reduction in enumerate(VGG_REDUCTIONS, start=1):
        inputs = answer.shape[-1]
        kernel = (random.normal(size=(channels, inputs, 3, 3)) * (2 / (9 * inputs)) ** 0.5).astype(np.float32)
        while answer.shape[1] > pixels // reduction:
            halved = answer.reshape(samples, answer.shape[1] // 2, 2, answer.shape[2] // 2, 2, inputs)
            answer = halved.max(axis=(2, 4))
        padded = np.pad(answer, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        answer = np.tensordot(windows, kernel, axes=([3, 4, 5], [1, 2, 3]))
        answer = np.ascontiguousarray(np.maximum(answer, 0), dtype=np.float32)
        layers.append(layer_of(f"conv{place}", "Conv2D", place, kernel, answer))
    return snapshot_of(layers, images)


def convolution(*, channels, pixels, samples, inputs=8):
    """One convolution over maps of `pixels` x `pixels`."""
    random = np.random.default_rng(0)
    kernel = random.standard_normal((channels, inputs, 3, 3), dtype=np.float32)
    output = random.standard_normal((samples, pixels, pixels, channels), dtype=np.float32)
    return layer_of("conv", "Conv2D", 1, kernel, np.maximum(output, 0, out=output))


def waveforms(samples, length):
    """Traces of three components with an onset each `(sample, length, 3)`."""
    random, time = np.random.default_rng(0), np.arange(length) / 100
    traces = random.normal(size=(samples, length, 3)) * 0.05
    for sample in range(samples):
        onset = 5 + 37 * sample % (length / 125)
        decay = np.exp(-np.maximum(0, time - onset) / 6) * (time > onset)
        for component in range(3):
            traces[sample, :, component] += decay * np.sin(time * (8 + sample % 7) + component)
    return traces.astype(np.float32)


def as_read(snapshot, views):
    """The snapshot as a reader hands it over: of each layer only what these views draw of it."""
    bare = {layer.name: replace(layer, kernel=None, output=None) for layer in snapshot}
    shapes, layers = replace(snapshot, layers=bare), {}
    for layer in snapshot:
        for view in views:
            if "kernels" in view.needs:
                part, taken = cut_kernel(layer.kernel, view.kernel_cut(shapes[layer.name], shapes))
                layer = replace(layer, kernel=part, kernel_taken=taken)
            if "outputs" in view.needs:
                part, taken = cut_output(layer.output, view.output_cut(shapes[layer.name], shapes))
                layer = replace(layer, output=part, output_taken=taken)
        layers[layer.name] = layer
    return replace(snapshot, layers=layers)


def draw_all(snapshot, views):
    """Every picture of these views."""
    return reduce(list.__add__, (list(view.draw(snapshot)) for view in views), [])
