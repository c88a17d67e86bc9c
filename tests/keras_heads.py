"""Two dense layers with an end of the caller's choice, for `keras` and for `tf_keras` alike."""

import numpy as np

KERNEL = np.array([[40.0, 0.0], [0.0, 40.0], [40.0, -40.0]], "float32")


def hand_written(keras, end):
    """A model of its own class that ends in a function of its own, and does not take `training`."""

    class HandWritten(keras.Model):
        def __init__(self):
            super().__init__()
            self.features = keras.layers.Dense(3, use_bias=False, name="features")
            self.last = keras.layers.Dense(2, use_bias=False, name="last")

        def call(self, x):
            return end(self.last(self.features(x)))

    return HandWritten()


def functional_with(keras, end):
    """A functional model with the end in its graph."""
    inputs = keras.Input((3,))
    features = keras.layers.Dense(3, use_bias=False, name="features")(inputs)
    return keras.Model(inputs, end(keras.layers.Dense(2, use_bias=False, name="last")(features)))
