"""What the channels of every block of a network want to see, and to hear: patterns by gradient ascent.

    python examples/filter_patterns.py [--epochs 8] [--images FOLDER] [--out PICTURES] [--log-dir LOGS]

Two small networks learn for about half a minute each, then the input that each channel answers to most is
found for every block. The first looks at photographs (scikit-learn's two and matplotlib's one; your own with
--images): from which part of which photograph does a small patch come? The second hears seismograms out of
ObsPy's own test data: from which record do these two and a half seconds come?

What to look for: block1 wants plain colours and edges, block2 stripes and dots, block3 and block4 textures
built of them, larger from block to block. Of the waveforms each channel wants a band of frequencies of its
own: the spectrum stands beside it, its peak in cycles a sample (times 100 Hz: in hertz). A pattern is what
drives a channel hardest, not what it mostly meets, and a channel has many; another --seed shows others.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from layerviz_callbacks import Probe, sinks, views
from layerviz_callbacks.torch import attach

HEIGHT, WIDTH, PATCH = 160, 240, 32  # of a photograph, and of a patch's side, in pixels
ROWS, COLUMNS = 3, 4  # the parts that a photograph is divided into
WINDOW = 256  # samples of a waveform at 100 Hz
STEPS, BATCH = 40, 48  # of an epoch


def photographs(folder):
    """Name -> (height, width, RGB), unsigned 8-bit, all of one size."""
    from PIL import Image

    if folder is None:
        from matplotlib.cbook import get_sample_data
        from sklearn.datasets import load_sample_images

        bundled = load_sample_images()
        found = dict(zip(["temple", "flower"], map(Image.fromarray, bundled.images), strict=True))
        with get_sample_data("grace_hopper.jpg") as file:
            found["Grace Hopper"] = Image.open(file).convert("RGB")
    else:
        kinds = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"}
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds)
        found = {path.stem: Image.open(path).convert("RGB") for path in files[:12]}
    return {name: np.asarray(image.resize((WIDTH, HEIGHT))) for name, image in found.items()}


def patches(images, count, random):
    """Patches (count, RGB, height, width), brighter or darker at random, and the part each comes from."""
    height, width = HEIGHT // ROWS, WIDTH // COLUMNS
    parts = random.integers(len(images) * ROWS * COLUMNS, size=count)
    cut = np.empty((count, 3, PATCH, PATCH), np.float32)
    for place, part in enumerate(parts):
        image, row, column = np.unravel_index(part, (len(images), ROWS, COLUMNS))
        top = row * height + random.integers(height - PATCH + 1)
        left = column * width + random.integers(width - PATCH + 1)
        patch = images[image][:, top : top + PATCH, left : left + PATCH]
        cut[place] = patch[..., :: random.choice([-1, 1])[()]] * random.uniform(0.7, 1.3)
    return cut, parts


def windows(records, count, random):
    """Windows (count, component, time) of unit variance, and the record each comes from."""
    chosen = random.integers(len(records), size=count)
    cut = np.empty((count, 3, WINDOW), np.float32)
    for place, record in enumerate(chosen):
        waves = records[record]
        first = random.integers(len(waves) - WINDOW)
        part = waves[first : first + WINDOW].T
        cut[place] = (part - part.mean(axis=1, keepdims=True)) / (part.std() + 1e-9)
    return cut, chosen


class Network(nn.Module):
    """Blocks of two convolutions and pooling, then the mean over space and one dense layer."""

    def __init__(self, rank, channels, kernels, classes):
        super().__init__()
        convolution = {1: nn.Conv1d, 2: nn.Conv2d}[rank]
        norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}[rank]
        pool = {1: nn.MaxPool1d, 2: nn.MaxPool2d}[rank]
        self.blocks = len(channels)
        inputs = 3
        for place, (width, kernel) in enumerate(zip(channels, kernels, strict=True), start=1):
            block = nn.Sequential()
            for number in (1, 2):
                block.add_module(f"conv{number}", convolution(inputs, width, kernel, padding="same"))
                block.add_module(f"norm{number}", norm(width))
                block.add_module(f"relu{number}", nn.ReLU())
                inputs = width
            block.add_module("pool", pool(2) if place < len(channels) else nn.Identity())
            self.add_module(f"block{place}", block)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x):
        for place in range(1, self.blocks + 1):
            x = self.get_submodule(f"block{place}")(x)
        return self.head(x.flatten(2).mean(-1))


def train(model, draw, epochs, steps, record):
    """Adam on batches that `draw` cuts; `record` after each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for epoch in range(1, epochs + 1):
        right = 0
        for _ in range(steps):
            inputs, classes = map(torch.from_numpy, draw())
            answer = model(inputs)
            loss = nn.functional.cross_entropy(answer, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += (answer.argmax(1) == classes).sum().item()
        accuracy = right / (steps * BATCH)
        print(f"  epoch {epoch}/{epochs}: {accuracy:.0%} of the parts found", flush=True)
        record(epoch, accuracy=accuracy)


def places_of(options, name):
    """Where the pictures go."""
    folders = [sinks.Folder(options.out / name)] if options.out else []
    return [sinks.TensorBoard(Path(options.log_dir) / name), *folders]


def patterns(options, jitter=0):
    """Of every block, before training and after it."""
    steps = 2 if options.quick else 30
    return views.Patterns(
        layers="block?.relu2",
        every_n_epochs=options.epochs,
        max_channels=12,
        steps=steps,
        jitter=jitter,
        seed=options.seed,
    )


def look(options, found, random):
    """Photographs."""
    images = np.stack([*found.values()]).astype("float32").transpose(0, 3, 1, 2)
    mean, deviation = images.mean((0, 2, 3), keepdims=True), images.std((0, 2, 3), keepdims=True)
    images = (images - mean) / deviation
    model = Network(2, [12, 16, 24, 32], [3, 3, 3, 3], len(images) * ROWS * COLUMNS)
    middle = images[:4, :, 48:112, 88:152]
    probe = Probe(middle, names=[*found][:4])
    shown = [patterns(options, jitter=2), views.Filters(layers="block1.conv1", every_n_epochs=options.epochs)]
    with attach(model, probe, log_dir=places_of(options, "photographs"), views=shown) as record:
        steps = 1 if options.quick else STEPS
        train(model, lambda: patches(images, BATCH, random), options.epochs, steps, record)


def hear(options, random):
    """Seismograms."""
    from seismograms import events, noises

    found = {name: event.waves for name, event in events().items()} | noises()
    records = [*found.values()]
    model = Network(1, [8, 16, 24], [17, 9, 9], len(records))
    inputs, chosen = windows(records, 4, random)
    probe = Probe(inputs, names=[[*found][record] for record in chosen])
    shown = [patterns(options)]
    with attach(model, probe, log_dir=places_of(options, "seismograms"), views=shown) as record:
        steps = 1 if options.quick else STEPS
        train(model, lambda: windows(records, BATCH, random), options.epochs, steps, record)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="a folder of your own photographs")
    parser.add_argument("--log-dir", default="logs/filter_patterns", help="for TensorBoard")
    parser.add_argument("--out", type=Path, help="a folder for PNG files as well")
    parser.add_argument("--epochs", type=int, default=8, help=f"of {STEPS} steps each")
    parser.add_argument("--seed", type=int, default=0, help="of the patterns' start")
    parser.add_argument("--quick", action="store_true", help="a single step of training")
    options = parser.parse_args()
    options.epochs = 1 if options.quick else options.epochs
    warnings.filterwarnings("ignore", module="obspy")  # what it says of its own test data
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    found = photographs(options.images)
    if not found:
        parser.error(f"--images {options.images}: no photographs there")
    print(f"Photographs: {', '.join(found)}")
    look(options, found, random)
    print("\nSeismograms")
    hear(options, random)
    if options.out:
        print(f"Pictures: {options.out}")
    print(f"tensorboard --logdir {options.log_dir} --samples_per_plugin=images=100")


if __name__ == "__main__":
    main()
