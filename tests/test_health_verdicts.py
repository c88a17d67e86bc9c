"""Each verdict from a training made by hand, and none where there is no illness or no evidence."""

import numpy as np
import pytest
from health_steps import followed, head, layer, step_of, told, well

from layerviz_callbacks import ArgumentError, Thresholds


def rectified(seed, *shape, silent=0, of=None):
    """The output of a rectifier whose first channels are silent."""
    output = np.maximum(well(seed, *shape), 0)
    output[..., :silent] = 0
    return output


def convolution(step, *, silent=0, unmoved=0, places=8, **options):
    """16 channels; the weights of all but the first `unmoved` ones move."""
    kernel = well(1, 16, 4, 3, 3)
    kernel[unmoved:] += 0.02 * step * well(2, 16 - unmoved, 4, 3, 3)
    return layer(
        "conv", 1, kernel=kernel, output=rectified(3, 4, places, places, 16, silent=silent), **options
    )


def test_a_network_that_is_well_gets_no_verdict():
    def step(number):
        kernel = well(4, 32, 16, 3, 3) + 0.05 * number * well(5, 32, 16, 3, 3)
        return step_of(
            number,
            convolution(number, gradient=0.1 * well(6, 16, 4, 3, 3), update=1e-3 * well(7, 16, 4, 3, 3)),
            layer("conv2", 2, kernel=kernel, output=rectified(8, 4, 4, 4, 32), gradient=0.1 * kernel),
            layer("relu", 3, kind="ReLU", output=rectified(8, 4, 4, 4, 32)),
            head(number),
            metrics={"loss": 1 / (1 + number)},
        )

    assert [told(snapshot) for snapshot in followed(*map(step, range(12)))] == [[]] * 12


def test_dead_channels_are_counted_where_their_weights_stand_still():
    one, two, three = followed(
        *(step_of(n, convolution(n, silent=12, unmoved=12), head(n)) for n in range(3))
    )
    assert told(one) == []  # 12 of 16 are silent: too few to tell without knowing whether they move
    assert one.health["conv"].numbers["silent"] == 0.75
    assert told(two) == told(three) == [("conv", "dead channels")]
    assert two.health["conv"].numbers["dead"] == 0.75
    assert str(three.verdicts[0]) == (
        "conv: 12 of 16 channels are dead since epoch 1 (see feature maps/01_conv)"
    )
    assert "learning rate" in three.verdicts[0].advice


def test_silent_channels_whose_weights_move_are_not_dead():
    steps = followed(*(step_of(n, convolution(n, silent=12), head(n)) for n in range(6)))
    assert [told(snapshot) for snapshot in steps] == [[]] * 6
    assert steps[-1].health["conv"].numbers["dead"] == 0
    assert steps[-1].health["conv"].numbers["silent"] == 0.75


def test_channels_that_weight_decay_shortens_are_dead_all_the_same():
    def conv(step):
        kernel = well(1, 16, 36) * 0.9**step
        kernel[12:] += 0.05 * step * well(2, 4, 36)
        return layer("conv", 1, kind="Dense", kernel=kernel, output=rectified(3, 4, 16, silent=12))

    assert told(followed(step_of(0, conv(0), head(0)), step_of(1, conv(1), head(1)))[1]) == [
        ("conv", "dead channels")
    ]


def test_two_steps_without_a_gradient_prove_it_though_momentum_still_moves_the_weights():
    def step(number, *, quiet):
        gradient = well(9, 16, 4, 3, 3)
        gradient[:quiet] = 0
        return step_of(number, convolution(number, silent=12, gradient=gradient), head(number))

    steps = followed(step(1, quiet=0), step(2, quiet=12), step(3, quiet=12))
    assert [told(snapshot) for snapshot in steps] == [[], [], [("conv", "dead channels")]]


def test_units_that_are_silent_on_four_samples_are_not_told_without_proof():
    dense = layer("dense", 1, kind="Dense", kernel=well(1, 128, 64), output=rectified(3, 4, 128, silent=110))
    (snapshot,) = followed(step_of(0, dense, head(0)))
    assert told(snapshot) == []
    assert "dead" not in snapshot.health["dense"].numbers
    assert snapshot.health["dense"].numbers["silent"] >= 110 / 128


