"""A hundred epochs of digits, watched: film, health and best epoch, in Keras and in Lightning.

    python examples/watch_it_learn.py [--framework keras] [--epochs 100] [--out FOLDER] [--log-dir LOGS]

The same small convnet learns scikit-learn's 1797 scanned digits in Keras and in Lightning, with Adam and with
weight decay. The callback keeps everything it read in an HDF5 file; at the end that becomes one page a
framework, which you can send to a colleague: report-keras.html, report-lightning.html.

    tensorboard --logdir LOGS

What to look for. In the film (group "1 film strip"), the filters of conv1 turn from noise into strokes and
edges within some ten epochs and hardly change from then on, while conv2 goes on: the curve below the film is
the distance from the start. In the health sheet, the share of dead channels stays where it is, and the change
from epoch to epoch becomes smaller: training has settled. The best epoch is marked in film and page.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from layerviz_callbacks import Probe, Snapshots, views, write_report
from layerviz_callbacks.demo.digits import load_digits

FRAMEWORKS = ("keras", "lightning")
PROBED = 6  # digits


def seen():
    """What both callbacks draw: films, filters, feature maps, health and what is predicted."""
    digits = [str(digit) for digit in range(10)]
    return [*views.default_views(), views.Predictions(labels=digits)]


def probe_of(digits, *, channels_first):
    """The first held-out digits of each kind, with their names."""
    first = [int(np.flatnonzero(digits.held_out_labels == digit)[0]) for digit in range(PROBED)]
    images = digits.held_out_images[first]
    return Probe(
        images[:, None] if channels_first else images[..., None],
        names=[f"digit {digits.held_out_labels[place]}" for place in first],
        targets=digits.held_out_labels[first],
    )


def watching(log_dir, snapshots):
    """What both callbacks are given beside the probe."""
    return {
        "log_dir": log_dir,
        "views": seen(),
        "monitor": "val_accuracy",
        "snapshots": Snapshots(snapshots, precision="float16"),
    }


def keras_network(digits):
    """Two convolutions, pooling, and two dense layers."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((*digits.train_images.shape[1:], 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(32, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="head"),
        ]
    )


def train_keras(digits, epochs, log_dir, snapshots):
    """Train in Keras; gives back what the callback reports, and its file."""
    import keras

    from layerviz_callbacks.keras import LayerVizCallback

    keras.utils.set_random_seed(0)
    model = keras_network(digits)
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=1e-2)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    pictures = LayerVizCallback(probe_of(digits, channels_first=False), **watching(log_dir, snapshots))
    model.fit(
        digits.train_images[..., None], digits.train_labels, batch_size=32, epochs=epochs, verbose=0,
        validation_data=(digits.held_out_images[..., None], digits.held_out_labels), callbacks=[pictures],
    )  # fmt: skip
    return pictures


def train_lightning(digits, epochs, log_dir, snapshots):
    """Train in Lightning; gives back what the callback reports, and its file."""
    import lightning
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from layerviz_callbacks.lightning import LayerVizCallback

    class Digits(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            height, width = digits.train_images.shape[1:]
            self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
            self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
            self.pool = nn.MaxPool2d(2)
            self.hidden = nn.Linear(32 * (height // 2) * (width // 2), 32)
            self.head = nn.Linear(32, 10)

        def forward(self, x):
            x = self.pool(torch.relu(self.conv2(torch.relu(self.conv1(x)))))
            return self.head(torch.relu(self.hidden(x.flatten(1))))

        def training_step(self, batch, number):
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("loss", loss, on_epoch=True, on_step=False)
            return loss

        def validation_step(self, batch, number):
            self.log("val_accuracy", (self(batch[0]).argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), 1e-3, weight_decay=1e-2)

    lightning.seed_everything(0, verbose=False)
    train, held_out = (
        TensorDataset(torch.from_numpy(images[:, None]), torch.from_numpy(labels))
        for images, labels in [
            (digits.train_images, digits.train_labels), (digits.held_out_images, digits.held_out_labels)
        ]
    )  # fmt: skip
    pictures = LayerVizCallback(probe_of(digits, channels_first=True), **watching(log_dir, snapshots))
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[pictures],
    )  # fmt: skip
    trainer.fit(Digits(), DataLoader(train, 32, shuffle=True), DataLoader(held_out, batch_size=len(held_out)))
    return pictures


def main():
    """Train, report, and make the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--framework", choices=FRAMEWORKS, action="append", help="default: both")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("watch_it_learn"))
    parser.add_argument("--log-dir", type=Path, default=Path("logs/watch_it_learn"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    for framework in given.framework or FRAMEWORKS:
        train = {"keras": train_keras, "lightning": train_lightning}[framework]
        file = given.out / f"{framework}.h5"
        pictures = train(digits, given.epochs, given.log_dir / framework, file)
        print(f"{framework}: {pictures.report()}")
        page = given.out / f"report-{framework}.html"
        write_report(pictures.snapshot_file, page, title=f"Digits in {framework.title()}", overwrite=True)
        print(f"{framework}: {page}, {page.stat().st_size / 1e6:.1f} MB")
    print(f"tensorboard --logdir {given.log_dir}")


if __name__ == "__main__":
    main()
