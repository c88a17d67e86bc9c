"""What each view costs, against one epoch of the demo's training.

    python benchmarks/views.py [--framework keras|torch] [--rounds 5]

For the demo's convnet on 1437 scanned digits, four of them shown: the seconds of one epoch, and for each view
alone the milliseconds of reading what it needs (in the training's thread) and of drawing it (beside the
training), both together against one epoch, how often the view is drawn where nothing is said, and what that
makes a training longer by if nothing ran beside it. A small transformer on the same digits stands in for the
convnet where a view needs attention. Medians over rounds in which all views take turns.
"""

import argparse
import logging
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rounds import machine

from layerviz_callbacks import Probe, views
from layerviz_callbacks.demo.digits import SHOWN_DIGITS, load_digits
from layerviz_callbacks.explaining.explain import explained
from layerviz_callbacks.plan import plan_of, request_of
from layerviz_callbacks.request import Request


def keras_models(digits):
    """The convnet and a small transformer of patches, each with a function that trains an epoch."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    convnet = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(10, name="head"),
        ]
    )
    pixels = keras.Input((8, 8, 1))
    tokens = layers.Reshape((16, 32))(layers.Conv2D(32, 2, strides=2, name="patches")(pixels))
    for block in range(2):
        tokens = layers.LayerNormalization()(
            tokens + layers.MultiHeadAttention(4, 8, name=f"attention_{block}")(tokens, tokens)
        )
    transformer = keras.Model(pixels, layers.Dense(10)(layers.GlobalAveragePooling1D()(tokens)))
    images, labels = digits.train_images[..., None], digits.train_labels

    def trained(model):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        return model, lambda: model.fit(images, labels, batch_size=32, verbose=0)

    return trained(convnet), trained(transformer)


def torch_models(digits):
    """The same in PyTorch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    convnet = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(1, 32, 2, stride=2)
            block = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
            self.blocks = nn.TransformerEncoder(block, 2)
            self.head = nn.Linear(32, 10)

        def forward(self, pixels):
            return self.head(self.blocks(self.patches(pixels).flatten(2).transpose(1, 2)).mean(1))

    images, labels = torch.from_numpy(digits.train_images[:, None]), torch.from_numpy(digits.train_labels)

    def trained(model):
        optimizer = torch.optim.Adam(model.parameters())

        def epoch():
            model.train()
            order = torch.randperm(len(labels))
            for places in order.split(32):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images[places]), labels[places]).backward()
                optimizer.step()

        return model, epoch

    return trained(convnet), trained(Transformer())


def reader_of(model, probe):
    """The package's reader for the model."""
    if hasattr(model, "_flatten_layers"):
        from layerviz_callbacks.keras.reader import KerasReader as Reader
    else:
        from layerviz_callbacks.torch.reader import TorchReader as Reader
    return Reader(model, probe)


def shown_views():
    """Every view with its own settings; those of gradients in each of their methods."""
    return {
        "Filters": views.Filters(),
        "FeatureMaps": views.FeatureMaps(),
        "Attention": views.Attention(),
        "Composite": views.Composite(),
        "Predictions": views.Predictions(),
        "GradCAM": views.GradCAM(),
        "GradCAM layercam": views.GradCAM(method="layercam"),
        "Saliency gradient": views.Saliency(),
        "Saliency smoothgrad": views.Saliency(method="smoothgrad"),
        "Saliency integrated": views.Saliency(method="integrated gradients"),
        "Patterns": views.Patterns(),
    }


def recorded(reader, view, shapes, entries):
    """The seconds of reading for a view, and of drawing it."""
    (planned,) = plan_of([view], None, entries)
    request = request_of([planned], shapes)
    began = time.perf_counter()
    snapshot = explained(reader, reader.read(request), request)
    read = time.perf_counter() - began
    began = time.perf_counter()
    for picture in view.draw(snapshot.choose(planned.names)):
        picture.png()
    return read, time.perf_counter() - began


def measure(framework, rounds, wanted):
    """Print one framework's table."""
    digits = load_digits()
    channel_axis = -1 if framework == "keras" else 1
    samples = digits.probe(channel_axis=channel_axis)
    probe = Probe(samples.inputs, names=samples.names, targets=list(SHOWN_DIGITS))
    models = (keras_models if framework == "keras" else torch_models)(digits)
    measured = []
    for model, epoch in models:
        epoch()
        reader = reader_of(model, probe)
        shapes = reader.read(Request(model_outputs=True))
        measured.append((reader, shapes, reader.entries(), epoch))
    times = {name: [] for name in ["epoch", *wanted]}
    for counted in [False] + [True] * rounds:
        for name, view in [("epoch", None), *wanted.items()]:
            reader, shapes, entries, epoch = measured[name == "Attention"]
            if view is None:
                began = time.perf_counter()
                epoch()
                taken = (time.perf_counter() - began, 0.0)
            else:
                taken = recorded(reader, view, shapes, entries)
            if counted:
                times[name].append(taken)
    (own, _), *_ = [[statistics.median(column) for column in zip(*times["epoch"], strict=True)]]
    print(f"{framework}: one epoch takes {own:.3f} s")
    print(f"{'view':22}{'read ms':>9}{'draw ms':>9}{'both/epoch':>12}{'every':>7}{'mean':>8}")
    for name, view in wanted.items():
        read, drawn = (statistics.median(column) for column in zip(*times[name], strict=True))
        every = view.every_n_epochs or 1
        share = (read + drawn) / own
        print(
            f"{name:22}{1000 * read:9.1f}{1000 * drawn:9.1f}{share:12.2f}{every:7d}{share / every:8.3f}",
            flush=True,
        )
    print()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--framework", choices=["keras", "torch"], action="append", help="default: both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of three views")
    options = parser.parse_args()
    logging.getLogger("layerviz_callbacks").setLevel(logging.ERROR)
    print(machine())
    wanted = shown_views()
    if options.quick:
        wanted = {name: wanted[name] for name in ("Filters", "Attention", "GradCAM")}
    for framework in options.framework or ["keras", "torch"]:
        measure(framework, 1 if options.quick else options.rounds, wanted)


if __name__ == "__main__":
    main()
