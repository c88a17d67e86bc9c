import re
from dataclasses import replace

import numpy as np
import pytest
from explained_models import LOGITS, compared, convolutional, explained
from scipy.stats import spearmanr
from view_models import only_shapes, shapes, volumes, waves

from layerviz_callbacks import ArgumentError, Layer, Probe, Snapshot
from layerviz_callbacks.coverage import coverage
from layerviz_callbacks.cut import OutputCut, cut_output
from layerviz_callbacks.explaining import Target, score_of
from layerviz_callbacks.plan import checked_views, plan_of, request_of
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import LINE_HEIGHT
from layerviz_callbacks.views import GradCAM
from layerviz_callbacks.views.activation_maps import METHODS, activation_map
from layerviz_callbacks.views.grad_cam_layers import folded
from layerviz_callbacks.views.heat_maps import enlarged, over_images, sample_scale, with_outline
from layerviz_callbacks.views.sample_panels import draw_panel_sheet
from layerviz_callbacks.views.sample_texts import fit_with_text, score_phrases, subject_of

RANDOM = np.random.default_rng(11)


def draw(known, **options):
    (picture,) = GradCAM(**options).draw(known)
    return picture


def has_colour(picture, index):
    return (picture.rgb() == palette.sequential()[index]).all(axis=-1)


# -- what is drawn ---------------------------------------------------------------------------------------


def test_the_map_stands_alone_in_its_own_places_and_colours():
    output = np.array([[0.0, 1.0], [2.0, 4.0]], np.float32).reshape(1, 2, 2, 1)
    picture = draw(explained(output, np.ones_like(output), shapes(24)[:1]))
    assert "left to right: input, map over it (enlarged linearly), map" in picture.caption
    levels = Scale(4.0, signed=False).levels(output.ravel())
    pixels = picture.rgb()[-240:]  # below the colour bar
    boxes = []
    for colour in palette.sequential()[levels]:
        rows, columns = np.nonzero((pixels == colour).all(axis=-1)[:, 462:])
        boxes.append((rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1))
        assert len(rows) == boxes[-1][2] * boxes[-1][3]  # the whole quarter
    side = boxes[0][2]
    assert side > 80 and all(abs(length - side) <= 1 for box in boxes for length in box[2:])
    (top, left, high, wide), rest = boxes[0], [box[:2] for box in boxes[1:]]
    assert rest == [(top, left + wide), (top + high, left), (top + high, left + wide)]


def test_what_is_explained_and_its_score_are_told_in_the_sheet_of_each_method():
    for method in METHODS:
        known = compared(convolutional(), convolutional(step=2.0))
        picture = draw(known, method=method)
        assert picture.size[0] == 700 and picture.pixels.ndim == 3
        assert picture.tag == f"{method}/01_conv1"
        assert ("predicted class" in picture.caption) is (method != "eigencam")
        signed = method in ("hirescam", "cam")
        assert ("colours from -max to max" if signed else "colours from 0 to max") in picture.caption


def test_a_map_over_its_input_leaves_it_grey_where_the_map_is_zero():
    grey = np.linspace(0, 1, 12).reshape(1, 3, 4)
    maps = np.array([[[0.0] * 4, [1.0] * 4, [np.nan] * 4]])
    over = over_images(grey, maps, sample_scale(maps, signed=False))[0].astype(int)
    assert (np.ptp(over[0], axis=-1) == 0).all() and (np.diff(over[0, :, 0]) > 0).all()
    assert np.ptp(over[1], axis=-1).min() > 60  # yellow, through which the input shines
    assert (np.diff(over[1], axis=0) > 0).all()
    assert (over[2] == palette.sequential()[palette.NOT_A_NUMBER]).all()


def test_enlarging_is_linear_between_the_centres_of_places():
    np.testing.assert_allclose(enlarged(np.array([[0.0, 4.0]]), 1, 8), [[0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]])
    torch = pytest.importorskip("torch")
    maps = RANDOM.random((2, 5, 7))
    expected = torch.nn.functional.interpolate(
        torch.tensor(maps)[None], (23, 40), mode="bilinear", align_corners=False
    )[0]
    np.testing.assert_allclose(enlarged(maps, 23, 40), expected.numpy(), atol=1e-12)
    smaller = enlarged(maps, 5, 7)
    np.testing.assert_array_equal(smaller, maps)
    np.testing.assert_allclose(enlarged(np.arange(4.0).reshape(1, 4), 1, 2), [[0.5, 2.5]])
    held = enlarged(np.array([[0.0, np.nan, 2.0]]), 1, 9)[0]
    assert np.isnan(held[3:6]).all() and np.isfinite(held[[0, 1, 2, 6, 7, 8]]).all()


