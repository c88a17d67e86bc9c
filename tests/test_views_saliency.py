import re
from dataclasses import replace

import numpy as np
import pytest
from explained_models import LOGITS
from view_models import convolve, gabors, shapes, snapshot, volumes, waves

from layerviz_callbacks import ArgumentError, Probe, Snapshot
from layerviz_callbacks.coverage import coverage
from layerviz_callbacks.explaining import SaliencyRecipe, Target, score_of
from layerviz_callbacks.plan import checked_views
from layerviz_callbacks.render import palette
from layerviz_callbacks.views import Saliency
from layerviz_callbacks.views.saliency_sheets import joined_channels, percentiles

METHODS = ["gradient", "gradient x input", "smoothgrad", "integrated gradients"]


def found(values, inputs, *, names=None, outputs=None, **options):
    """A snapshot with this saliency for `Saliency(**options)`."""
    shown = replace(
        snapshot(inputs=inputs, names=names), outputs=outputs or {"output": LOGITS[: len(inputs)]}
    )
    view = Saliency(**options)
    score = score_of(view.target, shown).without_weights()
    recipe = view.recipe(len(inputs))
    return replace(shown, saliency={recipe: {"input": values[: recipe.samples]}}, scores={view.target: score})


def draw(values, inputs, **options):
    known = found(values, inputs, **options)
    options.pop("names", None)
    options.pop("outputs", None)
    (picture,) = Saliency(**options).draw(known)
    return picture


def edges(images):
    """Something like the gradient of a convolution."""
    return convolve(images, gabors(1, 5))


# -- what is drawn ---------------------------------------------------------------------------------------


def test_channels_are_joined_by_their_largest_magnitude_or_their_sum():
    values = np.array([[1.0, -3.0, 2.0], [-1.0, 0.5, 0.0]]).reshape(1, 2, 1, 3)
    assert joined_channels(values, signed=False).ravel().tolist() == [3, 1]
    assert joined_channels(values, signed=True).ravel().tolist() == [0, -0.5]


def test_colours_end_at_the_99th_percentile_of_each_sample():
    maps = np.stack([np.arange(101.0), -np.arange(101.0) * 7])
    assert percentiles(maps).tolist() == [99, 99 * 7]
    sparse = np.zeros((1, 500))
    sparse[0, 3] = 5
    assert percentiles(sparse).tolist() == [5]  # else there were no scale
    assert percentiles(np.full((1, 4), np.nan)).tolist() == [0]


@pytest.mark.parametrize("method", METHODS)
def test_what_has_a_sign_is_drawn_with_it(method):
    images = shapes(24)
    values = edges(images)
    picture = draw(values, images, method=method)
    signed = method in ("gradient x input", "integrated gradients")
    assert ("colours from -99 % to 99 %" if signed else "colours from 0 to 99 %") in picture.caption
    assert (
        "99 %: each sample's 99th percentile" in picture.caption and method.lower() in picture.caption.lower()
    )
    negated = draw(-values, images, method=method)
    assert (negated.pixels != picture.pixels).any() == signed
    assert picture.tag == ("saliency/input" if method == "gradient" else f"saliency {method}/input")


def test_each_sample_fills_its_scale_whatever_the_others_are():
    images = shapes(24)
    values = edges(images)
    values[0] *= 1000
    levels = [palette.sequential()[palette.LEVELS - 1], palette.sequential()[0]]
    pixels = draw(values, images).rgb()[300:]
    thirds = [pixels[:, :233], pixels[:, 233:466], pixels[:, 466:]]
    for third in thirds:
        assert all((third == level).all(axis=-1).sum() > 50 for level in levels)


def test_the_input_stands_beside_as_it_is_displayed():
    given, shown = np.ones((1, 8, 8, 3), np.float32), np.zeros((1, 8, 8, 3), np.uint8)
    shown[..., 0] = 200
    known = replace(found(given, given), inputs={"input": shown})
    (picture,) = Saliency().draw(known)
    assert (picture.rgb() == (200, 0, 0)).all(axis=-1).sum() > 10_000


