"""What the callback costs: the demo's trainings with and without it, in turn, in one process.

    python benchmarks/cost.py

Prints for Keras and for Lightning the median seconds of a training without and with the callback, the ratio
pair by pair, and the seconds that one recorded epoch adds.
"""

import logging
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from layerviz_callbacks.demo.digits import load_digits

EPOCHS = 4
ROUNDS = 5


def keras_training(digits):
    """A function (log_dir or None) that trains a fresh convnet and returns the seconds it took."""
    import keras

    from layerviz_callbacks.keras import LayerVizCallback

    def train(log_dir):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
                keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(10),
            ]
        )
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        images, labels = digits.train_images[..., None], digits.train_labels
        model.fit(images, labels, epochs=1, batch_size=32, verbose=0)  # the trace, not counted
        callbacks = (
            [] if log_dir is None else [LayerVizCallback(digits.probe(channel_axis=-1), log_dir=log_dir)]
        )
        began = time.perf_counter()
        model.fit(images, labels, epochs=EPOCHS, batch_size=32, verbose=0, callbacks=callbacks)
        return time.perf_counter() - began

    return train


def lightning_training(digits):
    """The same in Lightning."""
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from layerviz_callbacks.lightning import LayerVizCallback

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Net(LightningModule):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                nn.Flatten(), nn.Linear(32 * 64, 10),
            )  # fmt: skip

        def forward(self, images):
            return self.body(images)

        def training_step(self, batch, batch_idx):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    data = TensorDataset(
        torch.from_numpy(digits.train_images[:, None]), torch.from_numpy(digits.train_labels)
    )

    def train(log_dir):
        torch.manual_seed(0)
        model = Net()
        callbacks = (
            [] if log_dir is None else [LayerVizCallback(digits.probe(channel_axis=1), log_dir=log_dir)]
        )
        trainer = Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False,
            callbacks=callbacks, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        began = time.perf_counter()
        trainer.fit(model, DataLoader(data, batch_size=32, shuffle=True))
        return time.perf_counter() - began

    return train


def main():
    logging.getLogger("layerviz_callbacks").setLevel(logging.ERROR)
    digits = load_digits()
    print(
        f"{EPOCHS} epochs of {len(digits.train_labels)} digits, default views, each epoch; "
        f"{ROUNDS} rounds in turn"
    )
    print(f"{'':10} {'off':>8} {'on':>8} {'on/off':>8} {'a recorded epoch':>18}")
    for name, make in (("keras", keras_training), ("lightning", lightning_training)):
        train = make(digits)
        train(None)
        pairs = []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                pairs.append((train(None), train(Path(folder))))
        off, on = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(with_it / without for without, with_it in pairs)
        each = statistics.median((with_it - without) / (EPOCHS + 1) for without, with_it in pairs)
        print(f"{name:10} {off:7.2f}s {on:7.2f}s {ratio:8.2f} {each * 1000:15.0f} ms")


if __name__ == "__main__":
    main()
