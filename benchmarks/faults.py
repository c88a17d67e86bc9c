"""What happens to a training when something of ours, or of the machine's, fails: each fault on its own.

    python benchmarks/faults.py [--door keras|torch|lightning]

A small network is trained twice from the same seed, without the callback and with it, while one fault is
injected. Prints a table: fault | door | training finished | weights equal | what was logged.
"""

import argparse
import errno
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from layerviz_callbacks import views
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.sinks import Folder, event_file

EPOCHS = 4
SAMPLES = 8


@dataclass
class Scene:
    """One training with one fault.

    Attributes:
        folder: where the pictures go.
        reader: the reader's class of that door.
        switch: what the network's own faulty layer does in evaluation mode: "" (nothing), "raise", "memory".
        after_epoch: called with the number of epochs done and the network's `(get, set)` of its weights.
        log_dir: what the callback is given.
        views: what the callback is given.
    """

    folder: Path
    reader: type
    stack: ExitStack
    switch: dict = field(default_factory=lambda: {"evaluation": ""})
    after_epoch: Callable = lambda epoch, get, put: None
    log_dir: object = None
    views: list | None = None

    def patch(self, owner, name, value):
        self.stack.enter_context(mock.patch.object(owner, name, value))

    def fail_from_call(self, owner, name, number, error):
        """From that call on, the function raises."""
        function, calls = getattr(owner, name), []

        def failing(*arguments, **named):
            calls.append(1)
            if len(calls) >= number:
                raise error
            return function(*arguments, **named)

        self.patch(owner, name, failing)


class FailingLater(views.FeatureMaps):
    """Draws two times, then raises."""

    def __init__(self):
        super().__init__()
        self.drawn_steps = 0

    def draw(self, snapshot):
        self.drawn_steps += 1
        if self.drawn_steps > 2:
            raise ZeroDivisionError("a fault in the view")
        return super().draw(snapshot)


def reader_raises(scene):
    scene.fail_from_call(scene.reader, "read", 4, RuntimeError("a fault in the reader"))  # shapes, 0, 1


def view_raises(scene):
    scene.views = [views.Filters(), FailingLater()]


def png_fails(scene):
    scene.fail_from_call(Picture, "png", 12, OSError("encoder error -2"))


def disk_full(scene):
    room = 30_000

    class SmallDisk(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > room:
                super().write(bytes(data)[: max(0, room - self.tell())])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    scene.patch(event_file, "FileIO", SmallDisk)


def folder_deleted(scene):
    scene.after_epoch = lambda epoch, get, put: (
        shutil.rmtree(scene.folder, ignore_errors=True) if epoch == 2 else None
    )


def read_only(scene):
    scene.log_dir = Folder(scene.folder)
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    scene.after_epoch = lambda epoch, get, put: (
        scene.fail_from_call(Path, "write_bytes", 1, error) if epoch == 2 else None
    )


def layer_raises_in_evaluation(scene):
    scene.switch["evaluation"] = "raise"


def layer_raises_in_evaluation_later(scene):
    scene.after_epoch = lambda epoch, get, put: scene.switch.update(evaluation="raise" if epoch == 2 else "")


def out_of_memory(scene):
    scene.switch["evaluation"] = "memory"


def out_of_memory_later(scene):
    scene.after_epoch = lambda epoch, get, put: scene.switch.update(evaluation="memory" if epoch == 2 else "")


def weights_become(value):
    def inject(scene):
        def spoil(epoch, get, put):
            if epoch == 2:
                weights = get()
                weights[0].reshape(-1)[:2] = value
                put(weights)

        scene.after_epoch = spoil

    return inject


FAULTS = {
    "the reader raises": (reader_raises, r"reading the model failed, this step is left out"),
    "a view raises": (view_raises, r"the view FailingLater failed, it is switched off"),
    "a PNG cannot be made": (png_fails, r"failed, it is switched off.*encoder error"),
    "the disk is full": (disk_full, r"writing to .* failed, it is switched off.*No space left"),
    "the folder is deleted": (folder_deleted, r"is gone.*It was deleted or moved"),
    "the folder becomes read-only": (read_only, r"not permitted to write"),
    "a layer raises in evaluation mode": (
        layer_raises_in_evaluation,
        r"no pictures of this training.*evaluation mode",
    ),
    "a layer raises in evaluation mode, later": (
        layer_raises_in_evaluation_later,
        r"reading the model failed, this step is left out",
    ),
    "out of memory": (out_of_memory, r"no pictures of this training.*show fewer samples"),
    "out of memory, later": (out_of_memory_later, r"this step is left out.*show fewer samples"),
    "NaN in the weights": (
        weights_become(np.nan),
        r"of its weights are NaN or infinite.*last good checkpoint",
    ),
    "infinite weights": (weights_become(np.inf), r"of its weights are NaN or infinite.*last good checkpoint"),
}
"""By name: what injects the fault, and what the log says of it (a regular expression)."""


def data():
    random = np.random.default_rng(0)
    return random.normal(size=(SAMPLES, 8, 8, 1)).astype(np.float32), random.integers(0, 3, SAMPLES)


def train_keras(scene, *, recorded):
    import keras

    from layerviz_callbacks.keras import LayerVizCallback

    class Faulty(keras.layers.Layer):
        def call(self, inputs, training=None):
            _fail(scene, evaluation=training is False)
            return inputs

    class AfterEpoch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            scene.after_epoch(epoch + 1, self.model.get_weights, self.model.set_weights)

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            Faulty(),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = data()
    callbacks = [AfterEpoch()]
    if recorded:
        callbacks.append(LayerVizCallback(x[:2], log_dir=scene.log_dir or scene.folder, views=scene.views))
    model.fit(x, y, batch_size=4, epochs=EPOCHS, verbose=0, callbacks=callbacks)
    return model.get_weights()


def torch_network(scene):
    import torch
    from torch import nn

    class Faulty(nn.Module):
        def forward(self, inputs):
            _fail(scene, evaluation=not self.training)
            return inputs

    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), Faulty(), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(4 * 6 * 6, 3))


