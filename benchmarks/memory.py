"""What capture takes: the bytes that are copied, and what a run of 200 epochs leaves behind.

    python benchmarks/memory.py [--epochs 1000]

The first table: kernels and outputs of one recorded step of ResNet50 and VGG16 (Keras, 224 x 224 pixels, four
samples, default views), copied whole and cut on the device to what is drawn. The second: fresh processes that
train a small network with convolutions and an LSTM layer for 200 epochs (or --epochs), without the callback
and with it recording each epoch: resident memory, threads, open files and live TensorFlow graphs early, at
half time and at the end, and how much more memory grew meanwhile than without. Linux (reads /proc).
"""

import argparse
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

LENGTH, SAMPLES, BATCH = 64, 128, 32  # of the training


def usage(framework):
    """Resident MB, threads, open files, live TensorFlow graphs of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    graphs = None
    if framework == "keras":
        import tensorflow as tf

        graphs = sum(isinstance(one, tf.Graph) for one in gc.get_objects())
    files = len(list(Path("/proc/self/fd").iterdir())) - 1
    return [round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1), threading.active_count(), files, graphs]


def data():
    """Random waves (sample, time, component) and labels."""
    random = np.random.default_rng(0)
    return random.normal(size=(SAMPLES, LENGTH, 3)).astype("float32"), random.integers(0, 2, SAMPLES)


def keras_run(epochs, marks, log_dir):
    """Train in Keras; usage at each marked epoch."""
    import keras

    from layerviz_callbacks.keras import LayerVizCallback

    found = {}

    class Meter(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch + 1 in marks:
                found[epoch + 1] = usage("keras")

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((LENGTH, 3)),
            keras.layers.Conv1D(16, 7, padding="same", activation="relu"),
            keras.layers.MaxPooling1D(4),
            keras.layers.LSTM(16),
            keras.layers.Dense(2),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    waves, labels = data()
    callbacks = [Meter()] if log_dir is None else [LayerVizCallback(waves[:4], log_dir=log_dir), Meter()]
    model.fit(waves, labels, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=callbacks)
    return found


def lightning_run(epochs, marks, log_dir):
    """The same in Lightning."""
    import torch
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from layerviz_callbacks.lightning import LayerVizCallback

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    found = {}

    class Meter(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch + 1 in marks:
                found[trainer.current_epoch + 1] = usage("lightning")

    class Net(LightningModule):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv1d(3, 16, 7, padding=3), nn.ReLU(), nn.MaxPool1d(4))
            self.lstm, self.head = nn.LSTM(16, 16, batch_first=True), nn.Linear(16, 2)

        def forward(self, waves):
            return self.head(self.lstm(self.body(waves).transpose(1, 2))[0][:, -1])

        def training_step(self, batch, batch_idx):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    torch.manual_seed(0)
    waves, labels = data()
    tensors = TensorDataset(torch.from_numpy(np.moveaxis(waves, 2, 1).copy()), torch.from_numpy(labels))
    pictures = [] if log_dir is None else [LayerVizCallback(tensors.tensors[0][:4], log_dir=log_dir)]
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[*pictures, Meter()],
    )  # fmt: skip
    trainer.fit(Net(), DataLoader(tensors, batch_size=BATCH, shuffle=True))
    return found


def fresh_run(framework, epochs, marks, recorded):
    """A training in a process of its own: epoch -> usage."""
    with tempfile.TemporaryDirectory() as folder:
        log_dir = folder if recorded else ""
        command = [sys.executable, __file__, "--run", framework, str(epochs), json.dumps(marks), log_dir]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{framework}: {done.stderr[-2000:]}")
    return {int(epoch): values for epoch, values in json.loads(done.stdout.splitlines()[-1]).items()}


def copied_table(names, side):
    """Bytes of one recorded step, whole and cut."""
    import keras

    from layerviz_callbacks import Probe
    from layerviz_callbacks.keras.reader import KerasReader
    from layerviz_callbacks.plan import checked_views, plan_of, request_of
    from layerviz_callbacks.request import Request

    print(f"{'':12}{'kernels whole':>15}{'cut':>8}{'outputs whole':>15}{'cut':>8}{'all cut/whole':>15}")
    for name in names:
        model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3))
        images = np.random.default_rng(0).uniform(0, 255, (4, side, side, 3)).astype("float32")
        reader = KerasReader(model, Probe(images))
        plan = plan_of(checked_views(None), None, reader.entries())
        cut = request_of(plan, reader.read(Request()))
        whole = Request(kernels=cut.kernels, weights=cut.weights, outputs=cut.outputs)
        sizes = {}
        for label, request in [("whole", whole), ("cut", cut)]:
            layers = list(reader.read(request))
            for kind in ("kernel", "output"):
                arrays = [getattr(layer, kind) for layer in layers]
                sizes[kind, label] = sum(array.nbytes for array in arrays if array is not None) / 1e6
        share = sum(sizes[kind, "cut"] for kind in ("kernel", "output"))
        share /= sum(sizes[kind, "whole"] for kind in ("kernel", "output"))
        print(f"{name:12}", end="")
        for kind in ("kernel", "output"):
            print(f"{sizes[kind, 'whole']:12.1f} MB{sizes[kind, 'cut']:5.1f} MB", end="")
        print(f"{share:15.3f}")


def growth_table(frameworks, epochs, marks):
    """Usage over a long run, without and with the callback."""
    print(f"\n{'':22}{'epoch':>6}{'MB':>9}{'threads':>9}{'files':>7}{'graphs':>8}")
    for framework in frameworks:
        grown = {}
        for recorded in (False, True):
            found = fresh_run(framework, epochs, marks, recorded)
            grown[recorded] = found[marks[-1]][0] - found[marks[0]][0]
            for epoch, (megabytes, threads, files, graphs) in found.items():
                label = f"{framework} {'with' if recorded else 'without'}"
                shown = "-" if graphs is None else graphs
                print(f"{label:22}{epoch:6}{megabytes:9.1f}{threads:9}{files:7}{shown:>8}")
        more = grown[True] - grown[False]
        print(f"{framework}: {more:+.1f} MB more from epoch {marks[0]} to {marks[-1]} than without\n")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small model and few epochs")
    parser.add_argument("--epochs", type=int, default=200, help="of the long runs (default: 200)")
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)  # the process that trains
    options = parser.parse_args()
    if options.run:
        framework, epochs, marks, log_dir = options.run
        run = {"keras": keras_run, "lightning": lightning_run}[framework]
        print(json.dumps(run(int(epochs), json.loads(marks), log_dir or None)))
    elif options.quick:
        copied_table(["MobileNet"], 64)
        growth_table(["lightning"], 4, [2, 3, 4])
    else:
        epochs = options.epochs
        copied_table(["ResNet50", "VGG16"], 224)
        growth_table(["keras", "lightning"], epochs, [max(1, epochs // 10), epochs // 2, epochs])


if __name__ == "__main__":
    main()
