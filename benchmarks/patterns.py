"""What the options of gradient ascent do to patterns: which of them help, at equal numbers of steps.

    python benchmarks/patterns.py [--quick]

The two networks of examples/filter_patterns.py learn, one from photographs and one from seismograms. For
each option the patterns of 8 channels of every block are found from the same seed. Printed, by block:

- reached: the activation at the end, as a share of what plain noise reaches (median over channels);
- fine: the share of the pattern's energy above half of the highest frequency, along any axis of space;
- blurred: the share of the activation that is left when each value is joined with its neighbours
  (1/4, 1/2, 1/4 along each axis): a pattern that lives on single pixels loses most of it.

Needs PyTorch, ObsPy, scikit-learn, matplotlib and Pillow.
"""

import argparse
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import filter_patterns as example
from seismograms import events, noises

from layerviz_callbacks import Probe, inspect, views

CHANNELS = 8
OPTIONS = {
    "noise": {"total_variation": 0.0},
    "the defaults": {},
    "fourier": {"start": "fourier", "total_variation": 0.0},
    "jitter 1": {"jitter": 1, "total_variation": 0.0},
    "jitter 2": {"jitter": 2, "total_variation": 0.0},
    "jitter 4": {"jitter": 4, "total_variation": 0.0},
    "total variation 0.1": {"total_variation": 0.1},
    "total variation 0.2": {"total_variation": 0.2},
    "total variation 0.4": {"total_variation": 0.4},
    "jitter 2, total variation 0.2": {"jitter": 2, "total_variation": 0.2},
    "fourier, jitter 2": {"start": "fourier", "jitter": 2, "total_variation": 0.0},
    "steps of 0.05": {"step_size": 0.05, "total_variation": 0.0},
    "steps of 0.1": {"step_size": 0.1, "total_variation": 0.0},
    "steps of 0.5": {"step_size": 0.5, "total_variation": 0.0},
    "10 steps": {"steps": 10, "total_variation": 0.0},
    "100 steps": {"steps": 100, "total_variation": 0.0},
}


def photographs(random, epochs, steps):
    """The trained network of photographs and its probe."""
    found = np.stack([*example.photographs(None).values()]).astype("float32").transpose(0, 3, 1, 2)
    images = (found - found.mean((0, 2, 3), keepdims=True)) / found.std((0, 2, 3), keepdims=True)
    model = example.Network(2, [12, 16, 24, 32], [3, 3, 3, 3], len(images) * example.ROWS * example.COLUMNS)
    example.train(model, lambda: example.patches(images, example.BATCH, random), epochs, steps, nothing)
    return model, images[:, :, 56:104, 96:144]


def seismograms(random, epochs, steps):
    """The trained network of seismograms and its probe."""
    records = [*(event.waves for event in events().values()), *noises().values()]
    model = example.Network(1, [8, 16, 24], [17, 9, 9], len(records))
    example.train(model, lambda: example.windows(records, example.BATCH, random), epochs, steps, nothing)
    return model, example.windows(records, 8, random)[0]


def nothing(epoch, **metrics):
    """Records nothing."""


def patterns(model, probe, options):
    """Block -> FoundPatterns."""
    view = views.Patterns(layers="block?.relu2", max_channels=CHANNELS, **options)
    snapshot = inspect(model, Probe(probe), layers="block?.relu2", views=[view])
    return {layer.name: layer.patterns for layer in snapshot if layer.patterns is not None}


def fine(found):
    """The share of energy above half of the highest frequency: `(channel,)`."""
    values = found.standardised
    axes = tuple(range(1, values.ndim - 1))
    energy = np.abs(np.fft.fftn(values - values.mean(axes, keepdims=True), axes=axes)) ** 2
    high = np.zeros(values.shape[1:-1], bool)
    for axis, length in enumerate(high.shape):
        shape = [1] * high.ndim
        shape[axis] = length
        high |= (np.abs(np.fft.fftfreq(length)) > 0.25).reshape(shape)
    return energy[:, high].sum(axis=(1, 2)) / np.maximum(energy.reshape(len(energy), -1).sum(axis=1), 1e-12)


def blurred(model, layer, found):
    """The share of the activation that a blurred pattern keeps: `(channel,)`."""
    values = found.inputs
    soft = values
    for axis in range(1, values.ndim - 1):
        soft = (np.roll(soft, 1, axis) + 2 * soft + np.roll(soft, -1, axis)) / 4
    with torch.no_grad():
        answers = [activations(model, layer, one, found.recipe.channels) for one in (values, soft)]
    return answers[1] / np.maximum(answers[0], 1e-12)


def activations(model, layer, values, channels):
    """The mean of each channel at its pattern, borders left out as in the ascent: `(channel,)`."""
    heard = []
    hook = model.get_submodule(layer).register_forward_hook(lambda *call: heard.append(call[2]))
    model.eval()
    model(torch.tensor(np.moveaxis(values, -1, 1)))
    hook.remove()
    answer = heard[0].numpy()
    inside = answer[(slice(None), slice(None), *(slice(2, -2),) * (answer.ndim - 2))]
    means = inside.reshape(*inside.shape[:2], -1).mean(axis=-1)
    return means[np.arange(len(channels)), channels]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="hardly trained, and three options only")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")  # what ObsPy says of its own test data
    logging.getLogger("layerviz_callbacks").setLevel(logging.ERROR)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    epochs, steps = (1, 2) if quick else (8, example.STEPS)
    options = dict([*OPTIONS.items()][:3] if quick else OPTIONS)
    for name, make in (("photographs", photographs), ("seismograms", seismograms)):
        print(f"{name}:")
        model, probe = make(random, epochs, steps)
        print(f"\n{name:30} {'dead':>5}  reached / fine / blurred, by block")
        standard = patterns(model, probe, OPTIONS["noise"])
        for label, chosen in options.items():
            found = patterns(model, probe, chosen)
            dead = sum(int(one.dead.sum()) for one in found.values())
            cells = []
            for layer, one in found.items():
                alive = ~one.dead & ~standard[layer].dead
                reached = np.median((one.after / np.maximum(standard[layer].after, 1e-12))[alive])
                kept = np.median(blurred(model, layer, one)[alive])
                cells.append(f"{reached:6.2f} / {np.median(fine(one)[alive]):4.2f} / {kept:4.2f}")
            print(f"{label:30} {dead:5}  {' | '.join(cells)}", flush=True)
        print()


if __name__ == "__main__":
    main()
