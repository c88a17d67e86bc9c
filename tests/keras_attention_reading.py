"""What the tests of attention share for `keras` and for `tf_keras`: a reading, its oracle, and a view."""

import numpy as np

from layerviz_callbacks.keras.reading import reader_of
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request
from layerviz_callbacks.views import View


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def softmax(scores):
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True)


def read(model, x, *, samples=None, **wanted):
    """The shapes of a first reading, and a snapshot of a second with all attention."""
    reader = reader_of(model, Probe(x))
    shapes = reader.read(Request())
    names = frozenset(entry.name for entry in reader.entries())
    snapshot = reader.read(Request(attention=names, attention_samples=samples, **wanted))
    found = {layer.name: layer.attention_shape for layer in snapshot if layer.attention_shape is not None}
    assert found == {layer.name: layer.attention_shape for layer in shapes if layer.attention_shape}
    assert all(layer.attention is None for layer in shapes)
    return found, snapshot


class LooksAtAttention(View):
    """Asks for all attention, of the first samples where so many are given, and keeps what it is shown."""

    family = "looks"
    needs = frozenset({"attention"})

    def __init__(self, samples=None):
        super().__init__(layers="*")
        self.samples, self.seen = samples, []

    def refusal(self, layer):
        return "" if layer.attention_shape is not None else "it does not attend"

    def request(self, layers, shapes):
        names = frozenset(layer.base_name for layer in layers)
        return Request(attention=names, attention_samples=self.samples)

    def draw_layer(self, layer, snapshot):
        self.seen.append((snapshot.step, layer.name, layer.attention))
        return []
