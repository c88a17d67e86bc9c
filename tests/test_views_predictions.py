import re
from dataclasses import replace

import numpy as np
import pytest
from view_models import shapes, volumes, waves

from layerviz_callbacks import ArgumentError, Probe, SelectionError, Snapshot
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.views import Predictions
from layerviz_callbacks.views.class_colours import class_colours, class_index, class_palette
from layerviz_callbacks.views.prediction_curves import AREAS, EDGES, target_palette
from layerviz_callbacks.views.prediction_kinds import Answer, Reading, Refusal, answer_of
from layerviz_callbacks.views.prediction_masks import intersection_over_union

RANDOM = np.random.default_rng(3)


def snapshot(outputs, *, inputs=None, targets=None, names=None, given=None):
    """`given`: the inputs in the model's own layout, where it is another one."""
    if not isinstance(outputs, dict):
        outputs = {"output": np.asarray(outputs)}
    if inputs is None:
        inputs = np.zeros((len(next(iter(outputs.values()))), 5), np.float32)
    probe = Probe(inputs if given is None else given, targets=targets, names=names)
    return Snapshot({}, probe, {"input": inputs}, outputs=outputs, when="epoch 3/12")


def draw(outputs, *, inputs=None, targets=None, names=None, given=None, **options):
    (picture,) = Predictions(**options).draw(
        snapshot(outputs, inputs=inputs, targets=targets, names=names, given=given)
    )
    return picture


def read(outputs, *, inputs=None, targets=None, given=None, **options):
    return answer_of(
        snapshot(outputs, inputs=inputs, targets=targets, given=given), "output", Reading(**options)
    )


def contains(picture, words, *, bold=False):
    """Whether the sheet shows these words."""
    part = draw_line(words, bold=bold)[:, 1:-1]
    rows, columns = np.nonzero(part < palette.PAPER)
    part = part[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    dark = np.unravel_index(part.argmin(), part.shape)
    windows = np.lib.stride_tricks.sliding_window_view(picture.pixels, part.shape)
    found = np.argwhere(windows[..., dark[0], dark[1]] == part[dark])
    return any((windows[top, left] == part).all() for top, left in found)


# -- classes ---------------------------------------------------------------------------------------------


def test_logits_become_probabilities_and_it_is_told():
    logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]).astype(np.float32) + 5
    answer = read(logits, targets=[0, 1])
    assert answer.kind == "classes" and answer.made == "softmax of the model's numbers"
    np.testing.assert_allclose(answer.values, [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], rtol=1e-5)
    picture = draw(logits, targets=[0, 1])
    assert "1 of 2 right" in picture.caption and "softmax of the model's numbers" in picture.caption
    already = read(answer.values, targets=[0, 1])
    np.testing.assert_array_equal(already.values, answer.values)
    assert already.made == ""
    assert read(answer.values, targets=[0, 1], scores="logits").made


def test_each_sample_is_right_or_wrong_by_its_margin_and_the_target_is_marked():
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], np.float32)
    picture = draw(shares, targets=[0, 1], labels=["cat", "dog", "fox"])
    assert contains(picture, "right +0.50")
    assert contains(picture, "wrong -0.30", bold=True)
    assert contains(picture, "> cat", bold=True) and contains(picture, "> dog", bold=True)
    assert contains(picture, "fox") and not contains(picture, "> fox", bold=True)
    assert contains(picture, "70%", bold=True) and contains(picture, "60%")


def test_bars_are_as_long_as_probabilities():
    picture = draw(np.array([[1.0, 0.0], [0.5, 0.5]], np.float32), targets=[0, 0])
    blue = (picture.pixels == palette.CURVES[0]).sum(axis=1)
    full, half = sorted({int(length) for length in blue if length > 30}, reverse=True)[:2]
    assert abs(full - 2 * half) <= 2


