"""A reader, a view and a sink that one can count on one's fingers."""

import numpy as np

from layerviz_callbacks import Layer, Picture, Probe, Snapshot
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.request import Request
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.views import View


class Model:
    """Nothing but an identity."""


class CountingReader:
    """Two layers with kernels and a pooling layer; notes every request; fails where told to."""

    def __init__(self, model=None):
        self.model = model or Model()
        self.requests = []
        self.fail_with = None

    def entries(self):
        return [
            LayerEntry("conv1", None, True),
            LayerEntry("pool", None, False),
            LayerEntry("head", None, True),
        ]

    def read(self, request):
        self.requests.append(request)
        if self.fail_with is not None:
            raise self.fail_with
        layers = {
            "conv1": Layer("conv1", "Conv2D", 1, kernel_shape=(2, 1, 3, 3), output_shape=(2, 4, 4, 2)),
            "pool": Layer("pool", "MaxPooling2D", 2, output_shape=(2, 2, 2, 2)),
            "head": Layer("head", "Dense", 3, kernel_shape=(5, 8), output_shape=(2, 5)),
        }
        batch = np.zeros((2, 4, 4, 1))
        return Snapshot(layers, Probe(batch), {"input": batch})


class Shapes(View):
    """One grey pixel a layer; fails where told to."""

    family = "shapes"
    needs = frozenset({"outputs"})

    def __init__(self, **options):
        super().__init__(**options)
        self.fail_with = None

    def refusal(self, layer):
        return "too deep" if layer.name == "head" else ""

    def draw_layer(self, layer, snapshot):
        if self.fail_with is not None:
            raise self.fail_with
        yield Picture(self.tag(layer, snapshot), np.zeros((1, 1), np.uint8), caption=snapshot.when)


class Kernels(Shapes):
    family = "kernels"
    needs = frozenset({"weights"})

    def refusal(self, layer):
        return ""


class Keeps(Shapes):
    """Keeps the snapshots that it is given, and draws nothing."""

    def __init__(self, **options):
        super().__init__(**options)
        self.snapshots = []

    def draw(self, snapshot):
        self.snapshots.append(snapshot)
        return []


class Measuring(Keeps):
    """Keeps snapshots with the statistics of every layer."""

    family = "measuring"

    def request(self, layers, shapes):
        return Request(statistics=frozenset(layer.base_name for layer in shapes))


class ListSink(Sink):
    """Keeps everything in a list; fails where told to."""

    location = "memory"

    def __init__(self):
        self.calls = []
        self.pictures = []
        self.texts = []
        self.scalars = []
        self.fail_with = None

    def open(self, *, first_step):
        self.calls.append(("open", first_step))

    def write(self, pictures, step):
        if self.fail_with is not None:
            raise self.fail_with
        self.pictures += [(step, picture.tag, picture.caption) for picture in pictures]

    def write_text(self, tag, text, step):
        self.texts.append((step, tag, text))

    def write_scalars(self, scalars, step):
        self.scalars += [(step, tag, value) for tag, value in scalars.items()]

    def flush(self):
        self.calls.append(("flush",))

    def close(self):
        self.calls.append(("close",))

    def steps(self, tag):
        return [step for step, written, _ in self.pictures if written == tag]
