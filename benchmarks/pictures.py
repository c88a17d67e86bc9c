"""What the pictures of one epoch cost, against what people paste from tutorials.

    python benchmarks/pictures.py [--quick]

The job: 13 convolutions as in VGG16, 64 channels each, four photos of 64 x 64: 13 pictures of the kernels
and 52 of the feature maps, of all 64 channels. Everyone is given the same full float arrays in memory (no
model runs). This package draws them as 26 sheets 700 pixels wide: a sheet holds the four photos, enlarged,
with names, ranges and colour bars. Further rows: from what a reader hands over in a training (channels,
means of pixels and ranges are found on the device), and as 65 sheets, one a photo. The others draw 65 plain
pictures of 8 x 8 tiles, a pixel a value. Each writes them where TensorBoard finds them; the floor is a copy
of the arrays and of the finished sheets' pixels, the same deflate, and a write.

CPU time of the whole process and time passed, medians over rounds in which all take turns. Those that take
seconds do a part of the 65 pictures, spread over all layers, and are scaled up; the last column says so.
Needs TensorFlow and Keras, PyTorch and matplotlib; who is not installed is left out.
"""

import argparse
import importlib.util
import itertools
import logging
import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
from rounds import machine, print_goals, print_table, take_turns
from snapshots import VGG_REDUCTIONS, as_read, draw_all, vgg

from layerviz_callbacks import Probe, Snapshot, views
from layerviz_callbacks.render import png
from layerviz_callbacks.sinks import TensorBoard

CHANNELS, SAMPLES, PIXELS, TILES = 64, 4, 64, 8
OURS, OURS_ZLIB = "layerviz_callbacks, 26 sheets", "layerviz_callbacks, 26 sheets, without isal"
FLOOR, FLOOR_ZLIB = "floor: copy, deflate (isal), write", "floor: copy, deflate (zlib), write"
TILING = "vectorised tiling (NumPy) + add_image"
MAKE_GRID = "make_grid (torch) + viridis + add_image"
TF_IMAGE = "vectorised tiling (NumPy) + tf.summary.image"
DOUBLE_LOOP, SUBPLOTS = "double loop + imshow + add_figure", "a subplot a channel + add_figure"
DOUBLE_LOOP_FILE = "double loop + imshow, to a PNG file only"


def installed(*packages):
    """Whether all of them are."""
    return all(importlib.util.find_spec(package) for package in packages)


def groups_of(snapshot):
    """The 65 pictures as (tag, maps): kernels averaged over inputs, then each photo's maps, layer by layer.

    Maps are `(channel, height, width)`, float32; views, not copies, of what was read.
    """
    for layer in snapshot:
        yield f"{layer.name}/filters", layer.kernel.mean(axis=1)
        for sample, output in enumerate(layer.output):
            yield f"{layer.name}/photo {sample + 1}", np.moveaxis(output, -1, 0)


class Ours:
    """Default views with 64 channels, into an event file."""

    def __init__(self, snapshots, folder):
        self.snapshots, self.sink = snapshots, TensorBoard(folder)
        self.views = [views.Filters(), views.FeatureMaps(max_channels=CHANNELS)]
        self.sink.open(first_step=0)

    def __call__(self):
        first = True
        for snapshot in self.snapshots:
            due = self.views if first else self.views[1:]
            self.sink.write(draw_all(snapshot, due), 3)
            first = False
        self.sink.flush()


def photo_by_photo(snapshot):
    """The same in snapshots of one photo each."""
    for sample in range(SAMPLES):
        one = slice(sample, sample + 1)
        layers = {
            layer.name: replace(layer, output=layer.output[one], output_shape=(1, *layer.output_shape[1:]))
            for layer in snapshot
        }
        inputs = snapshot.inputs["input"][one]
        yield Snapshot(layers, Probe(inputs), {"input": inputs}, step=3, when=snapshot.when)


def floor(snapshot, folder, deflate):
    """Copy the arrays and the finished pixels, deflate, write."""
    pixels = [picture.pixels for picture in draw_all(snapshot, Ours([], folder / "unused").views)]
    path = folder / "floor"

    def work():
        arrays = [array.copy() for layer in snapshot for array in (layer.kernel, layer.output)]
        with path.open("wb") as file:
            for sheet in pixels:
                file.write(deflate(sheet.copy(), png.zlib.Z_RLE))
        return arrays

    return work