def test_the_target_is_shown_even_where_it_is_unlikely():
    shares = np.array([[0.5, 0.3, 0.1, 0.06, 0.03, 0.01, 0.0]], np.float32)
    picture = draw(shares, targets=[6])
    assert contains(picture, "> 6", bold=True) and not contains(picture, "> 5", bold=True)
    assert contains(picture, "wrong -0.50", bold=True)


def test_without_targets_the_margin_between_the_first_two_is_told():
    picture = draw(np.array([[0.7, 0.2, 0.1]], np.float32))
    assert contains(picture, "margin 0.50") and "right" not in picture.caption


def test_one_number_is_two_classes_where_targets_are_yes_or_no():
    answer = read(np.array([[0.0], [2.0]], np.float32), targets=[0, 1], scores="logits")
    np.testing.assert_allclose(answer.values, [[0.5, 0.5], [0.119203, 0.880797]], rtol=1e-5)
    assert answer.numbers.tolist() == [0, 1] and answer.made.startswith("sigmoid")
    assert read(np.array([[0.1], [0.9]], np.float32), targets=[[0.0], [1.0]]).made == ""
    assert "2 of 2 right" in draw(np.array([-3.0, 3.0], np.float32), targets=[0, 1]).caption


def test_one_hot_and_soft_targets_make_classes_and_several_ones_several():
    values = RANDOM.normal(size=(2, 3)).astype(np.float32)
    assert read(values, targets=[[0, 1, 0], [1, 0, 0]]).numbers.tolist() == [1, 0]
    several = read(np.array([[3.0, 3, -3], [3, -3, -3]], np.float32), targets=[[1, 1, 0], [1, 1, 0]])
    assert several.several and several.made.startswith("sigmoid")
    picture = draw(np.array([[3.0, 3, -3], [3, -3, -3]], np.float32), targets=[[1, 1, 0], [1, 1, 0]])
    assert "1 of 2 right" in picture.caption


def test_nan_is_no_answer_and_has_its_colour():
    picture = draw(np.array([[np.nan, 0.5], [0.5, 0.5]], np.float32), targets=[0, 0])
    assert contains(picture, "no answer", bold=True) and "NaN in 1 sample" in picture.caption
    assert (picture.pixels == palette.NOT_A_NUMBER).sum() > 200


# -- numbers ---------------------------------------------------------------------------------------------


def test_numbers_are_told_with_their_difference_from_the_target():
    picture = draw(
        np.array([[1.5, -2.0], [0.25, 4.0]], np.float32), targets=[[1.0, -2.0], [0.5, 3.0]], labels=["depth"]
    )
    for words in ("1.5 (+0.5)", "-2 (+0)", "0.25 (-0.25)", "4 (+1)", "depth"):
        assert contains(picture, words), words
    assert "bars from -2 to 4" in picture.caption and "mean error 0.438" in picture.caption


def test_numbers_without_targets_are_not_taken_for_classes_unless_it_is_said():
    values = np.array([[1.5, -2.0], [0.25, 4.0]], np.float32)
    assert read(values).kind == "numbers"
    assert read(values, kind="classes").kind == "classes"
    assert read(values, labels=("no", "yes")).kind == "classes"
    assert read(np.array([[0.25, 0.75]])).kind == "classes"


# -- segmentation ----------------------------------------------------------------------------------------


def test_intersection_over_union_of_a_2x2_mask_is_the_one_counted_by_hand():
    truth, predicted = np.array([[0, 0], [1, 1]]), np.array([[0, 1], [1, 1]])
    np.testing.assert_allclose(intersection_over_union(truth, predicted, 2), [1 / 2, 2 / 3])
    assert np.isnan(intersection_over_union(truth, predicted, 3)[2])
    left_out = np.array([[0, 255], [1, 1]])
    np.testing.assert_allclose(intersection_over_union(left_out, predicted, 2), [1, 1])


def masks(predicted, count):
    return np.eye(count, dtype=np.float32)[predicted]