def test_each_sample_has_its_own_scale_and_its_maximum_in_numbers():
    output = np.ones((2, 3, 3, 1), np.float32)
    output[0] *= 8
    output[1] *= 0.5
    known = explained(output, np.ones_like(output), shapes(24)[:2])
    pixels = draw(known).pixels
    top = palette.sequential()[palette.LEVELS - 1]
    brightest = (pixels == top).all(axis=-1)
    left, right = brightest[400:, :350], brightest[400:, 350:]
    assert left.sum() > 1000 and right.sum() > 1000
    half = replace(known, layers={"conv1": replace(known["conv1"], output=known["conv1"].output * [[[[2]]]])})
    assert (draw(half).pixels != pixels).any()  # the numbers alone


def test_an_all_zero_map_and_nan_are_said():
    output = np.zeros((1, 4, 4, 2), np.float32)
    known = explained(output, np.ones_like(output), shapes(24)[:1])
    zero = draw(known)
    output = np.ones((1, 4, 4, 2), np.float32)
    output[0, 1, 1, 0] = np.nan
    strange = draw(explained(output, np.ones_like(output), shapes(24)[:1]))
    assert "NaN in 1 sample" in strange.caption and "NaN" not in zero.caption
    assert has_colour(strange, palette.NOT_A_NUMBER).sum() > 1000
    assert not has_colour(zero, palette.NOT_A_NUMBER).any()
    lit = has_colour(zero, palette.LEVELS - 1)
    assert lit.sum() < 100  # nothing but the end of the colour bar


def test_cam_is_refused_in_words_where_the_gradient_is_not_that_of_pooling():
    known = convolutional()
    assert "colours from -max to max" in draw(known, method="cam").caption
    gradient = known["conv1"].gradients[Target()].copy()
    gradient[0, 0, 0] *= 1.01
    wrong = replace(known["conv1"], gradients={Target(): gradient})
    known = compared(replace(known, layers={"conv1": wrong}), known)
    picture = draw(known, method="cam")
    assert "Type method='grad-cam'" in picture.caption and "colours" not in picture.caption
    assert GradCAM(method="cam").scalars(known) == {}


def test_gradcam_plus_plus_says_where_the_outputs_are_not_those_of_a_relu():
    known = convolutional()
    words = "made for outputs of a ReLU"
    assert words not in draw(known, method="grad-cam++").caption
    negative = replace(known["conv1"], output=known["conv1"].output - 0.1)
    known = replace(known, layers={"conv1": negative})
    assert words in draw(known, method="grad-cam++").caption and words not in draw(known).caption


def test_no_more_samples_are_drawn_than_wanted():
    known = convolutional()
    assert "3 samples" in draw(known).caption
    assert "2 of 3 samples" in draw(known, max_samples=2).caption
    (picture,) = GradCAM().reduced(2).draw(known)
    assert "1 of 3 samples" in picture.caption


# -- over time and in volumes ----------------------------------------------------------------------------


def over_time():
    traces = waves(900)
    output = np.abs(traces)[:, ::30]
    return explained(output, np.ones_like(output), traces, kind="Conv1D", names=["near", "far", "noise"])


def in_space():
    inputs = volumes(16)
    output = inputs[:, 1::4, 1::4, 1::4] * [1.0, -0.5]
    return explained(output.astype(np.float32), np.ones(output.shape, np.float32), inputs, kind="Conv3D")


def test_a_trace_stands_on_its_map_and_the_curve_is_on_the_same_axis():
    output = np.zeros((1, 20, 1), np.float32)
    output[0, 15] = 1
    traces = np.zeros((1, 900, 1), np.float32)
    known = explained(output, np.ones_like(output), traces, kind="Conv1D")
    picture = draw(known)
    assert "input on the map's colours, map" in picture.caption and "length 20" in picture.caption
    rows = picture.rgb()[-150:].astype(int)
    strength = np.ptp(rows, axis=-1).max(axis=0)[8:-8]
    assert abs(int(np.argmax(strength)) / 684 - 15.5 / 20) < 0.05
    dark = (rows.sum(axis=-1) < 90)[-140:, 8:-8]
    highest = np.argmax(dark[40:].argmax(axis=0) * -1 + 200 * dark[40:].any(axis=0))
    assert abs(highest / 684 - 15.5 / 20) < 0.05


