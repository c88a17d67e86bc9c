"""A class project: does a small convnet see whether a galaxy is round or elongated?

    python examples/galaxies.py [--epochs 40] [--image FILE] [--out FOLDER] [--log-dir LOGS]

The image is the Hubble Deep Field (NASA, ESA; it comes with scikit-image), or one of your own. Its sources
are found by a threshold above the sky, and the class of each is measured, not learnt: the ratio of the axes
of the ellipse with the same second moments. Round is above 0.75, elongated below 0.6; what lies between is
left out. A third class are places of empty sky. The network is shown cut-outs of 32 x 32 pixels from the left
part of the image, turned and mirrored at random, and judged on cut-outs from the right part.

Keras' ModelCheckpoint keeps the best weights, and LayerVizCallback with the same `monitor=` keeps the best
epoch: its pictures, and in galaxies.h5 everything that was read. Both speak of the same epoch; that is
checked at the end, weight by weight. Then the pictures of the best epoch are drawn from the file, without the
model, and the whole training becomes one page, galaxies.html.

What to look for: conv1 becomes blobs and edges within a few epochs (see the film); Grad-CAM of elongated
galaxies lies along the galaxy, that of empty sky is nowhere in particular.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from skimage import data, filters, io, measure

from layerviz_callbacks import Probe, SnapshotFile, sinks, views, write_report
from layerviz_callbacks.keras import LayerVizCallback

CLASSES = ["empty sky", "round galaxy", "elongated galaxy"]
ROUND, ELONGATED = 0.75, 0.6  # ratio of the axes
SIDE = 32  # of a cut-out, in pixels
ABOVE_SKY = 5  # a source is so many standard deviations of the sky above it
VALIDATED = 0.65  # what lies to the right of this share of the width is for validation


def image_of(path):
    """(height, width, RGB), from 0 to 1."""
    pixels = data.hubble_deep_field() if path is None else io.imread(path)
    pixels = np.asarray(pixels, np.float32)[..., :3]
    return pixels / (255 if pixels.max() > 1 else 1)


def sources(image):
    """The middle (row, column) of each round or elongated source, its class, and where there is light."""
    light = filters.gaussian(image.mean(axis=-1), 1.0)
    sky = np.median(light)
    noise = 1.4826 * np.median(np.abs(light - sky))
    bright = light > sky + ABOVE_SKY * noise
    middles, classes = [], []
    for source in measure.regionprops(measure.label(bright)):
        ratio = source.axis_minor_length / max(source.axis_major_length, 1e-9)
        fits = source.area >= 25 and source.axis_major_length < 0.8 * SIDE
        if fits and (ratio > ROUND or ratio < ELONGATED):
            middles.append(source.centroid)
            classes.append(1 if ratio > ROUND else 2)
    return np.array(middles), np.array(classes), bright


def empty_places(bright, count, random):
    """The middles of so many places without any light within a quarter of a cut-out."""
    reach = SIDE // 4
    places = []
    while len(places) < count:
        row, column = random.integers(SIDE // 2, np.array(bright.shape) - SIDE // 2)
        if not bright[row - reach : row + reach, column - reach : column + reach].any():
            places.append((row, column))
    return np.array(places, float)


def cut_outs(image, middles):
    """(cut-out, SIDE, SIDE, RGB), and which of the middles are not too near to the edge."""
    corners = np.rint(middles).astype(int) - SIDE // 2
    inside = (corners >= 0).all(axis=1) & (corners + SIDE <= image.shape[:2]).all(axis=1)
    parts = [image[row : row + SIDE, column : column + SIDE] for row, column in corners[inside]]
    return np.stack(parts), inside


def turned(parts, classes, random):
    """All eight ways to turn and mirror each cut-out, in a random order: the class stays the same."""
    turns = [np.rot90(parts, turn, axes=(1, 2)) for turn in range(4)]
    every = np.concatenate([*turns, *(part[:, :, ::-1] for part in turns)])
    order = random.permutation(len(every))
    return np.ascontiguousarray(every[order]), np.tile(classes, 8)[order]


def network():
    """Three convolutions, the mean over space, and one dense layer."""
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Rescaling(4.0, offset=-0.5, name="rescale"),
            keras.layers.Conv2D(16, 5, padding="same", activation="relu", name="conv1"),
            keras.layers.MaxPooling2D(name="pool1"),
            keras.layers.Conv2D(24, 3, padding="same", activation="relu", name="conv2"),
            keras.layers.MaxPooling2D(name="pool2"),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu", name="conv3"),
            keras.layers.GlobalAveragePooling2D(name="mean"),
            keras.layers.Dropout(0.3, name="dropout"),
            keras.layers.Dense(len(CLASSES), activation="softmax", name="head"),
        ],
        name="galaxies",
    )


def main():
    """Find the galaxies, train, and look at the best epoch."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--image", type=Path, help="an RGB image of the sky instead of the Hubble Deep Field")
    parser.add_argument("--out", type=Path, default=Path("galaxies"))
    parser.add_argument("--log-dir", type=Path, default=Path("logs/galaxies"))
    parser.add_argument("--quick", action="store_true", help="few epochs, to try it out")
    given = parser.parse_args()
    epochs = 4 if given.quick else given.epochs
    given.out.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    image = image_of(given.image)
    middles, classes, bright = sources(image)
    empty = empty_places(bright, len(classes) // 2, random)
    middles, classes = np.concatenate([middles, empty]), np.concatenate([classes, np.zeros(len(empty), int)])
    parts, inside = cut_outs(image, middles)
    middles, classes = middles[inside], classes[inside]
    right = middles[:, 1] - SIDE / 2 > VALIDATED * image.shape[1]
    left = middles[:, 1] + SIDE / 2 < VALIDATED * image.shape[1]  # no pixel is in both
    x, y = turned(parts[left], classes[left], random)
    x_val, y_val = parts[right], classes[right]
    counts = ", ".join(
        f"{np.sum(classes[left | right] == number)} {name}" for number, name in enumerate(CLASSES)
    )
    print(f"{counts}; {left.sum()} to learn from (8 ways round each), {right.sum()} to validate on")

    shown = np.concatenate([np.flatnonzero(y_val == number)[:2] for number in (1, 2, 0)])
    names = [f"{CLASSES[y_val[place]]} {count % 2 + 1}" for count, place in enumerate(shown)]
    probe = Probe(x_val[shown], names=names, targets=y_val[shown])
    pictures = LayerVizCallback(
        probe,
        log_dir=[given.log_dir, sinks.Folder(given.out / "pictures")],
        views=[
            *views.default_views(),
            views.GradCAM(labels=CLASSES, max_samples=6),
            views.Predictions(labels=CLASSES, max_samples=6),
        ],
        monitor="val_accuracy",
        snapshots=given.out / "galaxies.h5",
    )
    best_weights = given.out / "best.weights.h5"
    checkpoint = keras.callbacks.ModelCheckpoint(
        best_weights, monitor="val_accuracy", mode="max", save_best_only=True, save_weights_only=True
    )
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        x, y, batch_size=64, epochs=epochs, validation_data=(x_val, y_val), verbose=2,
        callbacks=[checkpoint, pictures],
    )  # fmt: skip
    print(pictures.report())

    model.load_weights(best_weights)
    with SnapshotFile(pictures.snapshot_file) as file:
        best = file[file.best_step]
        print(f"best epoch: {file.best_step} of {epochs}, val_accuracy {best.metrics['val_accuracy']:.3f}")
        for layer in ("conv1", "conv2", "conv3"):
            kernel = model.get_layer(layer).kernel.numpy().transpose(3, 2, 0, 1)
            taken = best[layer].kernel_taken
            same = np.array_equal(
                best[layer].kernel, kernel if taken is None else kernel[list(taken.channels)]
            )
            print(f"{layer} of ModelCheckpoint's best weights is that of the best step: {same}")
        for view in (views.Filters(), views.FeatureMaps(), views.Predictions(labels=CLASSES, max_samples=6)):
            for picture in view.draw(best):
                picture.save(given.out / f"best {picture.tag.replace('/', ' ')}.png")
    page = given.out / "galaxies.html"
    title = "Galaxies of the Hubble Deep Field"
    write_report(pictures.snapshot_file, page, title=title, overwrite=True)
    print(f"pictures of the best epoch: {given.out}; the whole training on one page: {page}")
    print(f"tensorboard --logdir {given.log_dir}")


if __name__ == "__main__":
    main()