def tiled(maps):
    """8 x 8 tiles from the smallest value to the largest, in NumPy without a loop: uint8."""
    low, high = maps.min(), maps.max()
    levels = ((maps - low) * (255 / (high - low))).astype(np.uint8)
    _, height, width = levels.shape
    cells = np.zeros((TILES, TILES, height + 2, width + 2), np.uint8)
    cells[..., :height, :width] = levels.reshape(TILES, TILES, height, width)
    return cells.swapaxes(1, 2).reshape(TILES * (height + 2), TILES * (width + 2))


def add_image(snapshot, folder):
    """PyTorch's writer with the NumPy tiling."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def work():
        for tag, maps in groups_of(snapshot):
            writer.add_image(tag, tiled(maps), 3, dataformats="HW")
        writer.flush()

    return work


def make_grid(snapshot, folder):
    """What torchvision's make_grid does (normalise, pad, tile), then viridis, in torch operations."""
    import torch
    from matplotlib import colormaps
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    colours = torch.from_numpy(colormaps["viridis"](np.arange(256))[:, :3].astype(np.float32))

    def work():
        for tag, maps in groups_of(snapshot):
            tensor = torch.from_numpy(np.ascontiguousarray(maps))
            low, high = tensor.min(), tensor.max()
            padded = torch.nn.functional.pad((tensor - low) / (high - low + 1e-5), (2, 2, 2, 2))
            _, height, width = padded.shape
            grid = padded.reshape(TILES, TILES, height, width).permute(0, 2, 1, 3)
            grid = grid.reshape(TILES * height, TILES * width)
            writer.add_image(tag, colours[(grid * 255).long()], 3, dataformats="HWC")
        writer.flush()

    return work


def tf_summary_image(snapshot, folder):
    """TensorFlow's compiled writer and PNG with the NumPy tiling."""
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder))

    def work():
        with writer.as_default():
            for tag, maps in groups_of(snapshot):
                tf.summary.image(tag, tiled(maps)[None, ..., None], step=3)
        writer.flush()

    return work


def double_loop(snapshot, keep, part):
    """The recipe of "Deep Learning with Python": a loop over rows and columns, then matplotlib's imshow."""
    from matplotlib import pyplot

    def work():
        for tag, maps in itertools.islice(groups_of(snapshot), 0, None, part):
            _, height, width = maps.shape
            columns, rows = 16, len(maps) // 16
            grid = np.zeros((height * rows, width * columns))
            for row in range(rows):
                for column in range(columns):
                    image = maps[row * columns + column].copy()
                    image -= image.mean()
                    image /= image.std() + 1e-5
                    image = np.clip(image * 64 + 128, 0, 255).astype(np.uint8)
                    grid[row * height : (row + 1) * height, column * width : (column + 1) * width] = image
            figure = pyplot.figure(figsize=(columns, rows))
            pyplot.title(tag)
            pyplot.grid(False)
            pyplot.imshow(grid, aspect="auto", cmap="viridis")
            keep(tag, figure)
            pyplot.close(figure)

    return work


def subplots(snapshot, keep, part):
    """matplotlib: 64 axes, an imshow each."""
    from matplotlib import pyplot

    def work():
        for tag, maps in itertools.islice(groups_of(snapshot), 0, None, part):
            figure, axes = pyplot.subplots(TILES, TILES, figsize=(7, 7))
            for axis, image in zip(axes.flat, maps, strict=True):
                axis.imshow(image, cmap="viridis")
                axis.axis("off")
            keep(tag, figure)
            pyplot.close(figure)

    return work


