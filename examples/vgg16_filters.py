"""What every block of VGG16 sees in photographs: filters and feature maps.

    python examples/vgg16_filters.py [--images FOLDER] [--out PICTURES] [--log-dir LOGS]

Takes keras.applications.VGG16 with its ImageNet weights where they can be downloaded. Where they cannot, the
network begins with details of the photographs as the filters of its first block and random ones above, and
learns for a minute to say from which part of which photograph a small patch comes. The photographs are
scikit-learn's two, a temple and a flower; your own come with --images.

What to look for: the tiles of "filters/02_vgg16.block1_conv1" are edges and opposite colours (VGG16 takes
blue, green, red, so that red and blue change places in them), and their maps still show every roof tile.
From block to block the maps grow coarse and sparse: channels of block 3 tell the sky from the temple or
light up at the heart of the flower alone, those of block 5 cover a whole region. Above block 1 the filters
look like noise: each is the mean over 64 and more inputs, and a minute of training changes them little.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from keras.applications import vgg16
from PIL import Image

from layerviz_callbacks import Probe, sinks
from layerviz_callbacks.keras import LayerVizCallback

SIZE, PATCH, BATCH = (240, 160), 32, 16  # width and height of a photograph; side of a patch, in pixels
ROWS, COLUMNS = 2, 3  # the parts that a photograph is divided into
LAYERS = ["*/block?_conv1", "*/block[12]_conv2", "*/block[345]_conv3", "*/block?_pool"]


def photographs(folder):
    """Name -> (height, width, RGB), unsigned 8-bit, all of one size."""
    if folder is None:
        from sklearn.datasets import load_sample_images

        found = load_sample_images()
        images = {
            Path(name).stem: Image.fromarray(image)
            for name, image in zip(found.filenames, found.images, strict=True)
        }
    else:
        kinds = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"}
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds)
        images = {path.stem: Image.open(path).convert("RGB") for path in files[:12]}
    return {name: np.asarray(image.resize(SIZE)) for name, image in images.items()}


def patches(images, count, random):
    """Random patches, mirrored or not, and the number of the part they come from."""
    height, width = SIZE[1] // ROWS, SIZE[0] // COLUMNS
    parts = random.integers(len(images) * ROWS * COLUMNS, size=count)
    cut = []
    for part in parts:
        image, row, column = np.unravel_index(part, (len(images), ROWS, COLUMNS))
        top = row * height + random.integers(height - PATCH + 1)
        left = column * width + random.integers(width - PATCH + 1)
        cut.append(images[image][top : top + PATCH, left : left + PATCH, :: random.choice([-1, 1])[()]])
    return vgg16.preprocess_input(np.stack(cut).astype("float32")), parts


def details(maps, shape, random):
    """Kernels (row, column, in, out) of zero mean: details of the maps, rather those of high contrast."""
    rows, columns, inputs, outputs = shape
    found = keras.ops.image.extract_patches(maps, (rows, columns), strides=1, padding="valid")
    found = keras.ops.convert_to_numpy(found).reshape(-1, rows, columns, inputs)
    found = found - found.mean(axis=(1, 2, 3), keepdims=True)
    contrast, edges = found.std(axis=(1, 2, 3)), found.std(axis=(1, 2)).mean(axis=1)
    chosen = random.choice(len(found), outputs, replace=False, p=edges / edges.sum())
    return np.moveaxis(found[chosen] / contrast[chosen, None, None, None], 0, -1)


def backbone(samples, random):
    """VGG16 without its head, and whether it is pretrained; else each layer answers with unit power."""
    try:
        return vgg16.VGG16(include_top=False), True
    except Exception as error:  # what Keras raises where a download fails
        if "URL fetch failure" not in str(error):
            raise
    print("ImageNet weights cannot be downloaded: beginning with random filters")
    model = vgg16.VGG16(include_top=False, weights=None)
    answer = samples
    for layer in model.layers[1:]:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = random.normal(size=layer.kernel.shape)
            if layer.name.startswith("block1"):
                kernel = details(answer, kernel.shape, random)
            layer.kernel.assign(kernel)
            gain = keras.ops.sqrt(keras.ops.mean(keras.ops.square(layer(answer))))
            layer.kernel.assign(
                layer.kernel / gain
            )  # answers of unit power, so that the next layer learns too
        answer = layer(answer)
    return model, False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="a folder of your own photographs")
    parser.add_argument("--log-dir", default="logs/vgg16_filters", help="for TensorBoard")
    parser.add_argument("--out", type=Path, help="a folder for PNG files as well")
    parser.add_argument("--epochs", type=int, default=3, help="of 20 steps each")
    parser.add_argument("--quick", action="store_true", help="two training steps only")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    found = photographs(options.images)
    if not found:
        parser.error(f"--images {options.images}: no photographs there")
    images = np.stack([*found.values()])
    steps, epochs = (1, 1) if options.quick else (20, options.epochs)
    inputs, parts = patches(images, steps * BATCH, random)
    body, pretrained = backbone(inputs[:32], random)
    body.trainable = not pretrained
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            body,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(images) * ROWS * COLUMNS),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss, metrics=["accuracy"], jit_compile=not options.quick)
    shown = images[:4]
    probe = Probe(vgg16.preprocess_input(shown.astype("float32")), names=[*found][:4], display=shown)
    places = [sinks.TensorBoard(options.log_dir), *([sinks.Folder(options.out)] if options.out else [])]
    pictures = LayerVizCallback(probe, log_dir=places, layers=LAYERS)
    model.fit(inputs, parts, batch_size=BATCH, epochs=epochs, verbose=2, callbacks=[pictures])
    print(f"\nPictures: {', '.join(place.location for place in places)}")
    print(f"tensorboard --logdir {options.log_dir} --samples_per_plugin=images=100")


if __name__ == "__main__":
    main()