def test_volumes_show_slices_and_say_which():
    picture = draw(in_space())
    assert "slices 1, 4, 8, 11, 14 of 16, left to right" in picture.caption and "4x4x4" in picture.caption


def test_the_slices_of_a_coarser_map_lie_where_those_of_the_input_do():
    inputs = np.zeros((1, 15, 8, 8, 1), np.float32)
    output = np.zeros((1, 5, 4, 4, 1), np.float32)
    output[0, 4] = 1  # the last slices of the input
    picture = draw(explained(output, np.ones_like(output), inputs, kind="Conv3D"))
    top = (picture.rgb() == palette.sequential()[palette.LEVELS - 1]).all(axis=-1)[-60:]
    columns = np.flatnonzero(top.any(axis=0))
    strip = np.flatnonzero((picture.rgb()[-60:] != palette.sequential()[palette.PAPER]).any(axis=(0, 2)))
    width = strip.max() + 1 - strip.min()
    assert (columns.min() - strip.min()) / width > 0.78  # the fifth of five


# -- regions of a segmentation ---------------------------------------------------------------------------


def segmented(region="predicted"):
    images = shapes(24)
    numbers = (images[..., 0] > 0.5).astype(int)
    logits = (4.0 * (numbers[..., None] == np.arange(2))).astype(np.float32)
    output = images[:, 2::4, 2::4] * np.ones(3, np.float32)
    target = Target(region=region)
    return explained(
        output, np.ones_like(output), images, target=target, outputs={"output": logits}, targets=numbers
    )


def test_the_places_that_are_summed_are_outlined():
    part, everything = draw(segmented()), draw(segmented("all"), region="all")
    assert "outlined: places that are summed" in part.caption and "outlined" not in everything.caption
    body = slice(-400, None)
    ink, paper = (has_colour(part, index)[body].sum() for index in (palette.INK, palette.PAPER))
    others = (has_colour(everything, index)[body].sum() for index in (palette.INK, palette.PAPER))
    assert ink > next(others) + 300 and paper > 0


def test_an_outline_is_light_inside_the_edge_and_dark_outside():
    region = np.zeros((1, 12, 12), bool)
    region[0, 4:, 3:9] = True  # down to the lower edge, where there is none
    pixels = with_outline(np.full((1, 12, 12, 3), 100, np.uint8), region)[0]
    light = (pixels == palette.sequential()[palette.PAPER]).all(axis=-1)
    dark = (pixels == palette.sequential()[palette.INK]).all(axis=-1)
    assert light[4:6, 3:9].all() and light[6:, [3, 4, 7, 8]].all() and not light[6:, 5:7].any()
    assert dark[2:4, 3:9].all() and dark[6:, [1, 2, 9, 10]].all() and not dark[:2].any()
    assert light[region[0]].sum() == light.sum() and not dark[region[0]].any()


def test_over_time_a_bar_is_below_the_places_that_are_summed():
    traces = waves(900)
    logits = np.full((3, 900, 1), -1.0, np.float32)
    logits[:, 300:600] = 1
    output = np.abs(traces)[:, ::30]
    known = explained(output, np.ones_like(output), traces, kind="Conv1D", outputs={"output": logits})
    picture = draw(known)
    assert "black bar: places that are summed" in picture.caption
    ink = has_colour(picture, palette.INK)
    bars = [row for row in ink[300:] if 225 <= row.sum() <= 245 and row[240:460].all()]
    assert len(bars) >= 8  # a third of the width, each bar 8 pixels high


def picks(values, *, target=None, **others):
    """Traces, a layer over time, and an output P `(sample, time, 1)` beside others of the model's."""
    traces = waves(300)
    output = np.abs(traces)[:, ::10]
    target, outputs = target or Target(output="P"), {"P": np.asarray(values, np.float32), **others}
    return explained(
        output, np.ones_like(output), traces, target=target, kind="Conv1D", outputs=outputs,
        names=["near", "far", "noise"],
    )  # fmt: skip