def test_long_silence_alone_is_told_as_what_it_is():
    (snapshot,) = followed(step_of(0, convolution(0, silent=14), head(0)))
    assert [verdict.words for verdict in snapshot.verdicts] == [
        "14 of 16 channels are silent at all 256 places of 4 samples"
    ]


def test_a_layer_that_is_silent_as_a_whole_is_told_at_once_and_what_follows_from_it_is_not():
    silent = layer("dense", 1, kind="Dense", kernel=well(1, 128, 64), output=np.zeros((4, 128), np.float32))
    after = layer("after", 2, kind="Dense", kernel=well(2, 20, 128), output=np.full((4, 20), 0.3, np.float32))
    steps = followed(*(step_of(number, silent, after) for number in range(4)))
    assert [told(snapshot) for snapshot in steps] == [[("dense", "dead channels")]] * 4
    assert steps[0].verdicts[0].words == "all 128 channels are silent on all 4 samples"
    assert steps[1].verdicts[0].words == "all 128 channels are dead"
    assert steps[3].verdicts[0].since == 0


def test_a_branch_whose_weights_begin_at_zero_is_no_dead_one():
    zero = layer("up", 1, kind="Dense", kernel=np.zeros((64, 64)), output=np.zeros((4, 64), np.float32))
    assert told(followed(step_of(0, zero, head(0)))[0]) == []


def test_filters_that_were_pruned_are_not_dead():
    def step(number):
        kernel = well(1, 16, 4, 3, 3) * (1 + 0.01 * number * well(2, 16, 1, 1, 1))
        kernel[:12] = 0
        return step_of(
            number, layer("conv", 1, kernel=kernel, output=rectified(3, 4, 2, 2, 16, silent=12)), head(number)
        )

    assert [told(snapshot) for snapshot in followed(*map(step, range(3)))] == [[], [], []]


def test_a_frozen_layer_may_be_silent_and_stand_still():
    steps = followed(
        *(step_of(n, convolution(0, silent=15, unmoved=16, trainable=False), head(n)) for n in range(5))
    )
    assert [told(snapshot) for snapshot in steps] == [[]] * 5


def test_an_activation_layer_counts_for_the_layer_with_a_kernel_before_it_and_both_are_named():
    def step(number, ranges):
        kernel = well(1, 16, 4, 3, 3)
        kernel[12:] += 0.02 * number * well(2, 4, 4, 3, 3)
        conv = layer("conv3", 1, kind="Conv2d", kernel=kernel, output=well(3, 4, 8, 8, 16))
        norm = layer("norm", 2, kind="BatchNorm2d", output=well(3, 4, 8, 8, 16))
        relu = layer("relu3", 3, kind="ReLU", output=rectified(3, 4, 8, 8, 16, silent=12))
        return step_of(number, conv, norm, relu, head(number), ranges=ranges)

    last = followed(step(0, {}), step(1, {"feature maps/03_relu3": None, "feature maps/01_conv3": None}))[1]
    assert str(last.verdicts[0]) == (
        "conv3: 12 of 16 channels behind relu3 are dead since epoch 1 (see feature maps/03_relu3)"
    )
    assert last.health["conv3"].numbers["silent"] == 0.75
    assert "relu3" not in last.health


def test_an_activation_layer_that_is_called_twice_counts_for_no_layer():
    relu = layer("relu", 2, kind="ReLU", output=rectified(3, 4, 8, 8, 16, silent=15))
    again = layer("relu#2", 2, kind="ReLU", output=rectified(3, 4, 8, 8, 16, silent=15), part_of="relu")
    conv = layer("conv", 1, kernel=well(1, 16, 4, 3, 3), output=well(3, 4, 8, 8, 16))
    (snapshot,) = followed(step_of(0, conv, relu, again, head(0)))
    assert snapshot.health["conv"].numbers["silent"] == 0
    assert snapshot.health["relu"].numbers["silent"] == 15 / 16


def test_channels_that_are_one_number_everywhere_are_told_but_not_those_of_four_values():
    def step(*places):
        output = well(3, 4, *places, 16)
        output[..., :8] = 6
        return step_of(0, layer("conv", 1, kernel=well(1, 16, 4, 3, 3), output=output), head(0))

    assert [verdict.words for verdict in followed(step(8, 8))[0].verdicts] == [
        "8 of 16 channels are constant, though not zero"
    ]
    assert told(followed(step())[0]) == []


