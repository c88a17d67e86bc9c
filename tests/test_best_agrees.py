"""The best epochs are those of the frameworks' own ModelCheckpoint; the doors hand monitor and file on."""

import logging

import keras
import numpy as np
import pytest
import torch
from lightning_models import NAMESPACES, digit_net, namespace, small_trainer, train_loader, val_loader
from torch_models import ConvNet, images

from layerviz_callbacks import ArgumentError, Snapshot, SnapshotFile, Snapshots, views
from layerviz_callbacks.health import HealthReport
from layerviz_callbacks.keras import LayerVizCallback as KerasCallback
from layerviz_callbacks.lightning import LayerVizCallback
from layerviz_callbacks.torch import attach

pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore")

UP_AND_DOWN = [0.5, 0.2, 0.7, 0.7, 0.1, 0.7, 0.9, 0.1]  # ties in both directions
ONE_VIEW = {"views": [views.Filters()], "every_n_epochs": 100, "worker": None}


def best_epochs_in(path):
    with SnapshotFile(path) as file:
        best = [step for step in file.steps if file[step].best]
        assert file.best_step == best[-1]
        return best


# --- Keras ---


def keras_model(*metrics):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile(
        keras.optimizers.SGD(4.0), "sparse_categorical_crossentropy", metrics=list(metrics), run_eagerly=True
    )
    return model


def fit(model, callbacks, *, epochs=8, **options):
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(16, 4)).astype("float32"), generator.integers(0, 3, 16)
    options = {"validation_data": (x[8:], y[8:]), "batch_size": 8, **options}
    return model.fit(x[:8], y[:8], epochs=epochs, verbose=0, callbacks=callbacks, **options).history


class Scripted(keras.callbacks.Callback):
    """Reports these values, one an epoch."""

    def __init__(self, name, values):
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


def keras_callback(folder, monitor, mode="auto", **options):
    options = {**ONE_VIEW, "snapshots": folder / "run.h5", **options}
    probe = np.zeros((2, 4), "float32")
    return KerasCallback(probe, log_dir=folder / "logs", monitor=monitor, mode=mode, **options)


def test_the_best_epochs_are_those_that_keras_model_checkpoint_saves_ties_included(tmp_path):
    asked = [
        ("val_accuracy", "auto"), ("val_accuracy", "min"), ("loss", "auto"), ("val_loss", "max"),
        ("val_area", "auto"),  # its name does not say so, but Keras knows
        ("val_score", "max"), ("val_score", "min"),
    ]  # fmt: skip
    folders = {(monitor, mode): tmp_path / f"{monitor} {mode}" for monitor, mode in asked}
    callbacks = [Scripted("val_score", UP_AND_DOWN)]
    for (monitor, mode), folder in folders.items():
        path = str(folder / "{epoch:02d}.weights.h5")
        callbacks += [
            keras.callbacks.ModelCheckpoint(
                path, monitor=monitor, mode=mode, save_best_only=True, save_weights_only=True
            ),
            keras_callback(folder, monitor, mode),
        ]
    area = keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="area")
    model = keras_model("accuracy", area)
    values = fit(model, callbacks)["val_accuracy"]
    assert len(set(values)) < len(values) and sorted(values) not in (values, values[::-1])
    found = {}
    for asked_for, folder in folders.items():
        saved = found[asked_for] = sorted(int(one.name[:2]) for one in folder.glob("*.weights.h5"))
        assert best_epochs_in(folder / "run.h5") == saved
        model.load_weights(folder / f"{saved[-1]:02d}.weights.h5")
        kernel = np.asarray(model.layers[-1].get_weights()[0])
        assert np.array_equal(Snapshot.load(folder / "run.h5", step=saved[-1])["dense"].kernel, kernel.T)
    assert found["val_score", "max"] == [1, 3, 7] and found["val_score", "min"] == [1, 2, 5]
    assert len(set(map(tuple, found.values()))) >= 5  # they are told apart


