"""When the Keras callback records, what it numbers how, and what happens when something fails."""

from __future__ import annotations

import copy
import logging
import threading

import keras
import numpy as np
import pytest

from layerviz_callbacks.errors import CallbackInUseError, LayerVizError
from layerviz_callbacks.keras import LayerVizCallback
from layerviz_callbacks.sinks import Sink

layers = keras.layers


class Shelf(Sink):
    """Keeps pictures in memory."""

    def __init__(self):
        self.pictures = []
        self.first_step = None
        self.closed = 0

    def open(self, *, first_step):
        self.first_step = first_step

    def write(self, pictures, step):
        self.pictures += [(step, picture.tag) for picture in pictures]

    def write_text(self, tag, text, step):
        pass

    def flush(self):
        pass

    def close(self):
        self.closed += 1

    @property
    def location(self):
        return "memory"

    def steps(self, family="filters"):
        return [
            step for step, tag in self.pictures if tag.startswith(f"{family}/") and tag.endswith("_dense")
        ]


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def model_of(*parts):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(parts)
    model.compile("sgd", "mse")
    return model


def dense():
    return model_of(keras.Input((3,)), layers.Dense(2))


def fit(model, callback, **options):
    options = {"epochs": 3, "batch_size": 2, "verbose": 0, **options}
    return model.fit(numbers(8, 3), numbers(8, 2), callbacks=[callback], **options)


def on_shelf(**options):
    shelf = Shelf()
    options = {"on_error": "raise", "worker": None, **options}
    return LayerVizCallback(numbers(2, 3), log_dir=shelf, **options), shelf


def test_step_0_is_before_training_and_then_one_step_for_each_epoch():
    callback, shelf = on_shelf()
    fit(dense(), callback)
    assert shelf.steps() == shelf.steps("feature maps") == [0, 1, 2, 3]
    assert shelf.first_step == 0 and shelf.closed >= 1


def test_every_n_epochs_records_the_last_one_too():
    callback, shelf = on_shelf(every_n_epochs=2)
    fit(dense(), callback, epochs=5)
    assert shelf.steps() == [0, 2, 4, 5]


def test_an_epoch_after_which_training_is_stopped_is_recorded():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    callback, shelf = on_shelf(every_n_epochs=10)
    dense().fit(numbers(8, 3), numbers(8, 2), epochs=9, verbose=0, callbacks=[Stop(), callback])
    assert shelf.steps() == [0, 3]


def test_a_resumed_run_goes_on_counting_from_initial_epoch():
    callback, shelf = on_shelf()
    fit(dense(), callback, initial_epoch=5, epochs=7)
    assert shelf.first_step == 5
    assert shelf.steps() == [6, 7]


def test_a_second_fit_with_the_same_callback_goes_on_counting():
    callback, shelf = on_shelf()
    model = dense()
    fit(model, callback, epochs=2)
    fit(model, callback, epochs=2)
    assert shelf.steps() == [0, 1, 2, 3, 4]


def test_steps_are_optimizer_steps_where_they_were_asked_for():
    callback, shelf = on_shelf(every_n_steps=3)
    model = dense()
    fit(model, callback, epochs=2)  # four batches an epoch
    assert shelf.steps() == [0, 3, 6]
    fit(model, callback, epochs=1)
    assert shelf.steps() == [0, 3, 6, 9, 12]


def test_steps_come_at_the_end_of_each_group_that_keras_runs_together():
    if keras.backend.backend() == "torch":
        pytest.skip("Keras runs no groups of steps on PyTorch")
    callback, shelf = on_shelf(every_n_steps=2)
    model = dense()
    model.compile("sgd", "mse", steps_per_execution=2)
    fit(model, callback, epochs=1)
    assert shelf.steps() == [0, 2, 4]


