"""Look into a Keras model that is trained already: a table, arrays and PNG files.

    python examples/inspect_a_trained_model.py [folder]

Trains a small convnet on real scanned digits for a moment; put your own model and samples in its place.
"""

import sys
from pathlib import Path

import keras

from layerviz_callbacks import inspect, views
from layerviz_callbacks.demo.digits import load_digits


def trained_model(digits):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            keras.layers.MaxPooling2D(name="pool"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(10, activation="softmax", name="head"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(digits.train_images[..., None], digits.train_labels, epochs=3, verbose=2)
    return model


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    snapshot = inspect(trained_model(digits), digits.probe(channel_axis=-1))
    print(snapshot.summary())
    print("the first kernel:\n", snapshot["conv1"].kernel[0, 0].round(2))
    for picture in snapshot.pictures(views.Filters(), views.FeatureMaps(layers=["conv1", "pool", "head"])):
        path = folder / f"{picture.tag.replace('/', ' ')}.png"
        picture.save(path)
        print(path)


if __name__ == "__main__":
    main()