def test_a_metric_that_validation_reports_every_second_epoch_is_compared_then(tmp_path):
    ours = keras_callback(tmp_path, "val_loss")
    losses = fit(keras_model(), [ours], epochs=6, validation_freq=2)["val_loss"]
    expected = [2 * place for place in range(1, 4) if losses[place - 1] < min([9e9, *losses[: place - 1]])]
    assert best_epochs_in(tmp_path / "run.h5") == expected


def test_a_resumed_keras_training_goes_on_with_the_best_of_its_file(tmp_path):
    model = keras_model()

    def train(first, epochs, reported):
        ours = keras_callback(tmp_path, "val_loss")
        fit(model, [Scripted("val_loss", reported), ours], epochs=epochs, initial_epoch=first)
        return ours

    reported = [0.5, 0.3, 0.4, 0.35, 0.2, 0.25]
    train(0, 3, reported)
    ours = train(3, 6, reported)
    assert best_epochs_in(tmp_path / "run.h5") == [1, 2, 5]
    assert ours.recorder.snapshot_file == tmp_path / "run.h5"
    assert isinstance(ours.report(), HealthReport)


def test_what_other_callbacks_report_need_not_be_numbers(tmp_path):
    ours = keras_callback(tmp_path, "loss", on_error="raise")
    fit(keras_model(), [Scripted("learning_rate", ["high"]), Scripted("note", ["warm"]), ours], epochs=1)
    assert list(Snapshot.load(tmp_path / "run.h5", step=1).metrics) == ["loss", "val_loss"]


def test_keras_records_the_best_epoch_as_its_optimizer_step(tmp_path):
    ours = keras_callback(tmp_path, "val_loss", every_n_epochs=1, every_n_steps=3)
    losses = fit(keras_model(), [ours], epochs=4, batch_size=4)["val_loss"]  # of two steps each
    best = [2 * epoch for epoch in range(1, 5) if losses[epoch - 1] < min([9e9, *losses[: epoch - 1]])]
    assert best_epochs_in(tmp_path / "run.h5") == best
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file.steps == tuple(sorted({0, 3, 6, *best}))


# --- Lightning ---


def reporting(values, *, where="validation_step", name=NAMESPACES[0]):
    """A module that reports these values as "score", one an epoch."""

    def report(self, *_):
        self.log("score", torch.tensor(values[self.current_epoch]))

    return digit_net(name, **{where: report})


def checkpoint(folder, saved, name=NAMESPACES[0], **options):
    kind = namespace(name).callbacks.ModelCheckpoint

    class Noting(kind):
        def _save_checkpoint(self, trainer, filepath):
            saved.append(trainer.current_epoch + 1)
            super()._save_checkpoint(trainer, filepath)

    return Noting(dirpath=folder, monitor="score", save_top_k=1, **options)


def lightning_fit(module, *callbacks, name=NAMESPACES[0], ckpt_path=None, epochs=8, **options):
    trainer = small_trainer(
        *callbacks,
        name=name,
        max_epochs=epochs,
        enable_checkpointing=len(callbacks) > 1,
        limit_train_batches=1,
        **options,
    )
    trainer.fit(module, train_loader(), val_loader(), ckpt_path=ckpt_path)
    return trainer


def our_callback(folder, **options):
    options = {**ONE_VIEW, "snapshots": folder / "run.h5", **options}
    return LayerVizCallback(images(2)[0], log_dir=folder / "logs", monitor="score", **options)