def test_the_sheet_names_the_output_where_the_model_has_several_or_one_was_asked_for():
    values = np.full((3, 300, 1), -1.0)
    values[:, 100:150] = 1
    alone, other = picks(values, target=Target()), np.zeros((3, 300, 1), np.float32)
    assert "Grad-CAM of Conv1D, the model's number, length 30" in draw(alone).caption
    assert "Grad-CAM of Conv1D, output P, length 30" in draw(picks(values), output="P").caption
    assert "output P, length 30" in draw(picks(values, target=Target(), S=other)).caption
    classes = {"output": LOGITS, "age": np.zeros((3, 1), np.float32)}
    assert "predicted class of output output" in draw(convolutional(outputs=classes)).caption
    assert "predicted class, 6x6" in draw(convolutional()).caption


def test_where_nothing_is_predicted_it_is_said_that_the_highest_place_stands_in():
    values = np.full((3, 300, 1), -1.0)
    values[:2, 100:150] = 1
    values[2, 200] = -0.5
    picture = draw(picks(values), output="P")
    assert "highest place: stands in where nothing is predicted" in picture.caption
    score = score_of(Target(output="P"), picks(values))
    assert [one for one, _ in score_phrases(score, 0)] == ["score 50", "50 of 300 places"]
    assert [one for _, one in score_phrases(score, 0)] == ["score 50", "50 places"]
    assert [one for one, _ in score_phrases(score, 2)] == ["score -0.5", "highest place"]
    values[2, 200] = 1
    picture = draw(picks(values), output="P")
    assert "highest place" not in picture.caption
    assert ("1 of 300 places", "1 place") in score_phrases(score_of(Target(output="P"), picks(values)), 2)


def test_no_line_of_text_is_left_empty_above_the_panels():
    values = np.full((3, 300, 1), -1.0)
    values[:2, 100:150] = 1
    for known, options in [
        (picks(values), {"output": "P"}),
        (compared(convolutional(), convolutional(step=2.0)), {}),
        (compared(over_time(), over_time()), {}),
        (segmented(), {}),
    ]:
        pixels = draw(known, **options).rgb()
        paper = (pixels == palette.sequential()[palette.PAPER]).all(axis=(1, 2))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], paper, [0]])))
        assert np.max(edges[1::2] - edges[::2]) < LINE_HEIGHT
    known = segmented()
    texts = [[*score_phrases(known.scores[Target()], place), ("max 2.13", "max 2.13")] for place in range(3)]
    fitted, below = fit_with_text((24, 24), texts, panels=3)
    assert fitted.columns == 3 and [len(text) for text in below] == [fitted.lines - 1] * 3
    phrases = [("a", "a"), ("b" * 30, "b" * 20), ("c" * 30, "c" * 20)]
    for space in [(300,), (24, 24), (9, 200), (8, 16, 16)]:
        for samples in range(1, 6):
            fitted, below = fit_with_text(space, [phrases] * samples, panels=3)
            assert fitted.lines == 1 + len(below[0]) and len({len(text) for text in below}) == 1


def test_rows_of_blocks_are_as_high_as_their_texts():
    texts = [[("a" * 40, "a" * 40), ("b" * 30, "b" * 30)], [("c", "c")]]
    fitted, below = fit_with_text((300,), texts, panels=1)
    assert [len(text) for text in below] == [2, 1] and fitted.lines == 3
    panels = np.full((2, fitted.height, fitted.width), 7, np.uint8)
    body = draw_panel_sheet(fitted, [panels], ["one", "two"], below=below)
    tops = np.flatnonzero(np.diff((body[:, 0] == 7).astype(int)) == 1) + 1
    assert tops.tolist() == [3 * LINE_HEIGHT, 5 * LINE_HEIGHT + fitted.height + 14]
    assert len(body) == fitted.total_height - LINE_HEIGHT


