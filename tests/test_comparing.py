"""Two networks side by side: what is the same is found to be the same, and what is not is said in words."""

import builtins
from dataclasses import replace

import numpy as np
import pytest
from compared_models import NAMES, answers, images, permuted, snapshot_of, weights
from view_models import layer, read_with, snapshot

from layerviz_callbacks import (
    ArgumentError,
    LayerVizError,
    Probe,
    SelectionError,
    SnapshotFile,
    SnapshotWriter,
    compare,
    inspect,
    views,
)
from layerviz_callbacks.comparing import all_cka, linear_cka
from layerviz_callbacks.comparing.layer_pairs import pair_layers
from layerviz_callbacks.cut import KernelCut, OutputCut, cut_kernel, cut_output

FIRST, SECOND = [3, 0, 5, 1, 2, 4], [7, 2, 0, 1, 6, 5, 3, 4]
INVERSE = {"conv1": np.argsort(FIRST), "conv2": np.argsort(SECOND), "head": np.arange(4)}


def without_outputs(known):
    return replace(known, layers={one.name: replace(one, output=None) for one in known}, outputs={})


def test_a_network_is_the_same_as_itself():
    one = snapshot_of(weights(), targets=np.arange(40) % 4)
    found = compare(one, replace(one, step=2))
    for compared in found.layers:
        assert compared.distance == compared.matched_distance == 0
        for number in (
            compared.cosine, compared.matched_cosine, compared.correlation, compared.matched_correlation,
            compared.cka, compared.biased_cka,
        ):  # fmt: skip
            assert number == pytest.approx(1)
        assert compared.match.partners == compared.match.channels and not compared.match.inputs_of
    assert found.parts_at is None and "They part nowhere" in found.verdict
    assert found.predictions[0].agreement == 1 and found.predictions[0].difference == 0
    np.testing.assert_allclose(np.diagonal(found.cka), 1)


def test_channels_permuted_by_hand_are_found_exactly_and_change_no_cka():
    kernels = weights()
    classes = np.arange(40) % 4
    one, other = (
        snapshot_of(known, targets=classes) for known in (kernels, permuted(kernels, FIRST, SECOND))
    )
    found = compare(one, other)
    for compared in found.layers:
        assert compared.match.by == "activations"
        assert compared.match.partners == tuple(INVERSE[compared.name])
        assert compared.cka == pytest.approx(1, abs=1e-6)
        assert compared.matched_distance == pytest.approx(0, abs=1e-6)
        assert compared.matched_cosine == pytest.approx(1)
        assert compared.matched_correlation == pytest.approx(1)
    assert found["conv1"].cosine < 0.9 and found["conv1"].distance > 0.5
    assert found["conv2"].match.inputs_of == "conv1" and found["head"].match.inputs_of == "conv2"
    assert found.predictions[0].agreement == 1


def test_channels_of_a_pytorch_network_that_are_permuted_are_found_behind_its_flattening_too():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    one, other = (
        nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5)
        )
        for _ in range(2)
    )  # fmt: skip
    with torch.no_grad():
        for place, before, after in ((0, [0], FIRST), (2, FIRST, SECOND)):
            other[place].weight.copy_(one[place].weight[after][:, before])
            other[place].bias.copy_(one[place].bias[after])
        other[5].weight.copy_(one[5].weight.reshape(5, 8, 16)[:, SECOND].reshape(5, -1))
        other[5].bias.copy_(one[5].bias)
    batch = torch.randn(40, 1, 8, 8)
    found = compare(inspect(one, batch), inspect(other, batch))
    assert found["0"].match.partners == tuple(INVERSE["conv1"])
    assert found["2"].match.partners == tuple(INVERSE["conv2"])
    assert found["5"].match.partners == (0, 1, 2, 3, 4) and found["5"].match.inputs_of == "2"
    for compared in found.layers:
        assert compared.cka == pytest.approx(1, abs=1e-5)
        assert compared.matched_distance == pytest.approx(0, abs=1e-6)


