from dataclasses import replace

import numpy as np
import pytest

from layerviz_callbacks import ArgumentError, Probe, Snapshot
from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining import Score, Target, score_of
from layerviz_callbacks.explaining.scores import output_of

RANDOM = np.random.default_rng(5)


def answered(*, inputs=None, shown=None, targets=None, **outputs):
    """A snapshot of what a model answers; of images of 4 x 6 pixels where nothing else is said."""
    samples = len(next(iter(outputs.values())))
    inputs = np.zeros((samples, 4, 6, 1), np.float32) if inputs is None else inputs
    shown = inputs if shown is None else shown
    outputs = {name: np.asarray(array, np.float32) for name, array in outputs.items()}
    return Snapshot({}, Probe(inputs, targets=targets), {"input": shown}, outputs=outputs)


def means_what_it_says(score, raw):
    """`score = sum(weights * output)`, sample by sample, in the model's own layout."""
    assert score.weights.shape == raw.shape and score.weights.dtype == np.float32
    sums = (score.weights * np.asarray(raw, np.float32)).reshape(len(raw), -1).sum(axis=1)
    np.testing.assert_allclose(score.values, sums, rtol=1e-5)


# -- classes ---------------------------------------------------------------------------------------------

LOGITS = [[1.0, 5.0, 2.0], [4.0, -3.0, 0.5]]


def test_the_predicted_class_is_the_one_with_the_largest_logit():
    score = score_of(Target(), answered(output=LOGITS))
    assert score.classes == (1, 0) and score.values.tolist() == [5, 4] and score.values.dtype == np.float32
    assert score.weights.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert (score.output, score.count, score.space, score.places) == ("output", 3, (), (1, 1))
    assert score.region is None and score.target == Target()
    assert score.nowhere == () and not score.several


def test_a_class_is_given_for_all_samples_or_for_each():
    everywhere = score_of(Target.checked(2), answered(output=LOGITS))
    assert everywhere.classes == (2, 2) and everywhere.values.tolist() == [2, 0.5]
    each = score_of(Target.checked([0, 2]), answered(output=LOGITS))
    assert each.weights.tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    "targets",
    [[2, 1], np.array([[2], [1]]), np.array([2.0, 1.0]), np.array([[0, 0, 1], [0, 1, 0]], np.float32)],
)
def test_the_class_of_the_probes_targets_is_read_as_numbers_and_one_hot(targets):
    score = score_of(Target("target"), answered(output=LOGITS, targets=targets))
    assert score.classes == (2, 1)


def test_a_single_number_is_explained_whatever_class_it_stands_for():
    score = score_of(Target(), answered(output=[[-2.0], [3.0]]))
    assert score.classes == (0, 0) and score.values.tolist() == [-2, 3] and score.count == 1
    flat = score_of(Target("target"), answered(output=[-2.0, 3.0]))  # (sample,), and no targets needed
    assert flat.weights.tolist() == [1, 1]


def test_nan_is_never_the_predicted_class():
    score = score_of(Target(), answered(output=[[np.nan, -5.0, -7.0], [np.inf, 1.0, 2.0]]))
    assert score.classes == (1, 0)
    assert score_of(Target(), answered(output=[[np.nan] * 3] * 2)).classes == (0, 0)


# -- answers with axes of space --------------------------------------------------------------------------


def segmentation():
    """4 x 6 places: 12 of class 0, 8 of class 2, 4 of class 1; nowhere anything but class 0."""
    numbers = np.zeros((2, 4, 6), int)
    numbers[0, :2, :4], numbers[0, 3, :4] = 2, 1
    return (5.0 * (numbers[..., None] == np.arange(3)) - 2).astype(np.float32), numbers


def test_a_segmentation_is_explained_by_the_sum_over_the_places_of_its_most_frequent_foreground():
    logits, numbers = segmentation()
    score = score_of(Target(), answered(output=logits))
    assert score.classes == (2, 0) and score.places == (8, 24) and score.space == (4, 6)
    np.testing.assert_array_equal(score.region, [numbers[0] == 2, numbers[1] == 0])
    assert score.values.tolist() == [8 * 3, 24 * 3]
    means_what_it_says(score, logits)
    assert score.nowhere == (False, False)