@pytest.mark.parametrize(
    ("where", "mode", "every"),
    [
        ("validation_step", "max", 1),
        ("validation_step", "min", 1),
        ("validation_step", "max", 2),  # validation every second epoch alone
        ("validation_step", "min", 2),
        ("on_train_epoch_end", "max", 1),  # by the module, after the callbacks were called
        ("on_train_epoch_end", "min", 1),
    ],
)
def test_the_best_epochs_are_those_that_lightnings_model_checkpoint_saves(
    where, mode, every, tmp_path, caplog
):
    saved = []
    theirs, ours = checkpoint(tmp_path, saved, mode=mode), our_callback(tmp_path, mode=mode)
    module = reporting(UP_AND_DOWN, where=where)
    lightning_fit(module, ours, theirs, check_val_every_n_epoch=every)
    seen = list(enumerate(UP_AND_DOWN, 1))[every - 1 :: every]
    better = max if mode == "max" else min
    expected = [e for e, v in seen if v == better(o for _, o in seen[: seen.index((e, v)) + 1])]
    expected = [
        e for i, e in enumerate(expected) if not i or UP_AND_DOWN[e - 1] != UP_AND_DOWN[expected[i - 1] - 1]
    ]
    assert best_epochs_in(tmp_path / "run.h5") == saved == expected
    assert ("reported no such metric" in caplog.text) == (every == 2)  # at the first epoch, truly


@pytest.mark.parametrize("name", NAMESPACES)
def test_a_resumed_lightning_training_goes_on_comparing_out_of_the_checkpoint_alone(name, tmp_path):
    first = our_callback(tmp_path, mode="max", snapshots=None)
    saved = []
    last = checkpoint(tmp_path, saved, name, mode="max", save_last=True)
    lightning_fit(reporting(UP_AND_DOWN, name=name), first, last, name=name, epochs=4)
    second = our_callback(tmp_path, mode="max", snapshots=tmp_path / "second.h5")
    trainer = lightning_fit(
        reporting(UP_AND_DOWN, name=name), second, checkpoint(tmp_path, saved, name, mode="max"),
        name=name, ckpt_path=str(tmp_path / "last.ckpt"),
    )  # fmt: skip
    assert trainer.current_epoch == 8
    assert best_epochs_in(tmp_path / "second.h5") == [7]


def test_a_resumed_lightning_training_goes_on_in_its_file(tmp_path):
    first, last = our_callback(tmp_path, mode="max"), checkpoint(tmp_path, [], mode="max", save_last=True)
    lightning_fit(reporting(UP_AND_DOWN), first, last, epochs=4)
    second = our_callback(tmp_path, mode="max")
    lightning_fit(reporting(UP_AND_DOWN), second, ckpt_path=str(tmp_path / "last.ckpt"), epochs=7)
    assert best_epochs_in(tmp_path / "run.h5") == [1, 3, 7]
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file.steps == (0, 1, 3, 7)  # that checkpoint is of epoch 3, so epoch 4 was trained anew
    assert isinstance(second.report(), HealthReport)


def test_lightning_records_the_best_epoch_as_its_optimizer_step(tmp_path):
    ours = our_callback(tmp_path, mode="max", every_n_epochs=1, every_n_steps=5)
    lightning_fit(reporting(UP_AND_DOWN), ours)
    assert best_epochs_in(tmp_path / "run.h5") == [1, 3, 7]
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file.steps == (0, 1, 3, 5, 7)


def test_a_name_that_does_not_tell_the_direction_raises_when_training_begins(tmp_path):
    with pytest.raises(ArgumentError, match=r"monitor='score': the name does not tell .* Type mode='max'"):
        lightning_fit(reporting(UP_AND_DOWN), our_callback(tmp_path))
    with pytest.raises(ArgumentError, match="Type mode='max'"):
        attach(ConvNet(), images(2)[0], log_dir=tmp_path / "logs", monitor="score")


# --- a loop of one's own ---


def test_attach_finds_the_best_of_what_record_is_given_and_keeps_the_file(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    options = {"snapshots": Snapshots(tmp_path / "run.h5", "float16"), **ONE_VIEW}
    model = ConvNet()
    with attach(model, images(2)[0], log_dir=tmp_path / "logs", monitor="iou", **options) as record:
        for epoch, value in enumerate(UP_AND_DOWN, 1):
            record(epoch, iou=torch.tensor(value), loss=1.0)
        assert isinstance(record.report(), HealthReport)
    assert best_epochs_in(tmp_path / "run.h5") == [1, 3, 7]
    assert f"Snapshots: 4 steps in {tmp_path / 'run.h5'}" in caplog.text
    assert list(Snapshot.load(tmp_path / "run.h5").outputs) == ["output"]