def test_without_outputs_filters_are_matched_by_their_cosine_and_flips_are_told():
    kernels = weights()
    moved = permuted(kernels, FIRST, SECOND)
    moved["conv1"][2] *= -1
    moved["conv2"][:, 2] *= -1
    found = compare(without_outputs(snapshot_of(kernels)), without_outputs(snapshot_of(moved)))
    for compared in found.layers:
        assert compared.match.by == "filters"
        assert compared.match.partners == tuple(INVERSE[compared.name])
        assert compared.matched_cosine == pytest.approx(1)
        assert compared.matched_distance == pytest.approx(0, abs=1e-6)
        assert compared.cka is None and compared.correlation is None
    assert np.flatnonzero(found["conv1"].match.signs < 0).tolist() == [5]
    assert "1 of 6 filters are matched with a negative" in str(found)
    assert "cannot be told" in found.verdict


def test_the_inputs_of_a_layer_behind_flattened_maps_are_put_in_order():
    generator = np.random.default_rng(0)
    conv, dense = generator.normal(size=(4, 1, 3, 3)), generator.normal(size=(5, 4 * 6))
    order = [2, 0, 3, 1]
    for shape, axis in (((5, 4, 6), 1), ((5, 6, 4), 2)):  # channels first, channels last
        there = np.take(dense.reshape(shape), order, axis=axis).reshape(5, -1)
        one = snapshot(layer("conv", place=1, kernel=conv), layer("dense", "Dense", 2, kernel=dense))
        other = snapshot(layer("conv", place=1, kernel=conv[order]), layer("dense", "Dense", 2, kernel=there))
        found = compare(one, other)["dense"]
        assert found.match.partners == (0, 1, 2, 3, 4) and found.match.inputs_of == "conv"
        assert found.matched_distance == pytest.approx(0, abs=1e-12) and found.distance > 0.5


def test_networks_of_random_features_have_a_low_cka_and_the_place_where_they_part_is_told():
    kernels, others = weights(), weights(seed=5)
    changed = {**kernels, "conv2": others["conv2"], "head": others["head"]}
    found = compare(snapshot_of(kernels), snapshot_of(changed))
    assert found["conv1"].cka == pytest.approx(1)
    assert found["conv2"].cka < 0.8
    assert found.parts_at == "conv2"
    assert found.verdict == (
        f"They part at conv2: CKA {found['conv2'].cka:.2f}, the first below 0.8; "
        "in the layers before it 1.00 or more."
    )
    assert compare(snapshot_of(kernels), snapshot_of(changed), parted_below=0).parts_at is None
    unlike = [snapshot(layer(output=np.random.default_rng(seed).normal(size=(256, 8)))) for seed in (1, 2)]
    assert abs(compare(*unlike).cka[0, 0]) < 0.05


def test_cka_is_of_every_layer_with_every_other_on_the_same_rows():
    kernels, batch = weights(), images(samples=64)
    found = compare(snapshot_of(kernels, batch), snapshot_of(weights(seed=3), batch))
    assert found.cka.shape == (3, 3) and found.cka_layers == (NAMES, NAMES)
    assert found.rows.tolist() == [[2048, 2048, 64], [2048, 2048, 64], [64, 64, 64]]
    heads = answers(kernels, batch)["head"], answers(weights(seed=3), batch)["head"]
    assert found.cka[2, 2] == pytest.approx(linear_cka(*heads))
    means = answers(kernels, batch)["conv1"].mean(axis=(1, 2))
    assert found.cka[0, 2] == pytest.approx(linear_cka(means, heads[1]))


