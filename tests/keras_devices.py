# ruff: noqa: E402, T201
"""Train on two devices without the callback, twice, and with it; say what is equal.

python keras_devices.py mirrored|data-parallel|model-parallel FOLDER
"""

import json
import os
import sys
from contextlib import nullcontext

kind, folder = sys.argv[1:]
os.environ["KERAS_BACKEND"] = "tensorflow" if kind == "mirrored" else "jax"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

from layerviz_callbacks.keras import LayerVizCallback, inspect

X = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype(np.float32)
Y = np.arange(32) % 3


def scope():
    """A strategy over both devices; it says how many copies of the network there are."""
    if kind != "mirrored":
        return nullcontext(), len(keras.distribution.list_devices())
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return strategy.scope(), strategy.num_replicas_in_sync


def prepare():
    if kind == "mirrored":
        import tensorflow as tf

        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
        return
    devices = keras.distribution.list_devices()
    if kind == "data-parallel":
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
        return
    mesh = keras.distribution.DeviceMesh((1, 2), ["batch", "model"], devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout["wide/kernel"] = (None, "model")
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    )


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(2, 3, name="conv"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(8, name="wide"),
            keras.layers.Dense(3, name="head"),
        ]
    )


def train(log_dir=None):
    keras.utils.set_random_seed(0)
    context, copies = scope()
    with context:
        model = network()
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callbacks = []
    if log_dir is not None:
        # three samples: no number that two devices could share evenly
        callbacks = [LayerVizCallback(X[:3], log_dir=log_dir, on_error="raise")]
    history = model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=callbacks).history
    numbers = [np.asarray(value) for value in [*model.weights, *model.optimizer.variables]]
    return model, numbers, history, copies


def equal(one, other):
    return one[2] == other[2] and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one[1], other[1], strict=True)
    )


prepare()
plain, again, recorded = train(), train(), train(folder)
model = recorded[0]
snapshot = inspect(model, X[:3])
by_hand = model.get_layer("wide").kernel
single = network()  # on one device; what a checkpoint of the model would give
single.set_weights(model.get_weights())
expected = np.asarray(single(X[:3], training=False))
print(
    json.dumps(
        {
            "copies": plain[3],
            "repeatable": equal(plain, again),
            "untouched": equal(plain, recorded),
            "kernel": bool(np.array_equal(snapshot["wide"].kernel, np.asarray(by_hand).T)),
            "kernel shape": snapshot["wide"].kernel.shape,
            "output": bool(np.allclose(snapshot.outputs["output"], expected, atol=1e-5)),
            "output shape": snapshot["conv"].output.shape,
        }
    )
)
