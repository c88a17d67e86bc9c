"""Together with Keras' own callbacks: each does what it does without ours, bit for bit."""

import copy
import pickle

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from layerviz_callbacks.keras import LayerVizCallback

X = np.random.default_rng(0).normal(size=(24, 8, 8, 1)).astype(np.float32)
Y = np.arange(24) % 3


def small():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.RandomFlip(),
            keras.layers.Conv2D(2, 3, name="conv"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, name="head"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def fit(model, callbacks, **options):
    options.setdefault("epochs", 4)
    return model.fit(X, Y, batch_size=8, validation_split=0.25, verbose=0, callbacks=callbacks, **options)


def steps(folder):
    """The recorded steps of each picture, in TensorBoard's own reader."""
    events = EventAccumulator(str(folder / "layerviz"), size_guidance={"tensors": 0, "images": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith(("filters/", "feature maps/"))]
    return {tag: [event.step for event in events.Tensors(tag)] for tag in tags}


def others(folder):
    return [
        keras.callbacks.TensorBoard(folder / "board", histogram_freq=1, write_images=True),
        keras.callbacks.ModelCheckpoint(
            folder / "best.weights.h5", save_best_only=True, save_weights_only=True
        ),
        keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(patience=1, min_delta=1.0),
        keras.callbacks.BackupAndRestore(folder / "backup"),
        keras.callbacks.CSVLogger(folder / "log.csv"),
    ]


def trained(folder, place=None):
    folder.mkdir()
    callbacks = others(folder)
    if place is not None:
        callbacks.insert(place, LayerVizCallback(X[:2], log_dir=folder / "logs", on_error="raise"))
    model = small()
    history = fit(model, callbacks).history
    numbers = [np.asarray(value) for value in [*model.weights, *model.optimizer.variables]]
    return history, numbers, (folder / "log.csv").read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize("place", [0, 6], ids=["ours first", "ours last"])
def test_training_beside_all_other_callbacks_is_the_same_with_ours(plain, place, tmp_path):
    history, numbers, log = trained(tmp_path / "run", place)
    assert history == plain[0]
    assert len(history["learning_rate"]) and history["learning_rate"][0] != history["learning_rate"][-1]
    assert log == plain[2]
    for one, other in zip(numbers, plain[1], strict=True):
        np.testing.assert_array_equal(one, other)
    recorded = steps(tmp_path / "run" / "logs")
    assert set(recorded) >= {"filters/02_conv", "feature maps/06_head"}
    assert all(found == list(range(len(history["loss"]) + 1)) for found in recorded.values())


def test_both_write_to_one_log_dir_and_tensorboard_reads_both(tmp_path):
    ours = LayerVizCallback(X[:2], log_dir=tmp_path)
    fit(small(), [keras.callbacks.TensorBoard(tmp_path), ours], epochs=2)
    assert (tmp_path / "train").is_dir()
    assert (tmp_path / "validation").is_dir()
    assert steps(tmp_path)["filters/02_conv"] == [0, 1, 2]


def test_a_run_that_is_restored_from_a_backup_loses_no_picture_and_doubles_none(tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("power cut")

    def callbacks():
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        return [backup, LayerVizCallback(X[:2], log_dir=tmp_path / "logs", on_error="raise")]

    with pytest.raises(RuntimeError, match="power cut"):
        fit(small(), [*callbacks(), Crash()])
    fit(small(), callbacks())
    assert all(found == [0, 1, 2, 3, 4] for found in steps(tmp_path / "logs").values())


def test_evaluate_and_predict_write_nothing(tmp_path):
    ours = LayerVizCallback(X[:2], log_dir=tmp_path / "logs")
    model = small()
    model.evaluate(X, Y, verbose=0, callbacks=[ours])
    model.predict(X, verbose=0, callbacks=[ours])
    assert not (tmp_path / "logs").exists()


def test_a_copy_of_a_callback_that_was_used_starts_fresh_beside_the_first(tmp_path):
    first = LayerVizCallback(X[:2], log_dir=tmp_path)
    fit(small(), [first], epochs=1)
    first.set_model(None)  # as after a fit in another process: the copy must not carry a model along
    second = copy.deepcopy(first)
    fit(small(), [second], epochs=1)
    assert steps(tmp_path)["filters/02_conv"] == [0, 1]
    assert (tmp_path / "layerviz-2").is_dir()


def test_an_unused_callback_can_be_pickled(tmp_path):
    callback = pickle.loads(pickle.dumps(LayerVizCallback(X[:2], log_dir=tmp_path, layers="conv")))
    fit(small(), [callback], epochs=1)
    assert set(steps(tmp_path)) == {"filters/02_conv", "feature maps/02_conv"}