def test_truth_prediction_and_errors_of_a_2x2_mask_are_four_squares_each():
    truth, predicted = np.array([[[0, 0], [1, 1]]]), np.array([[[0, 1], [1, 1]]])
    picture = draw(masks(predicted, 2), targets=truth, labels=["rock", "salt"])
    assert "rock IoU 0.50; salt IoU 0.67" in picture.caption and "mean IoU 0.58" in picture.caption
    body = picture.pixels[-8 - 225 : -8, 8:-8]
    panels = [body[:, left : left + 225] for left in (0, 229, 458)]
    corners = [[[int(panel[y, x]) for x in (20, 200)] for y in (20, 200)] for panel in panels]
    right, wrong = corners[2][0]
    assert corners[:2] == [[[0, 0], [1, 1]], [[0, 1], [1, 1]]]
    assert corners[2] == [[right, wrong], [right, right]] and wrong == palette.INK != right


def test_one_logit_a_pixel_is_a_segmentation_of_two_classes():
    truth = np.array([[[0, 0], [1, 1]]])
    inputs = np.zeros((1, 2, 2, 1), np.float32)
    for values in (np.array([[[-4.0, -4], [4, 4]]]), np.array([[[0.1, 0.2], [0.9, 0.8]]])):
        for shaped in (values, values[..., None], values[:, None]):
            answer = read(shaped.astype(np.float32), targets=truth, inputs=inputs)
            assert (answer.kind, answer.space, answer.values.shape[-1]) == ("segmentation", (2, 2), 2)
            assert (answer.values.argmax(axis=-1) == answer.numbers).all()


@pytest.mark.parametrize("space", [(6, 8), (4, 6, 8)])
def test_the_class_axis_is_found_wherever_it_stands(space):
    numbers = RANDOM.integers(0, 5, (2, *space))
    inputs = RANDOM.random((2, *space, 3)).astype(np.float32)
    last = masks(numbers, 5)
    for raw, given in ((last, None), (np.moveaxis(last, -1, 1), np.moveaxis(inputs, -1, 1))):
        for targets in (numbers, numbers.astype(np.float32), raw, numbers[:, None], None):
            answer = read(raw, inputs=inputs, targets=targets, given=given)
            assert answer.kind == "segmentation"
            assert (answer.values.argmax(axis=-1) == numbers).all()
            assert targets is None or (answer.numbers == numbers).all()


def test_where_the_shape_tells_nothing_the_layout_of_the_inputs_does_and_class_axis_overrides_it():
    values = RANDOM.random((2, 6, 6, 6)).astype(np.float32)
    inputs = RANDOM.random((2, 6, 6, 3)).astype(np.float32)
    here = read(values, inputs=inputs, kind="segmentation", scores="probabilities")
    there = read(
        values, inputs=inputs, given=np.moveaxis(inputs, -1, 1), kind="segmentation", scores="probabilities"
    )
    said = read(values, inputs=inputs, class_axis=1, kind="segmentation", scores="probabilities")
    np.testing.assert_array_equal(here.values, values)
    np.testing.assert_array_equal(there.values, np.moveaxis(values, 1, -1))
    np.testing.assert_array_equal(said.values, there.values)
    assert "no axis" in read(values, inputs=inputs, class_axis=0)


def test_a_finer_truth_is_compared_place_by_place():
    coarse = np.array([[[0, 1], [1, 0]]])
    fine = np.repeat(np.repeat(coarse, 3, axis=1), 3, axis=2)
    inputs = np.zeros((1, 6, 6, 1), np.float32)
    picture = draw(masks(coarse, 3), targets=fine, inputs=inputs)
    assert "class 0 IoU 1.00; class 1 IoU 1.00; class 2 IoU -" in picture.caption
    assert "maps 6x6" in picture.caption


def test_what_the_truth_leaves_out_is_grey_and_counts_for_nothing():
    truth = np.array([[[0, 255], [1, 1]]])
    picture = draw(masks(np.array([[[0, 1], [1, 1]]]), 2), targets=truth)
    assert "mean IoU 1.00" in picture.caption and "left out" in picture.caption