def test_batches_stay_asynchronous_unless_steps_were_asked_for(monkeypatch):
    monkeypatch.setattr(keras.src.backend, "IS_THREAD_SAFE", True)  # as it is on JAX and PyTorch

    def asynchronous(callback):
        return keras.callbacks.CallbackList([callback], model=dense())._async_train

    assert asynchronous(keras.callbacks.Callback())
    assert asynchronous(on_shelf()[0])
    assert not asynchronous(on_shelf(every_n_steps=2)[0])


def test_a_batch_hook_of_a_subclass_is_called_as_well():
    seen = []

    class Mine(LayerVizCallback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    shelf = Shelf()
    fit(dense(), Mine(numbers(2, 3), log_dir=shelf, every_n_steps=4), epochs=1)
    assert seen == [0, 1, 2, 3] and shelf.steps() == [0, 4]


def test_a_model_that_its_first_step_builds_begins_after_that_step(caplog):
    caplog.set_level(logging.INFO, "layerviz_callbacks")
    callback, shelf = on_shelf()
    fit(model_of(layers.Dense(2)), callback, epochs=2)
    built_before = keras.backend.backend() != "tensorflow"  # JAX and PyTorch build before training begins
    assert shelf.steps() == ([0, 1, 2] if built_before else [1, 2])
    assert ("there is no step 0" in caplog.text) is not built_before
    assert shelf.first_step == 0
    assert [tag for step, tag in shelf.pictures if step == 0 and not tag.startswith(("filters", "feature"))]


def test_a_fault_found_after_the_first_step_leaves_training_alone(caplog):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the model is built before training begins")
    callback = LayerVizCallback(numbers(2, 3), log_dir=Shelf(), layers="no such layer")
    model = model_of(layers.Dense(2))
    history = fit(model, callback)
    assert len(history.history["loss"]) == 3
    assert caplog.text.count("No pictures of this training: SelectionError") == 1


def test_evaluate_and_predict_write_nothing():
    callback, shelf = on_shelf()
    model = dense()
    model.evaluate(numbers(4, 3), numbers(4, 2), verbose=0, callbacks=[callback])
    model.predict(numbers(4, 3), verbose=0, callbacks=[callback])
    assert shelf.pictures == []


class BreaksLater(layers.Layer):
    """Fails at inference once its switch is on: a model of the user's that stops working midway."""

    broken = False

    def call(self, x, training=False):
        if self.broken and not training:
            raise ValueError("broken midway")
        return x


class Break(keras.callbacks.Callback):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def on_epoch_begin(self, epoch, logs=None):
        self.layer.broken = epoch >= 1


def broken_midway(callback):
    layer = BreaksLater()
    model = model_of(keras.Input((3,)), layer, layers.Dense(2))
    options = {"epochs": 4, "verbose": 0, "callbacks": [Break(layer), callback]}
    return model.fit(numbers(8, 3), numbers(8, 2), **options)


def test_a_capture_that_fails_later_is_told_once_and_training_goes_on(caplog):
    callback, shelf = on_shelf(on_error="warn")
    history = broken_midway(callback)
    assert len(history.history["loss"]) == 4
    assert shelf.steps() == [0, 1]
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1 and "broken midway" in told[0].getMessage()


def test_a_capture_that_fails_later_raises_where_that_was_asked_for():
    callback, _ = on_shelf(on_error="raise")
    with pytest.raises(LayerVizError, match="broken midway"):
        broken_midway(callback)


def test_a_callback_in_two_fits_at_once_is_refused_and_the_first_fit_is_not_disturbed():
    callback, shelf = on_shelf()
    inside, go_on = threading.Event(), threading.Event()

    class Wait(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                inside.set()
                go_on.wait(60)

    first = dense()
    options = {"epochs": 3, "batch_size": 2, "verbose": 0, "callbacks": [callback, Wait()]}
    thread = threading.Thread(target=lambda: first.fit(numbers(8, 3), numbers(8, 2), **options))
    thread.start()
    assert inside.wait(60)
    try:
        with pytest.raises(CallbackInUseError, match="another thread"):
            fit(dense(), callback, epochs=7)
    finally:
        go_on.set()
        thread.join()
    assert shelf.steps() == [0, 1, 2, 3]
    fit(first, callback, epochs=1)  # free again
    assert shelf.steps() == [0, 1, 2, 3, 4]


def test_a_fit_that_was_interrupted_leaves_the_callback_usable():
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    callback, shelf = on_shelf()
    model = dense()
    with pytest.raises(KeyboardInterrupt):
        model.fit(numbers(8, 3), numbers(8, 2), epochs=3, verbose=0, callbacks=[callback, Interrupt()])
    assert shelf.steps() == [0, 1, 2]
    fit(model, callback, epochs=1)
    assert shelf.steps() == [0, 1, 2, 3]


@pytest.mark.parametrize("options", [{}, {"every_n_steps": 2}])
def test_an_unused_callback_can_be_copied(options, tmp_path):
    original = LayerVizCallback(numbers(2, 3), log_dir=tmp_path, **options)
    twin = copy.deepcopy(original)
    fit(dense(), twin, epochs=1)
    assert original.probe is not twin.probe
    assert list(tmp_path.rglob("*tfevents*"))
    fit(dense(), original, epochs=1)


def test_the_metrics_reach_the_snapshot(monkeypatch):
    seen = []
    callback, _ = on_shelf()
    write = callback.recorder.epoch_end
    monkeypatch.setattr(
        callback.recorder,
        "epoch_end",
        lambda epoch, **options: seen.append((epoch, options)) or write(epoch, **options),
    )
    history = fit(dense(), callback, epochs=2, validation_split=0.5)
    assert [epoch for epoch, _ in seen] == [1, 2]
    assert [options["last"] for _, options in seen] == [False, True]
    assert [options["metrics"]["val_loss"] for _, options in seen] == history.history["val_loss"]


class CountsCallsWithThree(layers.Layer):
    """Counts its calls with three samples: those with the probe."""

    calls = 0

    def call(self, x):
        CountsCallsWithThree.calls += x.shape[0] == 3
        return x


class CallsOfEachEpoch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.totals = []

    def on_epoch_begin(self, epoch, logs=None):
        self.totals.append(CountsCallsWithThree.calls)

    def on_train_end(self, logs=None):
        self.totals.append(CountsCallsWithThree.calls)


def test_one_forward_pass_for_each_recorded_epoch():
    counted = CallsOfEachEpoch()
    callback = LayerVizCallback(numbers(3, 3), log_dir=Shelf(), on_error="raise")
    model = model_of(keras.Input((3,)), CountsCallsWithThree(), layers.Dense(2))
    options = {"epochs": 4, "batch_size": 2, "verbose": 0, "callbacks": [callback, counted]}
    model.fit(numbers(8, 3), numbers(8, 2), **options)
    once = 0 if keras.backend.backend() == "jax" else 1  # there, the pass is compiled: no Python is run
    assert list(np.diff(counted.totals))[1:] == [once] * 3


@pytest.mark.parametrize("worker", ["thread", None])
def test_whoever_draws_every_epoch_is_there_when_fit_returns(worker):
    callback, shelf = on_shelf(worker=worker)
    fit(dense(), callback)
    assert shelf.steps() == shelf.steps("feature maps") == [0, 1, 2, 3]


def test_what_was_recorded_before_an_interrupt_is_drawn_at_the_next_fit_at_the_latest():
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    callback, shelf = on_shelf(worker="thread")
    model = dense()
    with pytest.raises(KeyboardInterrupt):
        model.fit(numbers(8, 3), numbers(8, 2), epochs=3, verbose=0, callbacks=[callback, Interrupt()])
    fit(model, callback, epochs=1)
    assert shelf.steps()[:3] == [0, 1, 2]
