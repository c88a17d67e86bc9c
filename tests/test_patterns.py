import numpy as np
import pytest
from plain_gradients import numpy_linear, torch_differentiate

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining import Derivative, PatternRecipe
from layerviz_callbacks.explaining.fourier import Frequencies
from layerviz_callbacks.explaining.patterns import find_patterns
from layerviz_callbacks.explaining.smoothness import total_variation, total_variation_gradient

RANDOM = np.random.default_rng(3)


def probe(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def channels_second(array):
    """The axes of a torch input."""
    return {"input": (0, *range(2, array.ndim), 1)}


def cosine(one, other):
    return float(np.vdot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


def network(rank=2, inputs=1, *, relu=True):
    """Two convolutions of 4 and 6 channels."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    convolution = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)[rank - 1]
    return torch.nn.Sequential(
        convolution(inputs, 4, 3, padding=1),
        torch.nn.ReLU(),
        convolution(4, 6, 3, padding=1),
        torch.nn.ReLU() if relu else torch.nn.Identity(),
    )


# -- on paper ---------------------------------------------------------------------------------------------


def test_the_pattern_of_a_linear_unit_is_its_own_filter():
    # each step goes 0.5 along the filter, whose root mean square is made 1
    matrix = np.array([[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 2.0, 0.0]])
    given = np.array([[1.0, 5.0, 0.0, 2.0], [3.0, 5.0, 0.0, 4.0], [2.0, 8.0, 3.0, 3.0]], np.float32)
    recipe = PatternRecipe((0, 1), steps=20, step_size=0.5)
    found = find_patterns(recipe, "dense", {"input": given}, {}, numpy_linear(matrix))
    np.testing.assert_allclose(found.mean, given.mean(0))
    np.testing.assert_allclose(found.deviation, given.std(0), rtol=1e-6)
    weighted = matrix * given.std(0)  # what a standard deviation of each input is worth
    steps = 20 * 0.5 * weighted / np.sqrt((weighted**2).mean(1, keepdims=True))
    moved = found.standardised - steps
    np.testing.assert_allclose(moved[0], moved[1], atol=1e-4)  # both from one start
    assert np.abs(moved).max() < 0.3  # which is near the mean
    np.testing.assert_allclose(
        found.after, [matrix[0] @ found.inputs[0], matrix[1] @ found.inputs[1]], rtol=1e-5
    )
    assert (found.after > found.before).all() and not found.dead.any()


def test_the_pattern_of_a_dead_channel_is_the_start_and_the_dead_channel_is_told():
    matrix = np.array([[1.0, 2.0], [1.0, 2.0]])
    dead = numpy_linear(matrix, relu=True, offset=np.array([0.5, -1e4]))
    found = find_patterns(PatternRecipe((0, 1)), "dense", {"input": probe(4, 2)}, {}, dead)
    assert found.dead.tolist() == [False, True]
    assert found.after[0] > found.before[0] and found.after[1] == found.before[1] == 0
    assert np.abs(found.standardised[1]).max() < 0.3


def test_a_channel_that_is_dead_at_the_mean_is_tried_again_from_stronger_noise():
    torch = pytest.importorskip("torch")
    convolution = torch.nn.Conv1d(1, 4, 1)
    convolution.weight.data[:] = 1
    convolution.bias.data[:] = torch.tensor([0.0, -1.0, -4.0, -1000.0])  # reached from 0, 1, 4, 1000 on
    given = np.array([-1.0, 1.0] * 20, np.float32).reshape(1, 1, 40)
    differentiate = torch_differentiate(torch.nn.Sequential(convolution, torch.nn.ReLU()))
    recipe = PatternRecipe((0, 1, 2, 3), steps=4)
    found = find_patterns(recipe, "1", {"input": given}, channels_second(given), differentiate)
    assert found.dead.tolist() == [False, False, False, True]
    assert (found.after[:3] > found.before[:3]).all() and (found.before[:3] > 0).all()
    size = np.sqrt((found.inputs[..., 0] ** 2).mean(1))
    assert size[0] < 1.2 and 1 < size[1] < 2 and 3 < size[2] < 4  # starts of 0.1, 1 and 3, and 4 steps
    assert size[3] == pytest.approx(0.1)


def test_a_layer_before_its_relu_has_the_pattern_that_it_has_after_it():
    given = probe(4, 1, 12, 12)
    differentiate = torch_differentiate(network())
    before, after = (
        find_patterns(
            PatternRecipe((0, 1, 3), steps=8), name, {"input": given}, channels_second(given), differentiate
        )
        for name in ("0", "1")
    )
    for channel in range(3):
        assert cosine(before.standardised[channel], after.standardised[channel]) > 0.95
    np.testing.assert_allclose(before.after, after.after, rtol=0.05)


def test_an_edge_filter_finds_edges_though_its_weights_add_up_to_zero():
    torch = pytest.importorskip("torch")
    edge = torch.nn.Conv1d(1, 1, 2, bias=False)
    edge.weight.data[:] = torch.tensor([-1.0, 1.0])
    given = probe(3, 1, 40)
    found = find_patterns(
        PatternRecipe((0,)), "0", {"input": given}, channels_second(given),
        torch_differentiate(torch.nn.Sequential(edge)),
    )  # fmt: skip
    assert found.after[0] > 10 * found.before[0]
    spectrum = np.abs(np.fft.rfft(found.inputs[0, 3:-3, 0]))
    assert spectrum.argmax() > 0.8 * len(spectrum)  # up, down, up, down: the most edges there can be


# -- what is promised -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"start": "fourier"}, {"jitter": 2}, {"total_variation": 0.2}])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_activations_rise_for_every_option_and_rank(rank, options):
    given = probe(3, 2, *(9,) * rank)
    found = find_patterns(
        PatternRecipe((0, 2, 5), steps=10, **options), "2", {"input": given}, channels_second(given),
        torch_differentiate(network(rank, 2, relu=False)),
    )  # fmt: skip
    assert found.inputs.shape == (3, *(9,) * rank, 2) and found.inputs.dtype == np.float32
    assert (found.after > found.before + 0.05).all()


def test_what_is_said_of_the_end_is_what_the_layer_answers_there():
    torch = pytest.importorskip("torch")
    given, model = probe(3, 1, 12, 12), network()
    recipe = PatternRecipe((1, 4), steps=5, jitter=2)
    found = find_patterns(recipe, "3", {"input": given}, channels_second(given), torch_differentiate(model))
    with torch.no_grad():
        answer = model(torch.tensor(np.moveaxis(found.inputs, -1, 1)))
    inside = answer[:, :, 2:-2, 2:-2].mean((2, 3)).numpy()
    np.testing.assert_allclose(found.after, [inside[0, 1], inside[1, 4]], rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"start": "fourier", "jitter": 3, "total_variation": 0.1}])
def test_a_seed_repeats_a_pattern_whatever_other_channels_are_asked_for(options):
    given = probe(3, 1, 10, 10)

    def found(channels, seed=0):
        recipe = PatternRecipe(channels, steps=6, seed=seed, **options)
        differentiate = torch_differentiate(network())
        return find_patterns(recipe, "2", {"input": given}, channels_second(given), differentiate).inputs

    np.testing.assert_array_equal(found((0, 3)), found((0, 3)))
    np.testing.assert_allclose(found((3,))[0], found((0, 1, 2, 3))[3], atol=1e-3)
    assert np.abs(found((3,)) - found((3,), seed=1)).max() > 0.1


def test_many_channels_of_large_inputs_go_through_the_model_in_equal_batches():
    torch = pytest.importorskip("torch")
    calls, given = [], probe(2, 1, 500, 500)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 5, 1))
    recipe = PatternRecipe((0, 1, 2, 3, 4), steps=1)
    found = find_patterns(
        recipe, "0", {"input": given}, channels_second(given), torch_differentiate(model, calls)
    )
    assert {call["input"].shape for call in calls} == {(2, 1, 500, 500)}
    assert found.inputs.shape == (5, 500, 500, 1) and found.after.shape == found.dead.shape == (5,)
    np.testing.assert_array_equal(
        np.sign(found.inputs.mean((1, 2, 3))), np.sign(model[0].weight.detach().numpy().ravel())
    )


def test_another_size_is_taken_where_the_model_takes_it():
    given = probe(2, 1, 8, 8)
    differentiate = torch_differentiate(network())
    recipe = PatternRecipe((0,), steps=2, size=(20, 11))
    found = find_patterns(recipe, "2", {"input": given}, channels_second(given), differentiate)
    assert found.inputs.shape == (1, 20, 11, 1)
    with pytest.raises(DifferentiationError, match=r"size=\(20,\) has 1 axes, and the input 2"):
        find_patterns(PatternRecipe((0,), size=(20,)), "2", {"input": given}, {}, differentiate)


def test_a_model_that_refuses_a_size_is_told_in_words():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    given = probe(2, 1, 4, 4)
    with pytest.raises(DifferentiationError, match=r"fails with inputs of the shapes input \(1, 1, 5, 5\)"):
        find_patterns(
            PatternRecipe((0,), size=(5, 5)), "1", {"input": given}, channels_second(given),
            torch_differentiate(model),
        )  # fmt: skip


def test_the_first_input_with_axes_of_space_is_changed_and_the_others_stay():
    calls = []

    def differentiate(inputs, weights, *, layer="", output=""):
        calls.append(inputs)
        image = inputs["image"]
        return Derivative(
            image.mean((1, 2)),
            {"image": np.ones_like(image) * weights(image.mean((1, 2)).shape)[:, None, None]},
        )

    age, tokens = probe(3, 2), np.arange(12).reshape(3, 4)
    inputs = {"age": age, "tokens": tokens, "image": probe(3, 4, 4, 2)}
    found = find_patterns(PatternRecipe((0, 1), steps=3), "pool", inputs, {}, differentiate)
    assert found.input == "image"
    for call in calls:
        assert list(call) == ["age", "tokens", "image"]
        np.testing.assert_array_equal(call["age"], age[[0, 0]])
        np.testing.assert_array_equal(call["tokens"], tokens[[0, 0]])
    assert found.inputs[0, ..., 0].mean() > found.inputs[0, ..., 1].mean()  # channel 0 wants the first


def test_what_is_constant_in_the_probe_stays():
    given = np.stack([probe(4, 3), np.full((4, 3), 7, np.float32)], axis=-1)  # (sample, time, channel)
    found = find_patterns(
        PatternRecipe((0,)), "dense", {"input": given}, {"input": (0, 1, 2)}, numpy_linear(np.ones((1, 6)))
    )
    np.testing.assert_array_equal(found.inputs[..., 1], np.full((1, 3), 7))
    assert found.inputs[..., 0].min() > 1


@pytest.mark.parametrize(
    ("inputs", "recipe", "words"),
    [
        (
            {"input": np.ones((2, 4), np.int64)},
            PatternRecipe((0,)),
            r"input is int64.*x\.astype\('float32'\)",
        ),
        ({"input": np.ones((2, 4))}, PatternRecipe((0, 9)), "no channel 9 of 2"),
        ({"input": np.ones((2, 4))}, PatternRecipe((0,), start="fourier"), "type start='noise'"),
    ],
)
def test_what_has_no_pattern_is_told_in_words(inputs, recipe, words):
    with pytest.raises(DifferentiationError, match=words):
        find_patterns(recipe, "dense", inputs, {}, numpy_linear(np.ones((2, 4))))


def test_an_output_without_the_axis_of_samples_is_told():
    def differentiate(inputs, weights, *, layer="", output=""):
        weights((6, 4))

    with pytest.raises(DifferentiationError, match="its first axis is not the samples"):
        find_patterns(PatternRecipe((0, 1, 2)), "x", {"input": probe(2, 4)}, {}, differentiate)


# -- frequencies and total variation ----------------------------------------------------------------------


@pytest.mark.parametrize("space", [(8,), (7,), (6, 5), (5, 4), (4, 3, 6)])
def test_the_gradient_in_frequencies_is_the_one_that_differences_find(space):
    frequencies, target = Frequencies(space), RANDOM.standard_normal((1, *space, 2))

    def objective(coefficients):
        return float((np.sin(frequencies.to_space(coefficients)) * target).sum())

    standing = frequencies.coefficients(1, 2, np.random.default_rng(0))
    found = frequencies.gradient(np.cos(frequencies.to_space(standing)) * target)
    assert found.shape == standing.shape
    for place in RANDOM.choice(standing.size, 8, replace=False):
        for unit in (1, 1j):
            step = np.zeros(standing.size, complex)
            step[place] = 1e-5 * unit
            step = step.reshape(standing.shape)
            slope = (objective(standing + step) - objective(standing - step)) / 2e-5
            own = found.ravel()[place]
            assert slope == pytest.approx(own.real if unit == 1 else own.imag, abs=1e-6)


@pytest.mark.parametrize("space", [(8,), (6, 5), (4, 3, 6)])
def test_frequencies_and_their_gradient_are_adjoint(space):
    frequencies = Frequencies(space)
    values = RANDOM.standard_normal((2, *space, 3))
    coefficients = frequencies.coefficients(2, 3, RANDOM)
    one = np.vdot(frequencies.to_space(coefficients), values)
    other = np.vdot(coefficients, frequencies.gradient(values)).real
    assert one == pytest.approx(other)


def test_of_a_sharp_gradient_the_direction_in_frequencies_is_smooth():
    sharp = np.zeros((1, 16, 16, 1))
    sharp[0, 8, 8] = 1
    direction = Frequencies((16, 16)).direction(sharp)[0, ..., 0]
    assert np.unravel_index(direction.argmax(), direction.shape) == (8, 8)
    power = np.abs(np.fft.fft2(direction))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16)))
    np.testing.assert_allclose(power[frequency > 0.1] * frequency[frequency > 0.1] ** 2, 1 / 16**2, rtol=1e-6)


@pytest.mark.parametrize("space", [(6,), (4, 5), (3, 2, 4)])
def test_the_gradient_of_total_variation_is_the_one_that_differences_find(space):
    values = RANDOM.standard_normal((2, *space, 2))
    found = total_variation_gradient(values)
    for place in RANDOM.choice(values.size, 10, replace=False):
        step = np.zeros(values.size)
        step[place] = 1e-5
        step = step.reshape(values.shape)
        slope = (total_variation(values + step) - total_variation(values - step)).sum() / 2e-5
        assert slope == pytest.approx(found.ravel()[place], abs=1e-6)


def test_a_constant_has_no_total_variation_and_a_jump_has_its_height():
    jump = np.repeat([0.0, 100.0], 3).reshape(1, 6, 1)
    assert total_variation(np.ones((2, 4, 4, 3))).tolist() == [0, 0]
    assert total_variation(jump)[0] == pytest.approx(100, rel=2e-3)


# -- with the readers -------------------------------------------------------------------------------------


def test_keras_and_torch_find_the_same_patterns_of_the_same_weights():
    torch, keras = pytest.importorskip("torch"), pytest.importorskip("keras")
    from layerviz_callbacks import Probe, inspect, views

    keras.utils.set_random_seed(0)
    one = keras.Sequential([
        keras.Input((12, 10, 2)),
        keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1"),
        keras.layers.Conv2D(5, 3, activation="relu", name="conv2"),
    ])  # fmt: skip
    other = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3), torch.nn.ReLU()
    )
    for layer, name in ((other[0], "conv1"), (other[2], "conv2")):
        kernel, bias = map(keras.ops.convert_to_numpy, one.get_layer(name).weights)
        layer.weight.data = torch.tensor(np.transpose(kernel, (3, 2, 0, 1)).copy())
        layer.bias.data = torch.tensor(bias + 0.05)
        one.get_layer(name).bias.assign(bias + 0.05)
    given = probe(3, 12, 10, 2)
    options = {"steps": 6, "jitter": 1, "channels": [0, 2, 4]}
    from_keras = inspect(one, Probe(given), views=[views.Patterns(layers="conv2", **options)])
    from_torch = inspect(
        other, Probe(np.moveaxis(given, -1, 1).copy()), views=[views.Patterns(layers=["2", "3"], **options)]
    )
    found, same, before = (
        layer.patterns for layer in (from_keras["conv2"], from_torch["3"], from_torch["2"])
    )
    assert not found.dead.any()
    np.testing.assert_allclose(found.mean, same.mean, atol=1e-6)
    np.testing.assert_allclose(found.after, same.after, rtol=1e-3)
    for channel in range(3):
        assert cosine(found.standardised[channel], same.standardised[channel]) > 0.999
        assert cosine(found.standardised[channel], before.standardised[channel]) > 0.8  # without its ReLU