def test_a_side_branch_that_answers_to_all_samples_alike_is_well_as_long_as_the_model_does_not():
    time = layer("time", 1, kind="Dense", kernel=well(1, 16, 20), output=np.tile(well(3, 1, 16), (4, 1)))
    assert told(followed(step_of(0, time, head(0)))[0]) == []
    end = layer("end", 2, kind="Dense", kernel=well(2, 10, 16), output=np.tile(well(4, 1, 10), (4, 1)))
    assert told(followed(step_of(0, time, end))[0]) == [("time", "constant channels")]


@pytest.mark.parametrize("kind", ["tanh", "sigmoid"])
def test_saturated_outputs_are_told_of_hidden_layers_alone(kind):
    bounded = np.tanh(30 * well(3, 4, 64)) if kind == "tanh" else 1 / (1 + np.exp(-30 * well(3, 4, 64)))
    bounded = np.clip(bounded, -1 if kind == "tanh" else 1e-9, 1).astype(np.float32)
    dense = layer("dense", 1, kind="Dense", kernel=well(1, 64, 32), output=bounded)
    (snapshot,) = followed(step_of(0, dense, head(0)))
    assert told(snapshot) == [("dense", "saturated")]
    assert told(followed(step_of(0, dense))[0]) == []  # the last layer's answers should be sure
    mild = layer("dense", 1, kind="Dense", kernel=well(1, 64, 32), output=np.tanh(well(3, 4, 64)))
    assert told(followed(step_of(0, mild, head(0)))[0]) == []


def test_a_softmax_is_never_saturated():
    shares = np.eye(16, dtype=np.float32)[[1, 2, 3, 4]]
    dense = layer("dense", 1, kind="Dense", kernel=well(1, 16, 32), output=shares * 0.999 + 0.001 / 16)
    assert "saturated" not in followed(step_of(0, dense, head(0)))[0].health["dense"].numbers


def test_weights_that_are_nan_are_the_only_thing_that_is_told():
    kernel = well(1, 16, 4, 3, 3)
    kernel[:, 0, 0] = np.nan
    sick = layer("conv", 1, kernel=kernel, output=np.full((4, 8, 8, 16), np.nan, np.float32))
    after = layer("after", 2, kernel=well(2, 16, 16, 3, 3), output=np.full((4, 8, 8, 16), np.nan, np.float32))
    (snapshot,) = followed(step_of(3, sick, after, head(0), metrics={"loss": float("nan")}))
    assert told(snapshot) == [("conv", "not finite")]
    assert (
        snapshot.verdicts[0].words == "8 % of its weights are NaN or infinite, and 1 other layer holds some"
    )
    assert snapshot.verdicts[0].severity == 1


def test_outputs_that_are_infinite_are_told_of_the_first_layer_that_has_them():
    output = well(3, 4, 8, 8, 16)
    output[..., 3] = np.inf
    sick = layer("conv", 1, kernel=well(1, 16, 4, 3, 3), output=output)
    (snapshot,) = followed(step_of(0, sick, head(0)))
    assert [(v.words, v.tag) for v in snapshot.verdicts] == [
        ("6 % of its outputs are NaN or infinite", "feature maps/01_conv")
    ]


def test_a_loss_that_is_no_number_is_told_of_the_model():
    (snapshot,) = followed(step_of(2, head(0), metrics={"val_loss": float("inf"), "lr": float("nan")}))
    assert str(snapshot.verdicts[0]) == "model: val_loss is inf since epoch 2"


def test_updates_that_are_too_large_are_told_at_the_second_step_in_a_row():
    def step(number, share):
        kernel = well(1, 16, 4, 3, 3) + 0.02 * number
        return step_of(
            number, layer("conv", 1, kernel=kernel, output=well(3, 4, 8, 8, 16), update=kernel * share)
        )

    steps = followed(*(step(n, share) for n, share in enumerate([0.3, 0.001, 0.3, 0.3, 0.001])))
    assert [told(snapshot) for snapshot in steps] == [[], [], [], [("conv", "updates too large")], []]
    assert (
        steps[3].verdicts[0].words == "one optimizer step changes its weights by 43 % of their norm"
    )  # 0.3 of 0.7
    assert steps[3].health["conv"].numbers["update ratio"] == pytest.approx(np.log10(0.3 / 0.7), abs=1e-5)