def test_so_many_wide_layers_are_compared_by_fewer_rows_and_it_is_said(monkeypatch):
    kernels, others, batch = weights(), weights(seed=3), images(samples=64)
    whole = compare(snapshot_of(kernels, batch), snapshot_of(others, batch))
    assert "512 rows" not in str(whole)
    monkeypatch.setattr(all_cka, "MOST_WORK", 1e5)
    found = compare(snapshot_of(kernels, batch), snapshot_of(others, batch))
    assert found.rows.tolist() == [[2048, 512, 64], [512, 2048, 64], [64, 64, 64]]
    assert found.cka == pytest.approx(whole.cka, abs=0.08) and found.cka[0, 1] != whole.cka[0, 1]
    assert [one.cka for one in found.layers] == [one.cka for one in whole.layers]
    assert "CKA of those that are no partners is of an even choice of 512 rows, not of up to 2048." in str(
        found
    )
    same = compare(snapshot_of(kernels, batch), snapshot_of(kernels, batch))
    assert np.diagonal(same.cka) == pytest.approx(1)


def test_with_few_rows_nothing_is_concluded():
    batch = images(samples=8)
    found = compare(snapshot_of(weights(), batch), snapshot_of(weights(seed=1), batch), layers="head")
    assert found["head"].rows == 8 and found.parts_at is None
    assert found["head"].match.by == "filters"
    assert "fewer than 32 rows" in found.verdict and "0" in str(found)
    assert "? CKA of 8 rows is unsure" in str(found)


def test_with_another_probe_only_weights_are_compared_and_it_is_said_why():
    one, other = snapshot_of(weights()), snapshot_of(weights(), images(seed=2))
    found = compare(one, other)
    assert found.verdict.startswith("The probes differ: the input has the same shape (40, 8, 8, 1)")
    assert not found.cka.size and not found.predictions
    assert found["conv1"].distance == 0 and found["conv1"].correlation is None
    fewer = compare(one, snapshot_of(weights(), images(samples=3)))
    assert fewer.probe_refusal == "the probes differ: the input is (40, 8, 8, 1) in a, (3, 8, 8, 1) in b"
    assert "only weights are compared" in str(fewer)


