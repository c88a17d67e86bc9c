"""Whatever is given: success, or one of this package's own errors."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from layerviz_callbacks import LayerVizError, Probe, views
from layerviz_callbacks.torch import attach

SPACES = {1: (nn.Conv1d, nn.MaxPool1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d)}
SPACES[3] = (nn.Conv3d, nn.MaxPool3d, nn.BatchNorm3d)

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(0, 9), max_size=3),
)


def mostly(usual, strange=ANYTHING):
    """The usual, and once in eight times the strange: else hardly any example would come through."""
    return st.integers(0, 7).flatmap(lambda number: strange if number == 7 else usual)


@st.composite
def networks(draw):
    """A small network, and the shape `(channel, *space)` of the samples that it takes."""
    rank = draw(st.integers(1, 3))
    convolution, pooling, norm = SPACES[rank]
    channels = first = draw(st.integers(1, 4))
    network = nn.Sequential()
    for place in range(draw(st.integers(0, 3))):
        out = draw(st.integers(1, 5))
        name = draw(st.text(st.characters(blacklist_characters="."), min_size=1, max_size=6)) + str(place)
        network.add_module(name, convolution(channels, out, draw(st.sampled_from([1, 3])), padding="same"))
        channels = out
        more = draw(st.sampled_from([None, nn.ReLU(), norm(out), pooling(2), nn.Dropout(), nn.GELU()]))
        if more is not None:
            network.add_module(f"more {place}", more)
    network.add_module("flatten", nn.Flatten())
    network.add_module("head", nn.LazyLinear(draw(st.integers(1, 3))))
    shape = (first, *(draw(st.integers(8, 11)) for _ in range(rank)))
    network(torch.zeros(2, *shape))
    return network, shape


@st.composite
def values(draw, shape):
    """Samples of that shape, sometimes of another; ordinary numbers, sometimes strange ones."""
    count = draw(st.integers(1, 3))
    others = st.sampled_from([shape, (count, *shape[1:]), (count, *shape, 1), (0, *shape)])
    wanted = draw(mostly(st.just((count, *shape)), others))
    kinds = st.sampled_from(["float64", "uint8", "int64", "bool", "float16"])
    array = np.random.default_rng(0).normal(size=wanted).astype(draw(mostly(st.just("float32"), kinds)))
    if array.size and array.dtype.kind == "f":
        array.flat[0] = draw(mostly(st.just(0.0), st.sampled_from([np.nan, np.inf, -np.inf, 1e30, 1e-40])))
    return array


def selectors(names):
    words = [*names, *names, "*", "kind:convolution", "kind:dense", "more*"]
    word = mostly(st.sampled_from(words), st.text(max_size=5))
    others = st.one_of(ANYTHING, st.just(nn.ReLU), st.just(nn.Conv2d), st.just(lambda name, layer: True))
    return mostly(st.one_of(st.none(), word, st.lists(word, min_size=1, max_size=3)), others)


TARGET = {
    "target": mostly(st.sampled_from(["predicted", "target", 0, 2, [0, 1]])),
    "output": mostly(st.none()),
    "region": mostly(st.sampled_from(["predicted", "all"])),
}
LOOKING = {
    views.Composite: {"method": mostly(st.sampled_from(["mean", "top-k", "clusters"]))},
    views.Predictions: {"kind": mostly(st.none())},
    views.Attention: {"max_samples": mostly(st.integers(1, 5))},
    views.GradCAM: {"method": mostly(st.sampled_from(["grad-cam", "layercam", "eigencam", "cam"])), **TARGET},
    views.Saliency: {"method": mostly(st.sampled_from(["gradient", "gradient x input"])), **TARGET},
    views.Patterns: {
        "steps": mostly(st.integers(1, 2)),
        "max_channels": mostly(st.integers(1, 3)),
        "start": mostly(st.sampled_from(["noise", "fourier"])),
        "jitter": mostly(st.integers(0, 1)),
        "size": mostly(st.none()),
    },
}
ALL_AT_ONCE = (views.Predictions, views.Saliency)


@st.composite
def some_views(draw, names):
    options = {"max_channels": draw(mostly(st.integers(1, 9))), "layers": draw(selectors(names))}
    options["contrast"] = draw(mostly(st.sampled_from(["layer", "channel"])))
    options["channels"] = draw(mostly(st.sampled_from(["first", "strongest", [0, 2]])))
    kind = draw(st.sampled_from([views.Filters, views.FeatureMaps, *LOOKING]))
    if kind not in LOOKING:
        return kind(**options)
    more = {name: draw(strategy) for name, strategy in LOOKING[kind].items()}
    return kind(**({} if kind in ALL_AT_ONCE else {"layers": options["layers"]}), **more)


@pytest.fixture
def no_words():
    """Nothing is told, of hundreds of faults on purpose."""
    log = logging.getLogger("layerviz_callbacks")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


@pytest.mark.usefixtures("no_words")
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data())
def test_nothing_comes_of_it_but_pictures_or_an_error_of_our_own(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    network, shape = data.draw(networks())
    names = list(dict(network.named_modules()))[1:]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    array = data.draw(values(shape))
    try:
        named = data.draw(mostly(st.none())), data.draw(mostly(st.none()))
        probe = Probe(array, names=named[0], targets=named[1]) if data.draw(st.booleans()) else array
        options = {
            "layers": data.draw(selectors(names)),
            "views": data.draw(
                mostly(st.one_of(st.none(), st.lists(some_views(names), min_size=1, max_size=2)))
            ),
            "every_n_epochs": data.draw(mostly(st.integers(1, 2))),
            "on_error": "raise",
        }
        with attach(network, probe, log_dir=folder, **options) as record:
            for epoch in (1, 2):
                record(epoch)
    except LayerVizError as error:
        assert len(str(error)) > 20, "an error says what was given and what to type"
    after = network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert network.training
