"""A layer's range holds still over steps; where it must grow, it grows in marked steps."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import CountingReader, ListSink

from layerviz_callbacks import Layer, Probe, Snapshot, views
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.render.held_range import HeldRange, held_range, round_up
from layerviz_callbacks.render.scale import Scale


def test_a_range_ends_at_a_round_number_and_is_filled_for_three_quarters_at_least():
    for limit in np.geomspace(1e-6, 1e6, 200):
        assert 0.749 <= limit / round_up(float(limit)) <= 1
    assert round_up(0.0) == 0.0
    assert [round_up(value) for value in (1.2, 2.4, 3.1, 6.5, 9.0)] == [1.2, 2.5, 4.0, 8.0, 10.0]


def test_a_range_holds_still_grows_when_it_must_and_never_shrinks():
    limits, before = [], None
    for step, needed in enumerate([0.41, 0.45, 0.3, 0.9, 0.1, 7.5]):
        before = held_range(Scale(needed, signed=False), step, before=before)
        limits.append((before.limit, before.since, before.before))
    assert limits == [
        (0.5, 0, None), (0.5, 0, None), (0.5, 0, None), (1.0, 3, 0.5), (1.0, 3, 0.5), (8.0, 5, 1.0),
    ]  # fmt: skip


def test_a_layer_whose_sign_changes_once_keeps_its_signed_colours():
    first = held_range(Scale(1.0, signed=False), 0, before=None)
    signed = held_range(Scale(0.5, signed=True), 1, before=first)
    assert (signed.signed, signed.limit, signed.since) == (True, 1.0, 1)
    assert held_range(Scale(0.5, signed=False), 2, before=signed) is signed


def test_a_layer_that_was_all_zero_gets_a_range_when_it_answers():
    dead = held_range(Scale(0.0, signed=False), 0, before=None)
    assert dead.limit == 0.0
    assert held_range(Scale(0.3, signed=False), 4, before=dead) == HeldRange(0.3, False, 4, 0.0)


class Growing(CountingReader):
    """Two samples of 4 x 4 maps whose largest value is that of `heights` at each reading."""

    def __init__(self, heights):
        super().__init__()
        self.heights = iter([0.0, *heights])  # the shapes come first

    def read(self, request):
        snapshot = super().read(request)
        height = next(self.heights)
        output = np.full((2, 4, 4, 2), height, np.float32)
        output[0] = 0
        kernel = np.full((2, 1, 3, 3), -height, np.float32)
        layer = replace(snapshot.layers["conv1"], output=output, kernel=kernel)
        return replace(snapshot, layers={**snapshot.layers, "conv1": layer})


class Pictures(ListSink):
    def write(self, pictures, step):
        self.kept = [*getattr(self, "kept", []), *((step, picture) for picture in pictures)]


@pytest.mark.parametrize("worker", [None, "process"])
@pytest.mark.parametrize(
    ("view", "levels"),
    [
        (views.FeatureMaps(layers="conv1"), [201, 100, 193, 67]),  # 223 x value / limit
        (views.Filters(layers="conv1"), [11, 61, 15, 78]),  # 111 - 111 x value / limit
    ],
)
def test_the_same_colour_means_the_same_value_at_each_step(view, levels, worker):
    sink = Pictures()
    recorder = Recorder(log_dir=sink, views=[view], worker=worker, budget=None)
    heights = [0.9, 0.45, 1.3, 0.45]
    recorder.begin(Growing(heights), step=0, total=3)
    for epoch in (1, 2, 3):
        recorder.epoch_end(epoch)
    recorder.end()
    drawn = [picture for _, picture in sink.kept if picture.tag.endswith("conv1")]
    assert [picture.held.limit for picture in drawn] == [1.0, 1.0, 1.5, 1.5]
    assert "the range grew here, from 1 to 1.5" in drawn[2].caption
    assert "same range since step 2, before that 1" in drawn[3].caption
    for picture, level in zip(drawn, levels, strict=True):
        assert (picture.pixels == level).sum() > 500, "the tiles have the colour of their value"


def test_a_single_snapshot_takes_the_range_of_its_own_values():
    output = np.full((1, 4, 4, 1), 0.37, np.float32)
    layer = Layer("conv1", "Conv2D", 1, output_shape=output.shape, output=output)
    snapshot = Snapshot({"conv1": layer}, Probe(np.zeros((1, 4, 4, 1))), {"input": np.zeros((1, 4, 4, 1))})
    (picture,) = views.FeatureMaps(layers="conv1").draw(snapshot)
    assert picture.held is None
    assert "from 0 to 0.37" in picture.caption


def test_channels_with_a_range_of_their_own_hold_none():
    output = np.random.default_rng(0).uniform(size=(1, 4, 4, 2)).astype(np.float32)
    layer = Layer("conv1", "Conv2D", 1, output_shape=output.shape, output=output)
    snapshot = Snapshot(
        {"conv1": layer}, Probe(np.zeros((1, 4, 4, 1))), {"input": np.zeros((1, 4, 4, 1))}, ranges={}
    )
    (picture,) = views.FeatureMaps(layers="conv1", contrast="channel").draw(snapshot)
    assert picture.held is None


def drawn_in_turn(view, snapshots):
    """The pictures of one sheet at steps that follow each other, each with the ranges of those before."""
    ranges, pictures = {}, []
    for step, shown in enumerate(snapshots):
        (picture,) = view.draw(replace(shown, step=step, ranges=dict(ranges)))
        ranges[picture.tag] = picture.held
        pictures.append(picture)
    return pictures


def answered(height):
    """A layer of two channels whose map has one place of this height, and the model's own curves as high."""
    output = np.zeros((1, 8, 8, 2), np.float32)
    output[0, 2, 3] = height
    curve = np.zeros((1, 64, 2), np.float32)
    curve[0, 20:40] = height
    layer = Layer("conv1", "Conv2D", 1, kernel_shape=(2, 1, 3, 3), output_shape=output.shape, output=output)
    inputs = np.zeros((1, 64, 1), np.float32)
    return Snapshot({"conv1": layer}, Probe(inputs), {"input": inputs}, outputs={"curves": curve})


@pytest.mark.parametrize(
    "view",
    [
        views.Composite(layers="conv1", method="mean"),
        views.Composite(layers="conv1", method="top-k", count=1),
        views.Composite(layers="conv1", method="principal component"),
        views.Composite(layers="conv1", method="clusters"),
        views.Predictions(kind="curves"),
    ],
)
def test_joined_maps_and_predicted_curves_keep_their_range_and_say_where_it_grew(view):
    first, smaller, larger, later = drawn_in_turn(view, [answered(height) for height in (2, 1.1, 9, 3)])
    assert first.held is smaller.held
    assert larger.held.limit > first.held.limit and larger.held.before == first.held.limit
    assert later.held is larger.held
    assert "the range grew here" in larger.caption and "the range grew" not in smaller.caption
    assert "same range since step 2" in later.caption
    (alone,) = view.draw(answered(1.1))
    assert alone.held is None


def test_probabilities_over_time_stay_on_0_to_1():
    pictures = drawn_in_turn(views.Predictions(kind="curves"), [answered(height) for height in (0.1, 0.9)])
    assert [picture.held.limit for picture in pictures] == [1.0, 1.0]
    assert all("answers from 0 to 1;" in picture.caption for picture in pictures)