def test_weights_are_in_the_models_own_layout():
    logits, _ = segmentation()
    first = np.moveaxis(logits, -1, 1)
    images = np.zeros((2, 1, 4, 6), np.float32)
    score = score_of(Target(), answered(inputs=images, shown=np.moveaxis(images, 1, -1), output=first))
    last = score_of(Target(), answered(output=logits))
    assert score.weights.shape == (2, 3, 4, 6)
    np.testing.assert_array_equal(np.moveaxis(score.weights, 1, -1), last.weights)
    np.testing.assert_array_equal(score.region, last.region)
    means_what_it_says(score, first)


def test_random_answers_of_every_rank_are_their_scores():
    for space in [(), (7,), (4, 6), (3, 4, 5)]:
        inputs = np.zeros((3, *space, 1), np.float32)
        for classes in (1, 4):
            logits = RANDOM.normal(size=(3, *space, classes)).astype(np.float32)
            for target in (Target(), Target(0, region="all"), Target(tuple([classes - 1] * 3))):
                score = score_of(target, answered(inputs=inputs, output=logits))
                means_what_it_says(score, logits)
                assert score.places == tuple(np.count_nonzero(score.weights[one]) for one in range(3))


def test_a_given_class_is_summed_where_it_is_predicted_or_at_its_highest_place():
    logits, numbers = segmentation()
    logits[1, 2, 3, 1] = 2.5  # still class 0, which has 3
    score = score_of(Target(1), answered(output=logits))
    assert score.places == (4, 1) and score.values.tolist() == [12, 2.5]
    assert score.region[1, 2, 3] and (score.region[0] == (numbers[0] == 1)).all()
    assert score.nowhere == (False, True)


def test_the_region_may_be_everything_or_that_of_the_targets():
    logits, numbers = segmentation()
    everything = score_of(Target(1, region="all"), answered(output=logits))
    assert (
        everything.nowhere == () and everything.places == (24, 24) and everything.values[0] == 4 * 3 - 20 * 2
    )
    truth = np.roll(numbers, 1, axis=1)
    for targets in (truth, truth[..., None], (truth[..., None] == np.arange(3)).astype(np.float32)):
        score = score_of(Target(2, region="target"), answered(output=logits, targets=targets))
        assert score.places == (8, 0)
        np.testing.assert_array_equal(score.region, truth == 2)
        assert score.values[0] == 4 * 3 + 4 * -2  # half of them lie on predicted ones
        assert score.values[1] == 0 and not score.weights[1].any()


def test_finer_targets_are_read_at_the_answers_places():
    logits, numbers = segmentation()
    finer = np.repeat(np.repeat(numbers, 2, axis=1), 2, axis=2)
    score = score_of(Target("target", region="target"), answered(output=logits, targets=finer))
    assert score.classes == (2, 0)
    np.testing.assert_array_equal(score.region, [numbers[0] == 2, numbers[1] == 0])


def test_class_numbers_outside_the_classes_are_left_out_of_a_target():
    logits, numbers = segmentation()
    ignored = np.where(numbers == 0, 255, numbers)
    score = score_of(Target("target", region="target"), answered(output=logits, targets=ignored))
    assert score.classes == (2, 0) and score.places == (8, 0)


def test_one_number_a_place_is_summed_where_it_is_positive_or_where_the_mask_is():
    logits = np.full((2, 4, 6, 1), -1.0)
    logits[0, 1, 1:4] = 2
    score = score_of(Target(), answered(output=logits))
    assert score.places == (3, 1) and score.values.tolist() == [6, -1] and score.region[1, 0, 0]
    assert score.nowhere == (False, True)
    mask = np.zeros((2, 4, 6), int)
    mask[:, 0, :2] = 1
    score = score_of(Target("target", region="target"), answered(output=logits, targets=mask))
    assert score.places == (2, 2) and score.values.tolist() == [-2, -2]


def test_curves_over_time_are_explained_where_their_class_leads():
    inputs = np.zeros((1, 8, 3), np.float32)
    logits = np.zeros((1, 8, 3))
    logits[0, :, 0] = 1
    logits[0, 2:4, 1] = 5
    score = score_of(Target(), answered(inputs=inputs, output=logits))
    assert score.classes == (1,) and np.flatnonzero(score.region[0]).tolist() == [2, 3]
    assert score.values.tolist() == [10]


