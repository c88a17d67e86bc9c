import numpy as np
import pytest
from plain_gradients import numpy_linear, torch_differentiate

from layerviz_callbacks import Probe, Snapshot
from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining import SaliencyRecipe, Score, Target, score_of
from layerviz_callbacks.explaining.saliency import METHODS, completeness_gap, saliency_of

torch = pytest.importorskip("torch")


def convolutional():
    """A small network over images of 3 channels, with 4 classes."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, padding=1),
        torch.nn.Softplus(),  # smooth, so that integrals converge
        torch.nn.AvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * 16, 4),
        torch.nn.Tanh(),
    )


def images(count=3):
    return np.random.default_rng(1).standard_normal((count, 3, 8, 8)).astype(np.float32)


def score_of_class(differentiate, inputs, of="predicted"):
    """The score of a target for a model's answer, as a reader finds it."""
    answer = differentiate(inputs, lambda shape: np.zeros(shape, np.float32)).answer
    first = next(iter(inputs.values()))
    return score_of(Target(of), Snapshot({}, Probe(first), {"input": first}, {"output": answer}))


def find(method, inputs, differentiate, *, of="predicted", **options):
    score = score_of_class(differentiate, inputs, of)
    return saliency_of(SaliencyRecipe(method, Target(of), **options), score, inputs, differentiate)


# -- against Captum ---------------------------------------------------------------------------------------


def test_gradients_and_integrated_gradients_are_those_of_captum():
    attr = pytest.importorskip("captum.attr")
    model, x = convolutional(), images()
    given, classes = torch.tensor(x), [2, 0, 3]
    differentiate, of = torch_differentiate(model), (2, 0, 3)
    for method, expected in {
        "gradient": attr.Saliency(model).attribute(given, target=classes, abs=False),
        "gradient x input": attr.InputXGradient(model).attribute(given, target=classes),
        "integrated gradients": attr.IntegratedGradients(model).attribute(given, target=classes, n_steps=16),
    }.items():
        found = find(method, {"input": x}, differentiate, of=of)["input"]
        np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5, err_msg=method)