def test_the_layout_of_a_probe_does_not_matter():
    batch = images()
    first = replace(snapshot_of(weights(), batch), input_axes={"input": (0, 1, 2, 3)})
    channels_first = Probe(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
    second = replace(snapshot_of(weights(), batch), probe=channels_first, input_axes={"input": (0, 2, 3, 1)})
    assert compare(first, second).probe_refusal == ""


def test_what_is_not_finite_is_refused_in_words():
    kernels = weights()
    kernels["conv1"][0, 0, 0, 0] = np.nan
    one = snapshot_of(weights())
    broken = replace(one, layers={**one.layers, "conv1": replace(one["conv1"], kernel=kernels["conv1"])})
    found = compare(one, broken)["conv1"]
    assert found.distance is None and found.correlation == pytest.approx(1)
    assert "its kernel holds NaN or infinities in b" in found.notes
    output = one["conv1"].output.copy()
    output[0] = np.inf
    found = compare(replace(one, layers={**one.layers, "conv1": replace(one["conv1"], output=output)}), one)
    assert found["conv1"].cka is None and found["conv1"].distance == 0
    assert np.isnan(found.cka[0]).all() and np.isfinite(found.cka[1:]).all()


def test_dead_channels_are_partners_of_dead_channels():
    one, other = weights(), permuted(weights(), FIRST, SECOND)
    one["conv1"][3] = 0
    other["conv1"][0] = 0  # the same channel, permuted
    found = compare(snapshot_of(one), snapshot_of(other))["conv1"]
    assert found.match.partners[3] == 0 and np.isnan(found.match.likeness[3])
    assert found.matched_correlation == pytest.approx(1)
    assert "1 pair has a channel that is the same everywhere, and no correlation" in found.notes


# which layer is which


def named(*layers):
    return [
        layer(name, kind, place, kernel=np.zeros(shape) if shape else None)
        for place, (name, kind, shape) in enumerate(layers, start=1)
    ]


def pairs_of(one, other):
    return [(a.name, b.name) for a, b in pair_layers(one, other).pairs]


def test_layers_are_paired_by_name_then_by_kind_and_shape_in_their_order():
    one = named(("0", "Conv2d", (8, 1, 3, 3)), ("1", "Conv2d", (8, 8, 3, 3)), ("2", "Linear", (10, 8)))
    inserted = named(
        ("0", "Conv2D", (8, 1, 3, 3)), ("1", "BatchNormalization", None), ("2", "Conv2D", (8, 8, 3, 3)),
        ("3", "Dense", (10, 8)),
    )  # fmt: skip
    assert pairs_of(one, inserted) == [("0", "0"), ("1", "2"), ("2", "3")]
    assert pairs_of(named(("a", "Dense", (3, 2))), named(("b", "Dense", (3, 2)))) == [("a", "b")]


def test_layers_without_a_partner_are_named_with_the_reason():
    one = named(("conv", "Conv2d", (8, 1, 3, 3)), ("extra", "Linear", (4, 4)))
    other = named(("conv", "Linear", (5, 5)))
    paired = pair_layers(one, other)
    assert paired.pairs == ()
    assert paired.unmatched[0]["conv"] == (
        "a Conv2d with a kernel (8, 1, 3, 3); b has a Linear of that name, and no other of its kind and "
        "shape is left"
    )
    assert paired.unmatched[0]["extra"].startswith(
        "a Linear with a kernel (4, 4); b has no layer of that name"
    )
    assert list(paired.unmatched[1]) == ["conv"]
    found = compare(
        snapshot(*one, *named(("same", "Linear", (2, 2)))), snapshot(*named(("same", "Linear", (2, 2))))
    )
    assert [compared.name for compared in found.layers] == ["same"]
    assert "only in a: conv, a Conv2d with a kernel (8, 1, 3, 3)" in str(found)


def test_wider_layers_of_the_same_name_are_compared_by_cka_alone():
    found = compare(snapshot_of(weights()), snapshot_of(weights(second=12)))["conv2"]
    assert found.distance is None and found.match is None
    assert 0 < found.cka < 1
    assert "its kernel is (8, 6, 1, 1) in a, (12, 6, 1, 1) in b" in found.notes


def test_models_with_nothing_in_common_are_refused():
    with pytest.raises(ArgumentError, match=r"different models.*a has \[conv1 \(6, 1, 3, 3\)"):
        compare(snapshot_of(weights()), snapshot(*named(("gru", "GRU", (2, 2)))))


# files that hold parts


def test_what_a_callback_keeps_of_layers_is_compared_as_far_as_both_hold_it():
    kernels = weights()
    one, other = snapshot_of(kernels), snapshot_of(permuted(kernels, FIRST, SECOND))
    kernel, kernel_taken = cut_kernel(kernels["conv2"], KernelCut(channels=(0, 1, 2, 3)))
    output, output_taken = cut_output(
        one["conv2"].output, OutputCut(channels=(5, 2, 3, 1), samples=30, block=2)
    )
    part = replace(
        one["conv2"], kernel=kernel, kernel_taken=kernel_taken, output=output, output_taken=output_taken
    )
    found = compare(replace(one, layers={**one.layers, "conv2": part}), other)["conv2"]
    moved = other["conv2"]
    assert found.distance == pytest.approx(
        np.linalg.norm(kernel - moved.kernel[:4]) / np.linalg.norm(kernel), rel=1e-5
    )
    assert found.kernels.total == 8 and found.kernels.channels == (0, 1, 2, 3)
    assert found.outputs.channels == (5, 2, 3, 1)
    blocks = moved.output[:30].reshape(30, 4, 2, 4, 2, 8).mean(axis=(2, 4))
    np.testing.assert_allclose(found.outputs.other, blocks[..., [5, 2, 3, 1]], rtol=1e-5, atol=1e-5)
    assert found.match.channels == (5, 2, 3, 1)
    assert found.rows == 30 * 4 * 4
    assert "4 of 8 channels of its kernel are held" in str(found.notes)
    assert "4 of 8 channels of its output are held" in str(found.notes)


def test_samples_that_a_file_does_not_hold_are_told_with_what_keeps_them():
    whole = snapshot_of(weights())
    layers = {
        name: replace(one, output=one.output[:8], output_shape=(40, *one.output.shape[1:]))
        for name, one in whole.layers.items()
    }
    said = (
        "Of outputs 8 of 40 samples are held; a training with snapshots=Snapshots('run.h5', everything=True)"
    )
    assert said in str(compare(replace(whole, layers=layers), whole))
    assert "samples are held" not in str(compare(whole, whole))


def test_means_over_inputs_are_compared_with_a_whole_kernel_by_its_own_means():
    kernel = np.random.default_rng(0).normal(size=(5, 4, 3, 3))
    part, taken = cut_kernel(kernel, KernelCut(mean_inputs=True))
    known = layer(kernel=kernel)
    kept = replace(known, kernel=part, kernel_taken=taken)
    found = compare(snapshot(kept), snapshot(replace(known, kernel=2 * kernel)))["conv1"]
    assert found.distance == pytest.approx(1) and found.matched_cosine == pytest.approx(1)
    assert "of its kernel the mean over the inputs is held" in found.notes
    other, other_taken = cut_kernel(kernel, KernelCut(mean_inputs=True, inputs=2))
    refused = compare(snapshot(kept), snapshot(replace(known, kernel=other, kernel_taken=other_taken)))
    assert refused["conv1"].notes == ("its kernel is a mean over 4 inputs in a, over 2 in b",)


def test_parts_that_do_not_meet_are_refused_in_words():
    kernel = np.random.default_rng(0).normal(size=(6, 1, 3, 3))
    known = layer(kernel=kernel)
    halves = []
    for channels in ((0, 1, 2), (3, 4, 5)):
        part, taken = cut_kernel(kernel, KernelCut(channels=channels))
        halves.append(snapshot(replace(known, kernel=part, kernel_taken=taken)))
    assert compare(*halves)["conv1"].notes == ("a and b hold different channels of its kernel",)


def test_the_strongest_channels_of_two_runs_are_compared_where_both_hold_them():
    kernels = weights()
    view = views.FeatureMaps(channels="strongest", max_channels=4)
    one, other = (read_with(snapshot_of(weights(seed=seed)), view) for seed in (0, 7))
    held = [set(known["conv2"].output_taken.channels) for known in (one, other)]
    found = compare(one, other)["conv2"]
    assert set(found.outputs.channels) == held[0] & held[1] != set()
    outputs = answers(kernels, images())["conv2"], answers(weights(seed=7), images())["conv2"]
    for place, channel in enumerate(found.outputs.channels):
        samples = len(found.outputs.one)
        np.testing.assert_array_equal(found.outputs.one[..., place], outputs[0][:samples, ..., channel])
        np.testing.assert_array_equal(found.outputs.other[..., place], outputs[1][:samples, ..., channel])


def test_the_units_of_gates_are_matched_whole():
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(4, 5, 7))  # gate, unit, in
    order = [4, 2, 0, 1, 3]
    known = layer("lstm", "LSTM", kernel=kernel.reshape(20, 7), gates=("i", "f", "c", "o"))
    other = replace(known, kernel=kernel[:, order].reshape(20, 7))
    found = compare(snapshot(known), snapshot(other))["lstm"]
    assert found.match.partners == tuple(np.argsort(order))
    assert found.kernels.total == 5 and found.matched_distance == 0