def test_weights_that_have_grown_tenfold_are_told_where_the_optimizer_is_not_known():
    steps = followed(
        *(step_of(n, layer("conv", 1, kernel=well(1, 16, 4, 3, 3) * grown, output=well(3, 4, 8, 8, 16)))
          for n, grown in enumerate([1, 5, 12, 20]))
    )  # fmt: skip
    assert [told(snapshot) for snapshot in steps] == [[], [], [], [("conv", "updates too large")]]
    assert steps[3].verdicts[0].words == "its weights have 20 times the norm they had before training"


def test_trainable_weights_that_do_not_move_are_told_once_for_all_layers():
    def step(number, **options):
        still = [
            layer(f"conv{k}", k, kernel=well(k, 16, 4, 3, 3), output=well(3, 4, 8, 8, 16), **options)
            for k in (1, 2, 3)
        ]
        return step_of(number, *still, head(number))

    steps = followed(*map(step, range(4)))
    assert [told(snapshot) for snapshot in steps] == [[], [], *[[("conv1", "weights do not move")]] * 2]
    assert steps[2].verdicts[0].words == (
        "its weights have not moved, though they are trainable; nor have those of conv2, conv3"
    )
    frozen = followed(*(step(number, trainable=False) for number in range(4)))
    assert [told(snapshot) for snapshot in frozen] == [[]] * 4


def test_a_model_of_which_nothing_moves_is_told_as_a_whole():
    steps = followed(*(step_of(number, convolution(0), head(0)) for number in range(3)))
    assert [str(verdict) for verdict in steps[2].verdicts] == [
        "model: the weights of all 2 trainable layers have not moved since epoch 2"
    ]


def test_duplicate_filters_are_told_but_not_those_too_short_to_tell():
    kernel = well(1, 16, 4, 3, 3)
    kernel[1:6] = 2 * kernel[0]
    sick = layer("conv", 1, kernel=kernel, output=well(3, 4, 8, 8, 16))
    (snapshot,) = followed(step_of(0, sick, head(0)))
    assert [verdict.words for verdict in snapshot.verdicts] == [
        "38 % of its filters are the same as another one"
    ]
    assert snapshot.verdicts[0].tag == "filters/01_conv"
    point = layer("conv", 1, kernel=np.ones((16, 3, 1, 1), np.float32), output=well(3, 4, 8, 8, 16))
    assert told(followed(step_of(0, point, head(0)))[0]) == []


def test_a_rank_that_collapses_is_told_beside_what_it_was():
    thin = well(1, 64, 5) @ well(2, 5, 64)
    full = layer("dense", 1, kind="Dense", kernel=well(4, 64, 64), output=well(5, 4, 64))
    sick = layer("dense", 1, kind="Dense", kernel=thin, output=well(5, 4, 64))
    first, last = followed(step_of(0, full, head(0)), step_of(1, sick, head(1)))
    assert told(first) == []
    assert told(last) == [("dense", "rank collapse")]
    assert told(followed(step_of(0, sick, head(0)))[0]) == []  # how it began may be meant so


def attending(step, weights):
    attention = layer(
        "attn",
        1,
        kind="MultiHeadAttention",
        attention=weights.astype(np.float32),
        attention_shape=weights.shape,
    )
    return step_of(step, attention, head(step))


def test_heads_that_all_look_at_one_key_are_told_and_those_of_one_query_are_not():
    collapsed = np.full((2, 4, 6, 6), 0.001)
    collapsed[..., 2] = 0.995
    collapsed[:, 0] = np.eye(6)
    (snapshot,) = followed(attending(1, collapsed))
    assert [str(verdict) for verdict in snapshot.verdicts] == [
        "attn: 3 of 4 heads look at one key of 6, whatever the query since epoch 1 (see attention/01_attn)"
    ]
    assert told(followed(attending(1, np.tile(np.eye(6), (2, 4, 1, 1))))[0]) == []  # each at itself
    assert told(followed(attending(1, collapsed[:, :, :1]))[0]) == []


def test_heads_that_attend_evenly_are_told_once_training_had_time():
    even = [attending(step, np.full((2, 4, 6, 6), 1 / 6)) for step in range(8)]
    steps = followed(*even)
    assert [told(snapshot) for snapshot in steps] == [[]] * 5 + [[("attn", "collapsed attention heads")]] * 3
    assert steps[-1].health["attn"].numbers["attention entropy"] == pytest.approx(1)