# -- several outputs -------------------------------------------------------------------------------------


def test_logits_are_taken_first_then_the_first_output_with_scores():
    two = np.zeros((2, 3))
    assert output_of(Target(), answered(hidden=two, logits=two)) == "logits"
    found = answered(hidden=two, mask=two)
    assert output_of(Target(), found) == "hidden" and output_of(Target(output="mask"), found) == "mask"
    tokens = replace(found, outputs={"tokens": np.zeros((2, 5), int), **found.outputs})
    assert output_of(Target(), tokens) == "hidden"
    assert score_of(Target(), found).several and score_of(Target(output="mask"), found).output == "mask"


def test_a_target_in_words_is_the_named_output_or_the_class_of_it():
    assert [str(one) for one in (Target(), Target(output="P"), Target(output="P", region="all"))] == [
        "predicted class", "P", "P, region all",
    ]  # fmt: skip
    assert str(Target(3, output="mask")) == "class 3 of mask"
    assert str(Target("target", output="mask")) == "target class of mask"


def test_what_cannot_be_explained_is_said_in_words():
    for array, words in [
        (np.zeros((2, 3), int), "its numbers are int64"),
        (np.zeros((5, 3)), "has no axis of the probe's 2 samples"),
        (np.zeros((2, 0)), "shape (2, 0)"),
    ]:
        found = replace(answered(output=np.zeros((2, 3))), outputs={"output": array})
        for target in (Target(), Target(output="output")):
            with pytest.raises(DifferentiationError) as error:
                score_of(target, found)
            assert words in str(error.value)
    with pytest.raises(DifferentiationError, match="it has no outputs"):
        score_of(Target(), replace(found, outputs={}))


# -- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("predictd", "Did you mean 'predicted'?"),
        ("3", "a class number"),
        (-1, "from 0 on"),
        (True, "no class"),
        (1.5, "no class"),
        ([], "no class"),
        ([1, "a"], "no class"),
        (np.array([[1], [2]]), "no class"),
        (None, "no class"),
    ],
)
def test_a_wrong_target_is_told_at_once(given, words):
    with pytest.raises(ArgumentError) as error:
        Target.checked(given)
    assert words in str(error.value) and "Allowed: 'predicted', 'target'" in str(error.value)


def test_targets_are_read_from_numbers_of_any_kind():
    assert Target.checked(np.int64(3)) == Target.checked(np.array(3)) == Target(3)
    assert Target.checked((1, 2)) == Target.checked(np.array([1, 2])) == Target((1, 2))
    assert hash(Target.checked([1, 2])) == hash(Target((1, 2)))
    for wrong in ({"region": "mask"}, {"output": 3}):
        with pytest.raises(ArgumentError, match="Allowed"):
            Target.checked(0, **wrong)


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        (Target(3), {}, "there is no class 3. This model gives 3 numbers: 0 to 2"),
        (Target((0, 1, 2)), {}, "has 3 classes, and the probe 2 samples"),
        (Target("target"), {}, "the probe has no targets. Pass Probe(x_val[:4], targets=y_val[:4])"),
        (Target("target"), {"targets": np.zeros((2, 7))}, "do not fit this output"),
        (Target(output="otput"), {}, "Did you mean 'output'?"),
    ],
)
def test_a_target_that_does_not_fit_says_what_to_type(target, options, words):
    with pytest.raises(ArgumentError) as error:
        score_of(target, answered(output=LOGITS, **options))
    assert words in str(error.value)


def test_a_class_of_a_model_with_a_single_number_is_none():
    with pytest.raises(
        ArgumentError, match="gives a single number, and that is explained: leave target= out"
    ):
        score_of(Target(1), answered(output=[[1.0], [2.0]]))


def test_a_region_without_masks_says_what_to_type():
    logits, _ = segmentation()
    for targets in (None, [1, 2]):
        with pytest.raises(ArgumentError, match=r"region='target': .* targets=masks"):
            score_of(Target(1, region="target"), answered(output=logits, targets=targets))


def test_scores_are_kept_without_their_weights():
    score = score_of(Target(), answered(output=segmentation()[0])).without_weights()
    assert score.weights is None and score.region is not None and isinstance(score, Score)