# files and steps


def run_file(path, seeds):
    with SnapshotWriter(path) as writer:
        for step, seed in enumerate(seeds):
            writer.append(snapshot_of(weights(seed), step=step, metrics={"loss": 1.0 / (1 + step)}))
    return path


def test_two_epochs_of_a_file_are_its_first_and_last_or_those_that_are_named(tmp_path):
    path = run_file(tmp_path / "run.h5", [0, 1, 1, 2])
    found = compare(path)
    assert found.names == ("run.h5, epoch 0", "run.h5, epoch 3")
    assert found.metrics == {"loss": (1.0, 0.25)} and found.step == 3
    same = compare(path, step=(1, 2))
    assert same["conv2"].distance == 0 and same.parts_at is None
    with SnapshotFile(path) as file:
        assert str(compare(file, step=(1, "last"))) == str(compare(path, step=(1, 3)))
        np.testing.assert_array_equal(compare(file[1], file[3]).cka, compare(path, step=(1, 3)).cka)


def test_two_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    found = compare(
        run_file(tmp_path / "one" / "run.h5", [0, 1]), run_file(tmp_path / "two" / "run.h5", [0, 2]), step=0
    )
    assert found.names == ("one/run.h5, epoch 0", "two/run.h5, epoch 0")
    assert found["conv1"].distance == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"step": 9}, "'run.h5' has no step 9. It has 0, 1."),
        ({"step": (0, 0)}, "Both steps of 'run.h5' are 0"),
        ({"step": "best"}, "Of one file two steps are compared"),
        ({"step": ("best", 1)}, "no step of 'run.h5' is marked as the best"),
        ({"step": "lst"}, "Did you mean 'last'?"),
        ({"step": (1, 2, 3)}, "is no step"),
        ({"step": True}, "is no step"),
        ({"parted_below": 3}, "parted_below=3 is no CKA"),
    ],
)
def test_a_step_that_cannot_be_had_is_refused_in_words(tmp_path, options, words):
    path = run_file(tmp_path / "run.h5", [0, 1])
    if options.get("step") == 9:
        options = {"step": (0, 9)}
    with pytest.raises(ArgumentError) as refused:
        compare(path, **options)
    assert words in str(refused.value)