def test_nan_and_zeros_are_said():
    images = shapes(24)[:1]
    values = edges(images)
    values[0, 3, 4] = np.nan
    strange = draw(values, images)
    assert "NaN in 1 sample" in strange.caption
    assert (strange.rgb() == palette.sequential()[palette.NOT_A_NUMBER]).all(axis=-1).sum() > 50
    zero = draw(np.zeros_like(values), images)
    assert "NaN" not in zero.caption
    assert (zero.rgb() == palette.sequential()[palette.LEVELS - 1]).all(axis=-1).sum() < 100


def test_over_time_the_curve_keeps_its_peak_which_the_colours_cut():
    traces = waves(900)[:1]
    values = np.zeros((1, 900, 3), np.float32)
    values[0, :, 0] = 0.1
    values[0, 450, 1] = -8  # less than one place in a hundred
    picture = draw(values, traces)
    assert "input on the saliency's colours, saliency" in picture.caption
    assert "largest magnitude of 3 channels" in picture.caption
    rows = picture.rgb()[-100:, 8:-8].astype(int)
    dark = rows.sum(axis=-1) < 90
    highest = np.argmax(dark.any(axis=0) * (200 - dark.argmax(axis=0)))
    assert abs(highest - 342) <= 4
    bright = np.ptp(rows, axis=-1).max(axis=0) > 60  # 0.1 is the 99th percentile: all has its colour
    assert bright.mean() > 0.95


def test_volumes_show_the_same_slices_of_both():
    inputs = volumes(16)
    picture = draw(inputs, inputs)
    assert "slices 1, 4, 8, 11, 14 of 16, left to right" in picture.caption and "16x16x16" in picture.caption


def test_large_images_are_reduced_to_their_panel():
    images = np.zeros((2, 900, 900, 1), np.float32)
    values = np.zeros_like(images)
    values[:, 450:] = 1
    picture = draw(values, images)
    top = (picture.rgb() == palette.sequential()[palette.LEVELS - 1]).all(axis=-1)
    assert top.sum() > 20_000 and picture.size[0] == 700


def test_of_several_inputs_each_has_its_sheet():
    images, traces = shapes(24), waves(300)
    view = Saliency()
    probe = Probe({"image": images, "trace": traces, "age": np.zeros((3, 2), np.float32)})
    known = Snapshot({}, probe, probe.arrays, outputs={"output": LOGITS})
    recipe = view.recipe(3)
    assert set(view.refusals(known)) == {"age"}
    found_here = {"image": edges(images), "trace": traces, "age": np.zeros((3, 2), np.float32)}
    pictures = view.draw(replace(known, saliency={recipe: found_here}))
    assert [picture.tag for picture in pictures] == ["saliency/image", "saliency/trace"]
    assert pictures[0].caption.startswith("saliency: image")


def test_the_output_and_the_labels_of_classes_are_told():
    images = shapes(24)
    values, outputs = edges(images), {"mask": LOGITS, "age": np.zeros((3, 1), np.float32)}
    labels = ["rock", "sand", "salt"]
    named = draw(values, images, outputs=outputs, output="age")
    assert named.tag == "saliency of age/input" and "gradient, output age, 24x24" in named.caption
    several = draw(values, images, outputs=outputs, target=2, labels=labels)
    assert several.tag == "saliency of class 2/input"
    assert "class 2 (salt) of output mask" in several.caption
    assert "gradient, predicted class, 24x24" in draw(values, images).caption
    with_names, without = draw(values, images, labels=labels), draw(values, images)
    assert (with_names.pixels != without.pixels).any() and with_names.size == without.size


# -- what is read ----------------------------------------------------------------------------------------


def test_what_is_asked_for_is_what_is_drawn():
    images = shapes(24)
    known = replace(snapshot(inputs=images), outputs={"output": LOGITS})
    view = Saliency(method="smoothgrad", target=2, steps=7, noise=0.3, seed=5, max_samples=2)
    recipe = SaliencyRecipe("smoothgrad", Target(2), samples=2, steps=7, noise=0.3, seed=5)
    assert view.request([], known).saliency == {recipe} and view.request([], known).targets == [Target(2)]
    assert view.draw(known) == []
    assert view.reduced(2).recipe(3).samples == 1
    read = replace(known, saliency={view.reduced(2).recipe(3): {"input": edges(images)[:1]}})
    assert view.draw(read) == [] and len(view.reduced(2).draw(read)) == 1