def test_classes_are_called_by_their_labels():
    labels = ["noise", "P wave", "S wave"]
    now, then = convolutional(), convolutional(outputs={"output": LOGITS[::-1]})
    target = convolutional(target=Target(2))
    assert "class 2 (S wave)" in draw(target, target=2, labels=labels).caption
    assert "class 2, 6x6" in draw(target, target=2).caption
    each = score_of(Target((0, 7, 1)), replace(now, outputs={"output": np.zeros((3, 9), np.float32)}))
    assert subject_of(each, labels) == "classes 0, 7, 1 (noise, 7, P wave)"
    score = score_of(Target(), now)
    assert score_phrases(score, 1, labels) == [("noise (predicted), score 3", "noise: 3")]
    assert score_phrases(score, 1) == [("class 0 (predicted), score 3", "class 0: 3")]
    named, numbered = draw(compared(now, then), labels=labels), draw(compared(now, then))
    assert named.size == numbered.size and (named.pixels != numbered.pixels).any()
    assert GradCAM(target=2, labels=labels).family == "grad-cam of class 2"


# -- comparison with step 0 ------------------------------------------------------------------------------


def test_rank_correlations_with_step_0_are_numbers_beside_the_pictures():
    now, then = convolutional(), convolutional(step=2.0)
    known, view = compared(now, then), GradCAM()
    maps = [
        activation_map("grad-cam", one["conv1"].output, one["conv1"].gradients[Target()])
        for one in (now, then)
    ]
    expected = [spearmanr(one.ravel(), other.ravel()).statistic for one, other in zip(*maps, strict=True)]
    assert len(set(np.round(expected, 3))) == 3
    assert view.scalars(known) == {"grad-cam rank correlation/01_conv1": pytest.approx(np.mean(expected))}
    assert view.scalars(now) == {} and "step 0" not in draw(now).caption
    assert "r: rank correlation with step 0's map" in draw(known).caption
    assert "edges, not learning" in draw(known).caption
    assert view.scalars(compared(now, now)) == {"grad-cam rank correlation/01_conv1": pytest.approx(1)}


def test_it_is_said_where_the_class_was_another_one():
    now, other = convolutional(), convolutional(outputs={"output": LOGITS[::-1]})
    assert "and its class, where another" in draw(compared(now, other)).caption
    assert "and its class, where another" not in draw(compared(now, convolutional(step=2.0))).caption


def test_a_flat_map_has_no_rank_correlation():
    now = convolutional()
    flat = replace(now["conv1"], output=np.zeros_like(now["conv1"].output))
    known = compared(now, replace(now, layers={"conv1": flat}))
    assert GradCAM().scalars(known) == {}
    assert "r: rank correlation" in draw(known).caption


# -- what is read ----------------------------------------------------------------------------------------


def test_no_more_is_read_than_is_drawn():
    known = only_shapes(convolutional(target=Target(2)))
    view = GradCAM(target=2, max_samples=2)
    request = view.request(view.drawn(known), known)
    assert request.outputs == {"conv1"} and request.output_cuts == {"conv1": OutputCut(samples=2)}
    assert request.gradients == {Target(2): {"conv1"}} and request.gradient_samples == 2
    assert request.targets == [Target(2)]
    assert GradCAM().reduced(3).request(view.drawn(known), known).gradient_samples == 1
    without = GradCAM(method="eigencam")
    request = without.request(without.drawn(known), known)
    assert request.targets == [] and not request.gradients and request.outputs == {"conv1"}
    assert "gradients" not in without.needs and "initial" in without.needs
    assert not view.request([], known).runs_model


def test_what_was_not_read_whole_is_not_drawn():
    known = convolutional()
    part, taken = cut_output(known["conv1"].output, OutputCut(channels=(0, 1)))
    cut = replace(known["conv1"], output=part, output_taken=taken)
    for layer in (cut, replace(known["conv1"], output=None), replace(known["conv1"], gradients={})):
        assert GradCAM().draw(replace(known, layers={"conv1": layer})) == []
    part, taken = cut_output(known["conv1"].output, OutputCut(samples=2))  # as it is asked for
    layer = replace(known["conv1"], output=part, output_taken=taken)
    (picture,) = GradCAM(max_samples=2).draw(replace(known, layers={"conv1": layer}))
    np.testing.assert_array_equal(picture.pixels, draw(known, max_samples=2).pixels)