def test_what_is_no_snapshot_is_refused():
    one = snapshot_of(weights())
    with pytest.raises(ArgumentError, match="needs a second one"):
        compare(one)
    with pytest.raises(ArgumentError, match="step=1 is for files"):
        compare(one, one, step=1)
    with pytest.raises(ArgumentError, match="was given a int"):
        compare(one, 3)
    with pytest.raises(SelectionError, match="conv9"):
        compare(one, one, layers="conv9")
    with pytest.raises(LayerVizError, match=r"nope\.h5"):
        compare("nope.h5", one)
    with pytest.raises(SelectionError, match=r"comparison\['conv'\].*Did you mean 'conv"):
        compare(one, one)["conv"]


def test_where_scipy_is_missing_it_is_said_what_to_type(monkeypatch):
    real = builtins.__import__

    def without_scipy(name, *arguments, **options):
        if name.partition(".")[0] == "scipy":
            raise ImportError("No module named 'scipy'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(LayerVizError, match=r"pip install 'layerviz_callbacks\[compare\]'"):
        compare(snapshot_of(weights()), snapshot_of(weights()))


# predictions


def test_predictions_are_compared_class_by_class():
    one = snapshot_of(weights(), targets=np.zeros(40, int))
    changed = one.outputs["head"].copy()
    changed[:10] = np.roll(changed[:10], 1, axis=1)  # ten samples get another class
    picked, before = changed.argmax(axis=1), one.outputs["head"].argmax(axis=1)
    found = compare(one, replace(one, outputs={"head": changed})).predictions[0]
    assert found.agreement == 0.75
    assert found.right == ((before == 0).mean(), (picked == 0).mean())
    assert found.apart == one.probe.names[:10]


def test_answers_that_are_no_classes_are_compared_by_their_difference():
    one = snapshot_of(weights())
    numbers = np.linspace(-1, 1, 40)[:, None]
    known = replace(one, probe=Probe(images(), targets=numbers), outputs={"depth": numbers})
    other = replace(known, outputs={"depth": numbers + 0.25})
    found = compare(known, other).predictions[0]
    assert found.agreement is None and found.difference == pytest.approx(0.25)
    none = compare(known, replace(known, outputs={}))
    assert none.predictions == () and "b holds no model outputs" in str(none)