def test_nan_in_a_segmentation_is_an_error_with_its_colour():
    values = masks(np.array([[[0, 1], [1, 1]]]), 2)
    values[0, 0, 0] = np.nan
    picture = draw(values, targets=np.array([[[0, 1], [1, 1]]]))
    assert "class 0 IoU 0.00; class 1 IoU 1.00" in picture.caption and "NaN in 1 sample" in picture.caption
    assert (picture.pixels == palette.NOT_A_NUMBER).sum() > 1000


def test_a_class_has_its_colour_whatever_else_is_there():
    few = draw(masks(np.array([[[1, 1], [1, 1]]]), 2), targets=np.array([[[1, 1], [1, 1]]]))
    many = draw(masks(np.array([[[1, 1], [1, 1]]]), 9), targets=np.array([[[1, 1], [1, 1]]]))
    assert few.palette is many.palette is class_palette()
    assert (few.pixels == 1).sum() > 1000 and (many.pixels == 1).sum() > 1000
    assert [tuple(colour) for colour in class_colours()[:2]] == [(0, 114, 178), (213, 94, 0)]
    assert class_index(len(class_colours())) == 0
    assert len({tuple(colour) for colour in class_colours()}) == len(class_colours()) >= 16


def test_volumes_show_slices_and_count_the_whole():
    inputs = volumes(16)
    truth = (inputs[..., 0] > 0.5).astype(int)
    predicted = truth.copy()
    predicted[:, 0] = 1 - predicted[:, 0]  # a slice that is not shown
    picture = draw(masks(predicted, 2), targets=truth, inputs=inputs)
    assert "slices 1, 4, 8, 11, 14 of 16" in picture.caption and "IoU of whole volumes" in picture.caption
    assert "mean IoU 1.00" not in picture.caption


# -- curves ----------------------------------------------------------------------------------------------


def test_curves_over_time_keep_the_range_of_probabilities():
    values = np.zeros((2, 300, 2), np.float32)
    values[0, 100, 0], values[1, 200, 1] = 0.5, 0.25
    picture = draw(values, inputs=waves(300)[:2], labels=["P", "S"])
    assert "2 curves of length 300" in picture.caption and "answers from 0 to 1; P; S" in picture.caption
    assert "input, answer on the same axis" in picture.caption


def test_the_target_is_a_light_area_under_the_answer():
    values = np.zeros((1, 342, 1), np.float32)  # a column of two pixels each
    target = np.zeros((1, 342, 1), np.float32)
    target[0, 100:200], target[0, 300] = 0.5, 1  # a box, and a single time
    picture = draw(values, inputs=waves(342)[:1], targets=target)
    assert "light area: target" in picture.caption
    panel = picture.pixels[-118:-8, 8:-8]
    area, edge = panel == AREAS, panel == EDGES
    assert area[:, 204:396].sum() > 0.9 * 192 * 50 and not area[:50].any()
    assert not (area | edge)[:, :196].any() and not (area | edge)[:, 404:596].any()
    assert (area | edge)[1:108, 600:602].all() and edge[:, 598:604].sum() > 200
    assert (panel[-2:] == palette.CURVES[0]).all(), "the answer is on top"
    without = draw(values, inputs=waves(342)[:1])
    assert "light area" not in without.caption and not (without.pixels == AREAS).any()
    assert contains(draw(values + 0.5, inputs=waves(400)[:1]), "max 0.5 at 0")