def test_several_stand_side_by_side_in_one_callback():
    views = [GradCAM(), GradCAM(method="layercam"), GradCAM(target="target"), GradCAM(target=3)]
    assert [view.family for view in checked_views(views)] == [
        "grad-cam", "layercam", "grad-cam of target class", "grad-cam of class 3",
    ]  # fmt: skip
    assert GradCAM(output="P").family == "grad-cam of P"
    assert GradCAM(output="a/mask", region="all").family == "grad-cam of a.mask, region all"
    assert GradCAM(target=4, output="mask", method="layercam").family == "layercam of class 4 of mask"
    with pytest.raises(ArgumentError, match="GradCAM twice"):
        checked_views([GradCAM(), GradCAM(max_samples=2)])
    known = only_shapes(convolutional(targets=[1, 2, 0]))
    plan = plan_of(views[:3], None, [LayerEntry("conv1", None, True)])
    request = request_of(plan, known)
    assert request.targets == [Target(), Target("target")] and request.outputs == {"conv1"}


# -- which layers ----------------------------------------------------------------------------------------


def model(*layers, inputs, outputs, targets=None):
    """A snapshot of shapes; layers as `(name, kind, output shape)`, with a kernel but for pooling."""
    known = {}
    for place, (name, kind, shape) in enumerate(layers, start=1):
        kernel = None if kind in ("Pool", "Block", "Attention") else (1, 1)
        attention = (shape[0], 2, shape[1], shape[1]) if kind == "Attention" else None
        known[name] = Layer(
            name, kind, place, kernel_shape=kernel, output_shape=shape, container=kind == "Block",
            attention_shape=attention, part_of=name.split("#")[0] if "#" in name else "",
        )  # fmt: skip
    return Snapshot(known, Probe(inputs, targets=targets), {"input": inputs}, outputs={"output": outputs})


IMAGES = np.zeros((2, 32, 32, 3), np.float32)
CLASSIFIER = [
    ("conv1", "Conv2D", (2, 32, 32, 8)),
    ("conv2", "Conv2D", (2, 8, 8, 8)),
    ("pool", "Pool", (2, 4, 4, 8)),
    ("head", "Dense", (2, 10)),
]


def chosen(known, **options):
    return [layer.name for layer in GradCAM(**options).drawn(known)]


def test_by_default_it_is_the_last_layer_with_a_kernel_and_space():
    known = model(*CLASSIFIER, inputs=IMAGES, outputs=np.zeros((2, 10), np.float32))
    assert chosen(known) == ["conv2"] and chosen(known, method="eigencam") == ["conv2"]
    covered = coverage(known, [(GradCAM(), None)])
    assert covered.pictured == ("conv2",) and "name others with layers=" in covered.missing["conv1"]
    assert not covered.others


def test_every_call_of_the_layer_is_drawn():
    twice = [CLASSIFIER[0], CLASSIFIER[1], ("conv2#2", "Conv2D", (2, 8, 8, 8)), CLASSIFIER[3]]
    known = model(*twice, inputs=IMAGES, outputs=np.zeros((2, 10), np.float32))
    assert chosen(known) == ["conv2", "conv2#2"]


def test_pooled_to_a_single_place_a_convolution_has_no_map():
    layers = [*CLASSIFIER[:3], ("squeeze", "Conv2D", (2, 1, 1, 10))]
    assert chosen(model(*layers, inputs=IMAGES, outputs=np.zeros((2, 10), np.float32))) == ["conv2"]


def test_where_the_answer_has_space_it_is_the_bottleneck():
    layers = [
        ("down1", "Conv2D", (2, 16, 16, 8)),
        ("down2", "Conv2D", (2, 4, 4, 8)),
        ("middle", "Conv2D", (2, 4, 4, 16)),
        ("up", "Conv2DTranspose", (2, 16, 16, 8)),
        ("head", "Conv2D", (2, 32, 32, 3)),
    ]
    masks = np.zeros((2, 32, 32, 3), np.float32)
    assert chosen(model(*layers, inputs=IMAGES, outputs=masks)) == ["middle"]
    same = [("conv1", "Conv2D", (2, 32, 32, 8)), ("conv2", "Conv2D", (2, 32, 32, 8)), layers[-1]]
    assert chosen(model(*same, inputs=IMAGES, outputs=masks)) == ["conv2"]  # not the answer itself


def test_of_a_model_of_patches_it_is_the_last_tokens_before_the_last_attention():
    layers = [
        ("patches", "Conv2D", (2, 4, 4, 8)),
        ("attention1", "Attention", (2, 17, 8)),
        ("dense1", "Dense", (2, 17, 8)),
        ("attention2", "Attention", (2, 17, 8)),
        ("dense2", "Dense", (2, 17, 8)),
        ("head", "Dense", (2, 10)),
    ]
    known = model(*layers, inputs=IMAGES, outputs=np.zeros((2, 10), np.float32))
    assert chosen(known) == ["dense1"]