def _weights(network):
    def get():
        return [tensor.detach().numpy().copy() for tensor in network.state_dict().values()]

    def put(weights):
        import torch

        for tensor, values in zip(network.state_dict().values(), weights, strict=True):
            tensor.copy_(torch.from_numpy(np.asarray(values)))

    return get, put


def train_torch(scene, *, recorded):
    import torch

    from layerviz_callbacks.torch import attach

    network = torch_network(scene)
    get, put = _weights(network)
    optimizer = torch.optim.Adam(network.parameters())
    x, y = (torch.from_numpy(part) for part in data())
    x = x.movedim(-1, 1).contiguous()

    def train(record):
        for epoch in range(1, EPOCHS + 1):
            for start in range(0, SAMPLES, 4):
                optimizer.zero_grad()
                logits = network(x[start : start + 4])
                torch.nn.functional.cross_entropy(logits, y[start : start + 4]).backward()
                optimizer.step()
            scene.after_epoch(epoch, get, put)
            record(epoch)

    if recorded:
        with attach(network, x[:2], log_dir=scene.log_dir or scene.folder, views=scene.views) as record:
            train(record)
    else:
        train(lambda epoch: None)
    return get()


def train_lightning(scene, *, recorded):
    import torch
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch.utils.data import DataLoader, TensorDataset

    from layerviz_callbacks.lightning import LayerVizCallback

    network = torch_network(scene)

    class Digits(LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x)

        def training_step(self, batch, index):
            return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    class AfterEpoch(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            scene.after_epoch(trainer.current_epoch + 1, *_weights(network))

    x, y = (torch.from_numpy(part) for part in data())
    x = x.movedim(-1, 1).contiguous()
    callbacks = [AfterEpoch()]
    if recorded:
        callbacks.append(LayerVizCallback(x[:2], log_dir=scene.log_dir or scene.folder, views=scene.views))
    trainer = Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=callbacks,
    )  # fmt: skip
    trainer.fit(Digits(), DataLoader(TensorDataset(x, y), batch_size=4))
    return _weights(network)[0]()


def _fail(scene, *, evaluation):
    what = scene.switch["evaluation"] if evaluation else ""
    if what == "raise":
        raise RuntimeError("this layer is for training only")
    if what == "memory":
        raise MemoryError("no room for 8 GB")


def reader_of(door):
    if door == "keras":
        from layerviz_callbacks.keras.reader import KerasReader

        return KerasReader
    from layerviz_callbacks.torch.reader import TorchReader

    return TorchReader


DOORS = {"keras": train_keras, "torch": train_torch, "lightning": train_lightning}


@dataclass(frozen=True)
class Outcome:
    """What became of a training with one fault."""

    finished: bool
    equal: bool
    logged: tuple[str, ...]


def tried(door, fault):
    """Train without and with the callback while the fault happens; return the Outcome."""
    train, inject = DOORS[door], FAULTS[fault][0]
    weights, logged, finished = {}, _Collected(), True
    logger = logging.getLogger("layerviz_callbacks")
    logger.addHandler(logged)
    try:
        for recorded in (False, True):
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                scene = Scene(Path(folder) / "logs", reader_of(door), stack)
                inject(scene)
                try:
                    weights[recorded] = train(scene, recorded=recorded)
                except Exception as error:  # noqa: BLE001  that none comes through is what is measured
                    finished = False
                    logged.lines.append(f"raised {type(error).__name__}: {error}")
    finally:
        logger.removeHandler(logged)
    equal = finished and all(
        np.array_equal(one, other, equal_nan=True)
        for one, other in zip(weights[False], weights[True], strict=True)
    )
    return Outcome(finished, equal, tuple(logged.lines))


class _Collected(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--door", choices=DOORS, action="append", help="default: all three")
    logging.getLogger("layerviz_callbacks").propagate = False
    print("fault | door | training finished | weights equal | what was logged")
    for fault in FAULTS:
        for door in parser.parse_args().door or DOORS:
            outcome = tried(door, fault)
            finished, equal = ("yes" if good else "NO" for good in (outcome.finished, outcome.equal))
            print(f"{fault} | {door} | {finished} | {equal} | {' / '.join(outcome.logged)[:160] or '-'}")


if __name__ == "__main__":
    main()
