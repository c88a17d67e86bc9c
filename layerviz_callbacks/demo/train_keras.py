"""The demo's convnet in Keras."""

from __future__ import annotations

from pathlib import Path

from layerviz_callbacks import views
from layerviz_callbacks.demo.digits import LABELS, LEARNING_RATE, Digits
from layerviz_callbacks.sinks import Folder, TensorBoard


def train_keras(digits: Digits, *, out: Path, epochs: int) -> float:
    """Train with the callback; return the accuracy on the held-out digits."""
    import keras

    from layerviz_callbacks.keras import LayerVizCallback

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            keras.layers.MaxPooling2D(name="pool"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dropout(0.2, name="dropout"),
            keras.layers.Dense(64, activation="relu", name="hidden"),
            keras.layers.Dense(10, name="head"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss, metrics=["accuracy"])
    held_out = (digits.held_out_images[..., None], digits.held_out_labels)
    model.fit(
        digits.train_images[..., None],
        digits.train_labels,
        validation_data=held_out,
        epochs=epochs,
        batch_size=32,
        callbacks=[
            LayerVizCallback(
                digits.probe(channel_axis=-1),
                log_dir=[TensorBoard(out / "logs" / "keras"), Folder(out / "pictures" / "keras")],
                views=[*views.default_views(), views.GradCAM(), views.Predictions(labels=LABELS)],
            )
        ],
    )
    return float(model.evaluate(*held_out, verbose=0, return_dict=True)["accuracy"])