def test_small_targets_lie_on_large_ones_and_negative_ones_hang_from_zero():
    values, target = np.zeros((1, 342, 2), np.float32), np.zeros((1, 342, 2), np.float32)
    target[0, 50:300, 0], target[0, 100:120, 1] = 1, 1
    picture = draw(values, inputs=waves(342)[:1], targets=target, labels=["event", "P"])
    panel = picture.pixels[-118:-8, 8:-8]
    assert (panel[20:90, 204:236] == AREAS + 1).all() and (panel[20:90, 110:190] == AREAS).all()
    target[0, :, 1] = 0
    target[0, 100:300, 0] = -1
    panel = draw(values, inputs=waves(342)[:1], targets=target).pixels[-118:-8, 8:-8]
    assert (panel[60:100, 210:590] == AREAS).all() and not (panel[:50, 210:590] == AREAS).any()
    assert (panel[10:50, 110:190] == AREAS).all()
    target[0, 150:250, 0] = np.nan
    panel = draw(values, inputs=waves(342)[:1], targets=target).pixels[-118:-8, 8:-8]
    assert not (panel[60:100, 310:490] == AREAS).any() and (panel[60:100, 210:290] == AREAS).all()


def test_colours_of_targets_are_lighter_than_those_of_their_curves_and_all_distinct():
    colours = target_palette().astype(int)
    assert len({tuple(colour) for colour in colours.tolist()}) == 256
    for place, curve in enumerate(palette.CURVES):
        distances = [
            np.abs(colours[index] - colours[curve]).sum() for index in (EDGES + place, AREAS + place)
        ]
        assert 0 < distances[0] < distances[1] < np.abs(colours[palette.PANEL] - colours[curve]).sum()
    np.testing.assert_array_equal(colours[palette.INK :], palette.sequential()[palette.INK :])


def test_curves_are_found_in_either_layout_and_without_a_channel():
    inputs = waves(300)
    values = RANDOM.random((3, 300, 2)).astype(np.float32)
    given = np.moveaxis(inputs, -1, 1)
    np.testing.assert_array_equal(read(values, inputs=inputs).values, values)
    second = read(np.moveaxis(values, -1, 1), inputs=inputs, given=given)
    np.testing.assert_array_equal(second.values, values)
    alone = read(values[..., 0], inputs=inputs, targets=values[..., 1])
    assert alone.kind == "curves" and alone.values.shape == (3, 300, 1)
    np.testing.assert_array_equal(alone.truth, values[..., 1:])
    classes = read(values, inputs=inputs, targets=np.ones((3, 300), int))
    np.testing.assert_array_equal(classes.truth[..., 1], 1)


def test_each_of_several_outputs_gets_its_own_target():
    inputs, targets = waves(300), RANDOM.random((3, 300, 2)).astype(np.float32)
    outputs = {"p": RANDOM.random((3, 300, 1)), "s": RANDOM.random((3, 300, 1))}
    known = snapshot(outputs, inputs=inputs, targets=targets)
    for place, name in enumerate(outputs):
        np.testing.assert_array_equal(
            answer_of(known, name, Reading()).truth, targets[..., place : place + 1]
        )
    pictures = Predictions().draw(known)
    assert [picture.tag for picture in pictures] == ["predictions/p", "predictions/s"]
    assert contains(pictures[1], "s") and "answers from 0 to 1; s; light area: target" in pictures[1].caption