def test_defaults_are_those_of_the_method():
    assert Saliency().recipe(8) == SaliencyRecipe(samples=4, steps=1)
    assert Saliency(method="smoothgrad").recipe(3).steps == 16
    assert Saliency(method="integrated gradients").recipe(3).steps == 32


def test_several_stand_side_by_side_in_one_callback():
    views = [Saliency(), Saliency(method="smoothgrad"), Saliency(target=1)]
    assert [view.family for view in checked_views(views)] == [
        "saliency", "saliency smoothgrad", "saliency of class 1",
    ]  # fmt: skip
    with pytest.raises(ArgumentError, match="Saliency twice"):
        checked_views([Saliency(), Saliency(max_samples=2)])


def test_inputs_without_a_gradient_are_refused_in_words():
    tokens = np.arange(10).reshape(2, 5)
    for inputs, words in [
        (tokens, "its numbers are int64, which no gradient can change"),
        (np.zeros((2, 8, 8, 1), np.uint8), "its numbers are uint8"),
        (np.zeros((2, 5), np.float32), "an axis of space is needed"),
    ]:
        known = replace(snapshot(inputs=inputs), outputs={"output": LOGITS[:2]}, chosen=None)
        covered = coverage(known, [(Saliency(), None)])
        assert words in covered.others[("input", "saliency")]
        assert not Saliency().request([], known).saliency
        Saliency().check(known)
    no_scores = replace(snapshot(inputs=shapes(24)), outputs={"output": np.zeros((3, 2), int)})
    assert "the model gives no scores" in Saliency().refusals(no_scores)["input"]
    Saliency().check(no_scores)


# -- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "smooth grad"}, "Did you mean 'smoothgrad'?"),
        ({"steps": 8}, "goes with method='smoothgrad' or 'integrated gradients'"),
        ({"method": "integrated gradients", "noise": 0.1}, "goes with method='smoothgrad'"),
        ({"method": "smoothgrad", "noise": 0}, "Allowed: a number above 0"),
        ({"method": "smoothgrad", "noise": "much"}, "Allowed: a number above 0"),
        ({"method": "smoothgrad", "steps": 0}, "steps=1"),
        ({"seed": -1}, "Allowed: a whole number from 0 on"),
        ({"target": "best"}, "a class number from 0 on"),
        ({"labels": []}, "is not a list of names"),
        ({"max_samples": 0}, "max_samples=1"),
    ],
)
def test_wrong_arguments_say_what_to_type(options, words):
    with pytest.raises(ArgumentError, match=re.escape(words)):
        Saliency(**options)


def test_what_does_not_fit_the_model_is_told_before_training():
    known = replace(snapshot(inputs=shapes(24)), outputs={"output": LOGITS})
    for options, words in [
        ({"target": 3}, "This model gives 3 numbers: 0 to 2"),
        ({"target": [1, 2]}, "has 2 classes, and the probe 3 samples"),
        ({"target": "target"}, "the probe has no targets"),
    ]:
        with pytest.raises(ArgumentError, match=re.escape(words)):
            Saliency(**options).check(known)
    Saliency(target=2).check(known)


# -- golden ----------------------------------------------------------------------------------------------


def test_saliency_looks_as_accepted(check_golden):
    images, traces, balls = shapes(24), waves(900), volumes(16)
    names = ["ring", "bar", "cross"]
    check_golden(draw(edges(images), images, names=names), "saliency_2d")
    check_golden(draw(traces * traces[:, ::-1], traces, method="gradient x input"), "saliency_1d")
    steps = np.diff(balls, axis=2, prepend=0)
    check_golden(draw(steps, balls, method="integrated gradients"), "saliency_3d")