def chain(step, scales):
    layers = [
        layer(f"dense{k}", k, kind="Dense", kernel=well(k, 16, 16) + 0.01 * step, output=well(50 + k, 4, 16),
              gradient=scale * well(20 + k, 16, 16))
        for k, scale in enumerate(scales, start=1)
    ]  # fmt: skip
    return step_of(step, *layers)


def test_gradients_that_vanish_or_explode_from_end_to_end_are_told_of_the_first_layer():
    (vanishing,) = followed(chain(1, [1e-7, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1]))
    assert told(vanishing) == [("dense1", "vanishing gradients")]
    (exploding,) = followed(chain(1, [1e4, 1e3, 1e2, 10, 1, 0.1]))
    assert told(exploding) == [("dense1", "exploding gradients")]
    assert told(followed(chain(1, [1, 0.5, 0.2, 0.1, 1, 2]))[0]) == []
    assert told(followed(chain(1, [1e-7, 1e-1]))[0]) == []  # too few layers


def test_gradients_that_grow_far_beyond_those_of_the_beginning_are_told_of_the_model():
    steps = followed(*(chain(step, [scale] * 5) for step, scale in enumerate([0.1, 0.2, 0.3, 500.0])))
    assert [told(snapshot) for snapshot in steps] == [[], [], [], [("", "exploding gradients")]]
    plateau = followed(*(chain(step, [scale] * 5) for step, scale in enumerate([1e-7, 1e-7, 1e-3])))
    assert told(plateau[-1]) == []


def test_since_is_the_first_step_without_a_break():
    sick = [True, True, False, True, True]
    steps = followed(
        *(step_of(n, convolution(0, silent=14 * ill), head(n)) for n, ill in enumerate(sick)),
        thresholds=Thresholds(evidence=1),
    )
    found = [[(v.since, v.when) for v in s.verdicts if v.illness == "dead channels"] for s in steps]
    assert [len(one) for one in found] == [1, 1, 0, 1, 1]
    assert found[1] == [(0, "before training")]
    assert found[4] == [(3, "epoch 3")]


def test_steps_that_begin_anew_forget_what_was():
    steps = followed(step_of(5, convolution(0), head(0)), step_of(0, convolution(0), head(0)))
    assert "change" not in steps[1].health["conv"].numbers


def test_only_pictures_that_are_drawn_are_pointed_at():
    def tag(ranges):
        return followed(step_of(0, convolution(0, silent=14), head(0), ranges=ranges))[0].verdicts[0].tag

    assert tag(None) == "feature maps/01_conv"
    assert tag({"feature maps/01_conv": None}) == "feature maps/01_conv"
    assert tag({"filters/01_conv": None}) == ""


def test_the_worst_comes_first():
    bounded = layer(
        "bounded", 1, kind="Dense", kernel=well(1, 64, 32), output=np.sign(well(3, 4, 64)) * 0.999
    )
    silent = layer("silent", 2, kind="Dense", kernel=well(2, 64, 64), output=np.zeros((4, 64), np.float32))
    (snapshot,) = followed(step_of(0, bounded, silent, head(0)))
    assert told(snapshot) == [("silent", "dead channels"), ("bounded", "saturated")]
    severities = [verdict.severity for verdict in snapshot.verdicts]
    assert severities == sorted(severities, reverse=True)


def test_thresholds_are_adjustable():
    steps = [step_of(n, convolution(n, silent=8, unmoved=8), head(n)) for n in range(2)]
    assert told(followed(*steps)[1]) == []
    assert told(followed(*steps, thresholds=Thresholds(dead=0.5))[1]) == [("conv", "dead channels")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"dead": 0},
        {"dead": 1.5},
        {"evidence": 2.5},
        {"growth": 1.0},
        {"update": True},
        {"still": "no"},
        {"rank": float("nan")},
    ],
)
def test_a_threshold_that_means_nothing_says_what_to_type(wrong):
    (name,) = wrong
    with pytest.raises(ArgumentError, match=f"Thresholds\\({name}=.*for example {name}="):
        Thresholds(**wrong)


def test_embeddings_and_normalisation_are_measured_but_not_judged():
    embedding = layer(
        "words", 1, kind="Embedding", kernel=np.ones((32, 32), np.float32), output=np.zeros((4, 9, 32))
    )
    (snapshot,) = followed(step_of(0, embedding, head(0)))
    assert told(snapshot) == []
    assert snapshot.health["words"].numbers["weight norm"] == pytest.approx(32)