def test_two_inputs_are_integrated_on_one_path_as_in_captum():
    attr = pytest.importorskip("captum.attr")

    class Product(torch.nn.Module):
        def forward(self, image, vector):
            return torch.stack([(image.mean((1, 2, 3)) * vector.sum(1)) ** 2, vector[:, 0] ** 3], 1)

    x, v = images(), np.random.default_rng(2).standard_normal((3, 5)).astype(np.float32)
    inputs = {"image": x, "vector": v}
    expected = attr.IntegratedGradients(Product()).attribute(
        (torch.tensor(x), torch.tensor(v)), target=[0, 1, 0], n_steps=8
    )
    found = find("integrated gradients", inputs, torch_differentiate(Product()), of=(0, 1, 0), steps=8)
    np.testing.assert_allclose(found["image"], expected[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(found["vector"], expected[1].numpy(), atol=1e-5)


def test_smoothgrad_is_the_mean_gradient_at_the_noisy_copies_that_the_model_saw():
    calls, model, x = [], convolutional(), images(2)
    inputs, differentiate = {"input": x}, torch_differentiate(model, calls)
    score = score_of_class(differentiate, inputs, of=1)
    calls.clear()
    recipe = SaliencyRecipe("smoothgrad", Target(1), steps=64, noise=0.2)
    found = saliency_of(recipe, score, inputs, differentiate)["input"]
    seen = np.concatenate([call["input"] for call in calls]).reshape(64, *x.shape)
    given = torch.tensor(seen.reshape(-1, *x.shape[1:]), requires_grad=True)
    (gradient,) = torch.autograd.grad(model(given)[:, 1].sum(), [given])
    np.testing.assert_allclose(found, gradient.numpy().reshape(seen.shape).mean(0), atol=1e-6)
    noise = seen - x
    extent = (x.max((1, 2, 3)) - x.min((1, 2, 3))) * 0.2
    np.testing.assert_allclose(noise.std(axis=(0, 2, 3, 4)), extent, rtol=0.02)
    np.testing.assert_allclose(noise.mean(axis=(0, 2, 3, 4)), 0, atol=0.02 * extent.max())
    copies = noise.reshape(64, -1)
    assert np.abs(np.corrcoef(copies) - np.eye(64)).max() < 0.25  # all of them differ


def test_smoothgrad_comes_near_that_of_captum():
    attr = pytest.importorskip("captum.attr")
    model, x = convolutional(), images(2)
    tunnel = attr.NoiseTunnel(attr.Saliency(model))
    extent = tuple((x.max((1, 2, 3)) - x.min((1, 2, 3))).tolist())
    options = {"nt_type": "smoothgrad", "nt_samples": 300, "target": 1, "abs": False}
    expected = torch.cat([
        tunnel.attribute(torch.tensor(one[None]), stdevs=deviation, **options)
        for one, deviation in zip(x, extent, strict=True)
    ])  # fmt: skip
    found = find("smoothgrad", {"input": x}, torch_differentiate(model), of=1, steps=300, noise=1.0)["input"]
    plain = find("gradient", {"input": x}, torch_differentiate(model), of=1)["input"]
    distance = np.linalg.norm(found - expected.detach().numpy())
    assert distance < 0.3 * np.linalg.norm(plain - found)  # two estimates of one thing, and not of the other


# -- what holds by definition -----------------------------------------------------------------------------


def test_integrated_gradients_add_up_to_the_difference_from_the_baseline():
    model, inputs = convolutional(), {"input": images()}
    differentiate = torch_differentiate(model)
    score = score_of_class(differentiate, inputs)
    found = find("integrated gradients", inputs, differentiate, steps=16)
    gap = completeness_gap(found, score, inputs, differentiate)
    with torch.no_grad():
        zero = model(torch.zeros(1, 3, 8, 8)).numpy()[0]
    difference = score.values - zero[list(score.classes)]
    np.testing.assert_allclose(found["input"].sum((1, 2, 3)), difference, atol=1e-5)
    np.testing.assert_allclose(gap, 0, atol=1e-5)
    np.testing.assert_allclose(
        completeness_gap({"input": found["input"] * 0}, score, inputs, differentiate), -difference, atol=1e-6
    )


def test_of_a_linear_score_everything_can_be_written_down():
    matrix = np.array([[1.0, -2.0], [3.0, 0.5]], np.float32)
    x = np.array([[2.0, 4.0]], np.float32)  # scores -6 and 8: class 1
    differentiate, inputs = numpy_linear(matrix), {"input": x}
    for method, expected in [
        ("gradient", [3, 0.5]), ("gradient x input", [6, 2]),
        ("smoothgrad", [3, 0.5]), ("integrated gradients", [6, 2]),
    ]:  # fmt: skip
        np.testing.assert_allclose(find(method, inputs, differentiate)["input"], [expected], rtol=1e-6)


def test_the_class_and_the_region_stay_those_of_the_input_as_it_is():
    # at the input class 0 wins by 1; most noisy copies, and the baseline, belong to class 1
    matrix = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)
    differentiate, inputs = (
        numpy_linear(matrix, offset=np.array([0, 1.0])),
        {"input": np.array([[1.0, 9.0]], "f")},
    )
    for method in METHODS:
        found = find(method, inputs, differentiate, noise=3.0)["input"]
        assert found[0, 0] > 0, method


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_is_found_the_same_alone_and_among_others(method):
    differentiate, x = torch_differentiate(convolutional()), images(4)
    both = find(method, {"input": x}, differentiate, of=1)["input"]
    first = find(method, {"input": x}, differentiate, of=1, samples=2)["input"]
    assert first.shape == (2, 3, 8, 8)
    np.testing.assert_allclose(first, both[:2], atol=1e-6)
    other = x.copy()
    other[1:] = 7 * x[::-1][:3]
    np.testing.assert_allclose(
        find(method, {"input": other}, differentiate, of=1)["input"][0], both[0], atol=1e-6
    )


def test_only_the_first_samples_are_run_and_a_seed_repeats_the_noise():
    calls, inputs = [], {"input": images(4)}
    differentiate = torch_differentiate(convolutional(), calls)
    one, again, other = (
        find("smoothgrad", inputs, differentiate, of=1, samples=1, seed=seed)["input"] for seed in (0, 0, 1)
    )
    assert {len(call["input"]) for call in calls} == {4, 16}  # the score of all; 16 copies of one sample
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-4


def test_large_inputs_go_through_the_model_a_few_copies_at_a_time():
    calls, x = [], np.ones((2, 3, 160, 160), np.float32)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 160 * 160, 2))
    found = find("smoothgrad", {"input": x}, torch_differentiate(model, calls), of=1, steps=4)["input"]
    assert [len(call["input"]) for call in calls] == [2, 2, 2, 2, 2]
    np.testing.assert_allclose(found[0].ravel(), model[1].weight[1].detach().numpy(), rtol=1e-5)


# -- inputs of whole numbers ------------------------------------------------------------------------------


class Embedded(torch.nn.Module):
    """A sequence of tokens and an image."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(5, 2)

    def forward(self, tokens, image):
        return self.table(tokens).mean(1) * image.mean((1, 2, 3))[:, None]


def test_whole_numbers_are_passed_along_and_not_explained():
    calls, tokens = [], np.arange(6).reshape(2, 3) % 5
    inputs = {"tokens": tokens, "image": images(2)}
    for method in METHODS:
        found = find(method, inputs, torch_differentiate(Embedded(), calls), of=0, steps=4)
        assert list(found) == ["image"] and found["image"].dtype == np.float32
        assert np.abs(found["image"]).max() > 0
    for call in calls:
        np.testing.assert_array_equal(call["tokens"].reshape(-1, 2, 3)[0], tokens)


def test_whole_numbers_alone_are_said_to_have_no_gradient():
    score = Score(Target(), "output", (0,), np.zeros(1), (1,), 2, weights=np.ones((1, 2), np.float32))
    with pytest.raises(DifferentiationError, match=r"input is uint8.*x\.astype\('float32'\)"):
        saliency_of(SaliencyRecipe(), score, {"input": np.ones((1, 4), np.uint8)}, numpy_linear(np.eye(4)))


def test_an_answer_that_mixes_its_samples_is_told():
    score = Score(Target(), "output", (0, 0), np.zeros(2), (1, 1), 4, weights=np.ones((2, 4), np.float32))

    def differentiate(inputs, weights, *, layer="", output=""):
        weights((1, 4))

    with pytest.raises(DifferentiationError, match=r"the shape \(1, 4\), not \(2, 4\)"):
        saliency_of(SaliencyRecipe(), score, {"input": np.ones((2, 4))}, differentiate)