def to_tensorboard(folder):
    """A figure into an event file, by PyTorch's writer."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    return lambda tag, figure: writer.add_figure(tag, figure, 3, close=False)


def to_file(folder):
    """A figure as a PNG on disk, where TensorBoard does not find it."""
    return lambda tag, figure: figure.savefig(folder / "figure.png")


def keras_callbacks(folder):
    """Keras' own callback, and ours with kernels only and with everything, at an epoch's end."""
    import keras

    from layerviz_callbacks.keras import LayerVizCallback

    images = vgg(samples=SAMPLES, channels=1, pixels=PIXELS).inputs["input"].astype(np.float32) / 255
    answer = inputs = keras.Input(images.shape[1:])
    for before, now in zip([1, *VGG_REDUCTIONS], VGG_REDUCTIONS, strict=False):
        answer = keras.layers.MaxPooling2D()(answer) if now > before else answer
        answer = keras.layers.Conv2D(CHANNELS, 3, padding="same", activation="relu")(answer)
    model = keras.Model(inputs, answer)
    model.compile("sgd", "mse")
    theirs = keras.callbacks.TensorBoard(str(folder / "keras"), write_images=True, histogram_freq=1)
    kernels = LayerVizCallback(
        images, log_dir=folder / "kernels", views=[views.Filters()], worker=None, budget=None
    )
    everything = LayerVizCallback(images, log_dir=folder / "everything", worker=None, budget=None)
    epochs = itertools.count()

    def end_of_epoch(callback):
        callback.on_epoch_end(next(epochs), {})

    for callback in (theirs, kernels, everything):
        callback.set_model(model)
        callback.set_params({"epochs": 10**6, "steps": 1})
        callback.on_train_begin()
    return {
        "Keras' TensorBoard(write_images=True, histogram_freq=1)": partial(end_of_epoch, theirs),
        "LayerVizCallback(views=[Filters()])": partial(end_of_epoch, kernels),
        "LayerVizCallback(): kernels, forward pass, feature maps": partial(end_of_epoch, everything),
    }


def contestants(snapshot, folder, parts):
    """Name -> the work, and name -> how much of it is done."""
    ours = Ours([snapshot], folder / "ours")

    def without_isal():
        with mock.patch.object(png, "deflater", lambda: png.deflate):
            ours()

    found, shares = {OURS: ours}, {}
    if installed("isal"):
        found[FLOOR] = floor(snapshot, folder, png.deflater())
        found[OURS_ZLIB] = without_isal
    found[FLOOR_ZLIB] = floor(snapshot, folder, png.deflate)
    read = as_read(snapshot, ours.views)
    found["layerviz_callbacks, 26 sheets of what a reader hands over"] = Ours([read], folder / "read")
    found["layerviz_callbacks, 65 sheets: one a photo"] = Ours(
        list(photo_by_photo(snapshot)), folder / "photos"
    )
    if installed("tensorflow"):
        found[TF_IMAGE] = tf_summary_image(snapshot, folder / "tf")
    if installed("torch"):
        found[TILING] = add_image(snapshot, folder / "torch")
    if installed("torch", "matplotlib"):
        found[MAKE_GRID] = make_grid(snapshot, folder / "grid")
        keep = to_tensorboard(folder / "figures")
        found[DOUBLE_LOOP] = double_loop(snapshot, keep, parts[0])
        found[DOUBLE_LOOP_FILE] = double_loop(snapshot, to_file(folder), parts[0])
        found[SUBPLOTS] = subplots(snapshot, keep, parts[1])
        slow = ((DOUBLE_LOOP, parts[0]), (DOUBLE_LOOP_FILE, parts[0]), (SUBPLOTS, parts[1]))
        for name, part in slow:
            shares[name] = len(range(0, 65, part)) / 65
    return found, shares


def goals_of(costs):
    """What was aimed at, as far as it was measured."""
    own = costs[OURS].cpu
    for name, wanted in ((TILING, 25), (DOUBLE_LOOP, 250), (SUBPLOTS, 1700)):
        if name in costs:
            yield f"CPU of {name} / ours", costs[name].cpu / own, wanted, True
    pairs = ((OURS, FLOOR), (OURS_ZLIB, FLOOR_ZLIB)) if FLOOR in costs else ((OURS, FLOOR_ZLIB),)
    for ours, least in pairs:
        yield f"CPU of ours / {least}", costs[ours].cpu / costs[least].cpu, 2.5, False


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, and a smaller part of the slow ones")
    quick = parser.parse_args().quick
    logging.disable(logging.WARNING)
    rounds, parts = (1, (33, 64)) if quick else (7, (7, 13))
    snapshot = vgg(samples=SAMPLES, channels=CHANNELS, pixels=PIXELS)
    deflate = "isal" if png.deflater() is not png.deflate else "zlib (isal is not installed)"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{machine()}; deflate: {deflate}; medians of {rounds} rounds\n")
        work, shares = contestants(snapshot, folder, parts)
        costs = take_turns(work, rounds, shares=shares)
        notes = {name: f"{share * 65:.0f} of 65 pictures, scaled up" for name, share in shares.items()}
        print_table("65 pictures", costs, OURS, notes)
        goals = list(goals_of(costs))
        if installed("keras", "tensorflow"):
            print()
            keras_costs = take_turns(keras_callbacks(folder), rounds)
            theirs, kernels, _ = keras_costs
            print_table("an epoch's end in Keras, the same network", keras_costs, kernels)
            ratio = keras_costs[theirs].cpu / keras_costs[kernels].cpu
            goals.append(("CPU of Keras' callback / ours with kernels", ratio, 5, True))
            print(
                "Keras' callback draws of these convolutions the 13 biases, and a histogram of each of the "
                "26 weights;\nours the 13 kernels, or with everything the feature maps of four photos too."
            )
    print()
    print_goals(goals)
    print(f"\nload at the end: {machine()}")


if __name__ == "__main__":
    main()