def test_tokens_of_patches_are_maps_over_the_image():
    tokens = np.zeros((3, 10, 4), np.float32)
    tokens[:, 0] = 100  # a class token, which has no place
    tokens[:, 1 + 5] = 1  # row 1, column 2 of 3 x 3
    known = explained(tokens, np.ones_like(tokens), shapes(24), kind="Dense")
    picture = draw(known, layers="conv1")
    assert "3x3" in picture.caption and "map over it" in picture.caption
    assert folded(tokens, (3, 3))[0, ..., 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    expected = np.zeros((3, 3, 3, 4), np.float32)
    expected[:, 1, 2] = 1
    as_maps = explained(expected, np.ones_like(expected), shapes(24), kind="Dense")
    np.testing.assert_array_equal(picture.pixels, draw(as_maps, layers="conv1").pixels)


def test_layers_without_space_or_with_other_rows_are_refused_in_words():
    layers = [*CLASSIFIER, ("windows", "Dense", (8, 16, 16, 8)), ("single", "Conv2D", (2, 1, 1, 8))]
    known = model(*layers, inputs=IMAGES, outputs=np.zeros((2, 10), np.float32))
    names = frozenset(["conv1", "head", "windows", "single"])
    view = GradCAM()
    covered = coverage(known, [(view, names)])
    assert covered.pictured == ("conv1",)
    assert covered.missing["head"] == "vectors have no axis of space to be mapped on"
    assert "its rows are not the 2 samples" in covered.others[("windows", "grad-cam")]
    assert "a single place" in covered.others[("single", "grad-cam")]
    assert [layer.name for layer in view.drawn(known.choose(names))] == ["conv1"]


def test_it_is_told_where_there_is_nothing_to_be_drawn():
    known = model(("head", "Dense", (2, 10)), inputs=np.zeros((2, 5), np.float32), outputs=np.zeros((2, 10)))
    covered = coverage(known, [(GradCAM(), None)])
    assert "none has a kernel and axes of space" in covered.others[("any layer", "grad-cam")]
    numbers = replace(known, outputs={"output": np.zeros((2, 10), int)})
    assert "the model gives no scores" in GradCAM().refusals(numbers)["the model"]
    GradCAM().check(numbers)  # nothing that an argument could mend


# -- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "gradcam"}, "Did you mean 'grad-cam'?"),
        ({"target": -1}, "a class number from 0 on"),
        ({"region": "mask"}, "Allowed: 'predicted', 'target', 'all'"),
        ({"max_samples": 0}, "max_samples=1"),
        ({"method": "eigencam", "target": 3}, "explains no class"),
        ({"layers": []}, "chooses nothing"),
        ({"labels": "salt"}, "Pass for example labels=['cat', 'dog']"),
    ],
)
def test_wrong_arguments_say_what_to_type(options, words):
    with pytest.raises(ArgumentError, match=re.escape(words)):
        GradCAM(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": 10}, "there is no class 10. This model gives 10 numbers: 0 to 9"),
        ({"target": [1, 2, 3]}, "has 3 classes, and the probe 2 samples"),
        ({"target": "target"}, "the probe has no targets"),
        ({"output": "logit"}, "is no output of this model"),
    ],
)
def test_what_does_not_fit_the_model_is_told_before_training(options, words):
    known = model(*CLASSIFIER, inputs=IMAGES, outputs=np.zeros((2, 10), np.float32))
    with pytest.raises(ArgumentError, match=re.escape(words)):
        GradCAM(**options).check(known)
    GradCAM(target=9).check(known)
    GradCAM(method="eigencam").check(known)


# -- golden ----------------------------------------------------------------------------------------------


def test_class_activation_maps_look_as_accepted(check_golden):
    known = compared(convolutional(names=["ring", "bar", "cross"]), convolutional(step=2.0))
    check_golden(draw(known), "grad_cam_2d")
    check_golden(draw(known, method="hirescam"), "grad_cam_signed")
    check_golden(draw(segmented()), "grad_cam_segmentation")


def test_class_activation_maps_over_time_and_of_volumes_look_as_accepted(check_golden):
    check_golden(draw(over_time()), "grad_cam_1d")
    check_golden(draw(in_space()), "grad_cam_3d")