# -- refusals, options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        (np.zeros((3, 4)), {}, "its first axis is not the samples: shape (3, 4), and the probe has 2"),
        (np.zeros((2, 0)), {}, "an output of shape (2, 0) is not drawn"),
        (np.array(["a", "b"]), {}, "<U1 outputs are not drawn"),
        (np.zeros((2, 4, 4, 4, 4, 2)), {}, "outputs with 4 axes of space are not drawn"),
        (np.zeros((2, 8, 8, 3)), {}, "pictures as outputs are not drawn; say kind='segmentation'"),
        (np.zeros((2, 8)), {"kind": "segmentation"}, "two or three axes of space are needed"),
        (np.zeros((2, 8, 8, 3)), {"kind": "classes"}, "(sample, class) is needed"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(output, options, words):
    inputs = np.ones((2, 8, 8, 3), np.float32)
    refused = read(output, inputs=inputs, **options)
    assert isinstance(refused, Refusal) and words in refused
    known = snapshot(output, inputs=inputs)
    assert Predictions(**options).draw(known) == []
    assert Predictions(**options).refusals(known) == {"output": refused}


def test_targets_that_do_not_fit_are_told():
    picture = draw(np.array([[0.5, 0.5], [0.25, 0.75]]), targets=np.zeros((2, 9)))
    assert "targets of shape (2, 9) do not fit this output of shape (2, 2)" in picture.caption


def test_outputs_are_chosen_by_name():
    known = snapshot({"a": np.ones((2, 2)) / 2, "b": np.ones((2, 3)) / 3})
    assert [picture.tag for picture in Predictions(outputs="b").draw(known)] == ["predictions/b"]
    assert len(Predictions().draw(known)) == 2
    with pytest.raises(SelectionError, match="no output 'bb'"):
        Predictions(outputs=["bb"]).draw(known)
    assert Predictions().draw(replace(known, outputs={})) == []


def test_names_from_anywhere_bring_no_markup():
    picture = draw(np.array([[0.5, 0.5]]), targets=[0], labels=["<img src=x>\n# a", "`b`"])
    assert "<img" not in picture.description
    masked = draw(masks(np.array([[[0, 1], [1, 1]]]), 2), labels=["<img src=x>", "*b*"])
    assert "<img" not in masked.description and "&lt;img" in masked.description
    assert "\\*b\\*" in masked.description


def test_fewer_samples_are_drawn_where_asked_for():
    values = np.ones((12, 4)) / 4
    assert "8 of 12 samples" in draw(values).caption
    assert "3 of 12 samples" in draw(values, max_samples=3).caption
    (picture,) = Predictions().reduced(4).draw(snapshot(values))
    assert "2 of 12 samples" in picture.caption


def test_wrong_arguments_say_what_to_type():
    for options, words in [
        ({"kind": "class"}, "Did you mean 'classes'"),
        ({"labels": "cat"}, "labels=['cat', 'dog']"),
        ({"outputs": []}, "is not a list of names"),
        ({"class_axis": "last"}, "class_axis=1"),
        ({"scores": "logit"}, "Did you mean 'logits'"),
        ({"max_samples": 0}, "max_samples=1"),
    ]:
        with pytest.raises(ArgumentError, match=re.escape(words)):
            Predictions(**options)


def test_an_answer_knows_its_space():
    assert Answer("curves", np.zeros((2, 7, 3))).space == (7,)


# -- golden ----------------------------------------------------------------------------------------------


def test_predictions_look_as_accepted(check_golden):
    images = shapes(24)
    logits = np.array([[2.0, 1, 0, -1], [0, 1, 1.5, 0], [-1, 0, 0, 1]], np.float32)
    names, labels = ["ring", "bar", "cross"], ["ring", "bar", "cross", "nothing"]
    options = {"inputs": images, "names": names}
    check_golden(draw(logits, targets=[0, 1, 2], labels=labels, **options), "predictions_classes")
    truth = np.minimum(2, (images[..., 0] * 3).astype(int))
    predicted = np.roll(truth, 1, axis=2)
    check_golden(draw(masks(predicted, 3), targets=truth, **options), "predictions_segmentation")
    numbers = np.array([[1.5, -0.2], [0.3, 0.7], [-1, 2]], np.float32)
    check_golden(draw(numbers, targets=numbers + np.array([0.2, -0.1]), **options), "predictions_numbers")


def test_predictions_over_time_look_as_accepted(check_golden):
    traces = waves(900)
    time = np.arange(900)
    bumps = [[np.exp(-(((time - place) / 20) ** 2)) for place in pair] for pair in ((300, 500), (600, 700))]
    targets = np.zeros((3, 900, 2), np.float32)
    targets[:2] = np.moveaxis(np.array(bumps), 1, 2)
    answers = (0.8 * np.roll(targets, 12, axis=1)).astype(np.float32)
    names = ["event 1", "event 2", "noise"]
    check_golden(
        draw(answers, inputs=traces, targets=targets, names=names, labels=["P", "S"]), "predictions_curves"
    )
