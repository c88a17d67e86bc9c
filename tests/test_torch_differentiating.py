"""Differentiating with respect to inputs of one's own choice, up to the answer or up to a layer."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch_models import ConvNet, images, process_state, same

from layerviz_callbacks import Probe
from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining import Target
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader

RANDOM = np.random.default_rng(0)


def network(dimensions=2, ending=()):
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    mean = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[dimensions]
    torch.manual_seed(dimensions)
    return nn.Sequential(
        conv(2, 4, 3, padding=1), nn.ReLU(inplace=True), conv(4, 5, 3), nn.ReLU(inplace=True),
        mean(1), nn.Flatten(), nn.Linear(5, 3), *ending,
    )  # fmt: skip


def arrays(dimensions=2, samples=3):
    return RANDOM.random((samples, 2, *[6, 8, 7][:dimensions]), np.float32)


def of_class(*classes):
    def weights(shape):
        made = np.zeros(shape, np.float32)
        made[np.arange(shape[0]), list(classes)] = 1
        return made

    return weights


def by_hand(model, x, score):
    given = torch.tensor(x, requires_grad=True)
    (gradient,) = torch.autograd.grad(score(copy.deepcopy(model).eval()(given * 1)), given)
    return gradient.numpy()


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_gradient_of_the_answer_is_that_of_autograd_and_of_captums_saliency(dimensions):
    from captum.attr import Saliency

    model, x = network(dimensions, [nn.Softmax(1)]), arrays(dimensions)
    with TorchReader(model, x).differentiating() as differentiate:
        found = differentiate({"input": x}, of_class(2, 0, 1))
    expected = by_hand(model[:-1], x, lambda logits: logits[[0, 1, 2], [2, 0, 1]].sum())
    np.testing.assert_allclose(found.gradients["input"], expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.answer, model[:-1](torch.tensor(x)).detach(), rtol=1e-5)
    captum = Saliency(network(dimensions)).attribute(
        torch.tensor(x, requires_grad=True), target=[2, 0, 1], abs=False
    )
    np.testing.assert_allclose(found.gradients["input"], captum.detach().numpy(), rtol=1e-5, atol=1e-8)
    assert found.gradients["input"].any() and found.answer.dtype == np.float32


def test_integrated_gradients_of_these_gradients_are_captums():
    from captum.attr import IntegratedGradients

    model, x, steps = network(), arrays(), 12
    total = np.zeros_like(x)
    with TorchReader(model, x).differentiating() as differentiate:
        for step in range(steps):  # the middles of equal parts of the way
            inputs = {"input": x * np.float32((step + 0.5) / steps)}
            total += differentiate(inputs, of_class(1, 1, 1)).gradients["input"]
    captum = IntegratedGradients(network()).attribute(
        torch.tensor(x), target=1, n_steps=steps, method="riemann_middle"
    )
    np.testing.assert_allclose(total * x / steps, captum.numpy(), rtol=1e-3, atol=1e-6)


def test_the_gradient_of_a_layer_is_that_of_autograd_and_the_model_runs_no_further():
    ran = []

    class Watching(nn.Flatten):
        def forward(self, x):
            ran.append(len(x))
            return super().forward(x)

    model, x = network(), arrays(samples=7)
    model[5] = Watching()
    reader = TorchReader(model, arrays())
    shape = reader.read(Request())["2"].output_shape
    ran.clear()

    def weights(shape):
        made = np.zeros(shape, np.float32)
        made[..., 3] = 1  # channels last
        return made

    with reader.differentiating() as differentiate:
        found = differentiate({"input": x}, weights, layer="2")
    assert ran == []
    expected = by_hand(model[:3], x, lambda output: output[:, 3].sum())
    np.testing.assert_allclose(found.gradients["input"], expected, rtol=1e-5, atol=1e-8)
    output = copy.deepcopy(model[:3])(torch.tensor(x)).detach().movedim(1, -1)
    np.testing.assert_allclose(found.answer, output, rtol=1e-5, atol=1e-7)
    assert found.answer.shape == (7, *shape[1:])
    assert not model[2]._forward_hooks


def test_inputs_of_another_size_are_taken_where_the_model_takes_them():
    model = network()
    with TorchReader(model, arrays()).differentiating() as differentiate:
        found = differentiate({"input": np.ones((2, 2, 20, 11), np.float32)}, np.ones, layer="0")
        assert found.answer.shape == (2, 20, 11, 4)
        assert found.gradients["input"].shape == (2, 2, 20, 11)
        with pytest.raises(DifferentiationError, match=r"input \(2, 2, 1, 1\)"):
            differentiate({"input": np.ones((2, 2, 1, 1), np.float32)}, np.ones, layer="2")
        again = differentiate({"input": np.ones((2, 2, 20, 11), np.float32)}, np.ones, layer="0")
    np.testing.assert_array_equal(again.gradients["input"], found.gradients["input"])


def test_later_calls_and_further_outputs_of_a_layer_can_be_differentiated():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(2, 2, batch_first=True)

        def forward(self, x):
            first, _ = self.lstm(x)
            return self.lstm(first)[0].mean(1)

    model, x = Twice(), RANDOM.random((3, 4, 2), np.float32)
    reader = TorchReader(model, x)
    snapshot = reader.read(Request())
    assert {"lstm", "lstm#2", "lstm.1.1"} <= set(snapshot.layers)
    with reader.differentiating() as differentiate:
        second = differentiate({"input": x}, np.ones, layer="lstm#2")
        cell = differentiate({"input": x}, np.ones, layer="lstm.1.1")
    given = torch.tensor(x, requires_grad=True)
    first, (_, state) = model.lstm(given)
    (expected,) = torch.autograd.grad(model.lstm(first)[0].sum(), given, retain_graph=True)
    np.testing.assert_allclose(second.gradients["input"], expected, rtol=1e-4, atol=1e-7)
    (expected,) = torch.autograd.grad(state.sum(), given)
    np.testing.assert_allclose(cell.gradients["input"], expected, rtol=1e-4, atol=1e-7)
    assert cell.answer.shape == snapshot["lstm.1.1"].output_shape


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 2)
        self.head = nn.Linear(4, 2)
        self.unused = nn.Linear(1, 1)

    def forward(self, *, wave, words, other):
        wave[:, 0] = 0  # in place on the input
        features = torch.cat([wave, self.embedding(words).sum(1)], 1)
        return {"loss": other.sum(), "logits": self.head(features), "words": self.embedding(words)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_named_inputs_and_outputs_keep_their_names_types_and_kinds(dtype):
    model = Named().to(dtype)
    inputs = {
        "wave": RANDOM.random((3, 2)), "words": np.array([[1, 2], [3, 4], [0, 0]]), "other": np.ones((3, 1)),
    }  # fmt: skip
    reader = TorchReader(model, Probe(inputs))
    with reader.differentiating() as differentiate:
        found = differentiate(inputs, of_class(0, 1, 0), output="logits")
        assert list(found.gradients) == ["wave", "other"]  # whole numbers have none
        expected = model.head.weight[[0, 1, 0], :2].detach().float().numpy().copy()
        expected[:, 0] = 0  # it is overwritten
        np.testing.assert_allclose(found.gradients["wave"], expected, rtol=1e-6)
        assert not found.gradients["other"].any()
        assert found.answer.shape == (3, 2)
        with pytest.raises(DifferentiationError, match="words does not depend on the inputs"):
            differentiate(inputs, np.ones, output="words")
        with pytest.raises(DifferentiationError, match="no output 'logit'"):
            differentiate(inputs, np.ones, output="logit")


def test_inputs_in_a_tuple_are_given_as_the_probe_was():
    class Sum(nn.Module):
        def forward(self, one, other):
            return (one * 2 + other * 3).sum((1, 2))[:, None]

    x, y = RANDOM.random((2, 3, 4)), RANDOM.random((2, 3, 4))
    with TorchReader(Sum(), (x, y)).differentiating() as differentiate:
        found = differentiate({"input 1": x[:1], "input 2": y[:1]}, np.ones)
    assert np.unique(found.gradients["input 1"]).tolist() == [2]
    assert np.unique(found.gradients["input 2"]).tolist() == [3]


def test_a_forward_function_is_given_the_other_inputs():
    model, x = network(), arrays()
    reader = TorchReader(model, {"x": x}, forward=lambda model, inputs: model(inputs["x"] * 2).sigmoid())
    with reader.differentiating() as differentiate:
        found = differentiate({"x": x[:2]}, of_class(1, 1))
    expected = by_hand(model, 2 * x[:2], lambda logits: logits[:, 1].sum())
    np.testing.assert_allclose(found.gradients["x"], 2 * expected, rtol=1e-5, atol=1e-8)


def test_a_function_that_shows_nothing_but_the_probe_is_refused_in_words():
    model, x = network(), arrays()
    reader = TorchReader(model, x, call=lambda: model(torch.tensor(x)))
    with (
        reader.differentiating() as differentiate,
        pytest.raises(DifferentiationError, match="the probe and nothing else"),
    ):
        differentiate({"input": x}, np.ones)


def test_whole_numbers_alone_have_no_gradient():
    model = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(6, 2))
    tokens = np.array([[1, 2, 3]])
    with (
        TorchReader(model, tokens).differentiating() as differentiate,
        pytest.raises(
            DifferentiationError, match="there is no gradient with respect to inputs of whole numbers"
        ),
    ):
        differentiate({"input": tokens}, np.ones)


def test_a_model_that_hides_its_answer_from_the_graph_is_refused_in_words():
    class Hidden(nn.Linear):
        def forward(self, x):
            return super().forward(x).detach()

    x = np.ones((2, 3), np.float32)
    model = nn.Sequential(Hidden(3, 4), nn.Linear(4, 2))
    with TorchReader(model, x).differentiating() as differentiate:
        with pytest.raises(DifferentiationError, match="does not depend on the inputs"):
            differentiate({"input": x}, np.ones)
        with pytest.raises(DifferentiationError, match="without a graph"):
            differentiate({"input": x}, np.ones, layer="0")
        with pytest.raises(DifferentiationError, match="no output was heard of 'head'"):
            differentiate({"input": x}, np.ones, layer="head")


def test_a_part_that_the_model_runs_in_no_grad_is_differentiated_all_the_same():
    model, x = Transfer(), arrays()
    with TorchReader(model, x).differentiating() as differentiate:
        found = differentiate({"input": x}, of_class(0, 1, 2))
        of_layer = differentiate({"input": x}, np.ones, layer="backbone.2")
    expected = by_hand(model.whole(), x, lambda logits: logits[[0, 1, 2], [0, 1, 2]].sum())
    np.testing.assert_allclose(found.gradients["input"], expected, rtol=1e-5, atol=1e-8)
    expected = by_hand(model.backbone[:3], x, torch.Tensor.sum)
    np.testing.assert_allclose(of_layer.gradients["input"], expected, rtol=1e-5, atol=1e-8)
    assert torch.autograd.grad(model(torch.tensor(x)).sum(), model.backbone[0].weight, allow_unused=True) == (
        None,
    )


class Transfer(nn.Module):
    """A frozen backbone, as one writes it to train a new head."""

    def __init__(self):
        super().__init__()
        self.backbone = network()[:6]
        self.head = nn.Linear(5, 3)

    def whole(self):
        return nn.Sequential(self.backbone, self.head)

    def forward(self, x):
        with torch.no_grad():
            features = self.backbone(x).flatten(1)
        return self.head(features)


def test_a_frozen_model_is_differentiated_and_stays_frozen():
    model, x = network().requires_grad_(False), arrays()
    with TorchReader(model, x).differentiating() as differentiate:
        found = differentiate({"input": x}, of_class(0, 1, 2))
    expected = by_hand(network(), x, lambda logits: logits[[0, 1, 2], [0, 1, 2]].sum())
    np.testing.assert_allclose(found.gradients["input"], expected, rtol=1e-5, atol=1e-8)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_model_that_is_random_at_inference_shows_the_same_draw_in_each_call():
    class Noise(nn.Module):
        def forward(self, x):
            return (x * torch.rand_like(x)).sum(1, keepdim=True)

    model, x = nn.Sequential(Noise()), np.ones((2, 3), np.float32)
    with TorchReader(model, x).differentiating() as differentiate:
        one, other = (differentiate({"input": x}, np.ones).gradients["input"] for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_training_is_the_same_bit_for_bit_with_a_gradient_ascent_between_the_steps():
    def trained(*, ascending):
        torch.manual_seed(0)
        model = ConvNet()
        optimizer = torch.optim.Adam(model.parameters())
        x, y = images()
        reader = TorchReader(model, x[:2])
        for _ in range(3):
            if ascending:
                given = x[:2].numpy()
                with torch.inference_mode(), reader.differentiating() as differentiate:
                    for _ in range(3):
                        given = (
                            given + differentiate({"input": given}, np.ones, layer="act").gradients["input"]
                        )
                    differentiate({"input": given}, np.ones)
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        return {
            "weights": dict(model.state_dict()),
            "gradients": [parameter.grad for parameter in model.parameters()],
            "modes": [module.training for module in model.modules()],
            "process": process_state(),
        }

    assert same(trained(ascending=True), trained(ascending=False))


def test_the_model_is_as_before_while_nothing_is_differentiated():
    model, x = ConvNet(), images(2)[0]
    with TorchReader(model, x).differentiating() as differentiate:
        differentiate({"input": x.numpy()}, np.ones)
        assert model.training and model.drop.training
        assert all(parameter.grad is None for parameter in model.parameters())


def test_no_graph_is_alive_after_a_call():
    seen = []

    class Seen(nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            seen.append(weakref.ref(out))
            return out

    x = np.ones((2, 3), np.float32)
    with TorchReader(nn.Sequential(Seen(3, 4), nn.Softmax(1)), x).differentiating() as differentiate:
        differentiate({"input": x}, np.ones)
        differentiate({"input": x}, np.ones, layer="0")
        gc.collect()
        assert len(seen) == 3 and [one() for one in seen] == [None] * 3


def test_the_scores_weights_give_the_gradient_of_the_score():
    model, x = network(ending=[nn.Softmax(1)]), arrays()
    reader = TorchReader(model, x)
    score = reader.read(Request(gradients={Target("predicted"): frozenset({"0"})})).scores[
        Target("predicted")
    ]
    with reader.differentiating() as differentiate:
        found = differentiate({"input": x}, lambda shape: score.weights, output=score.output)
    expected = by_hand(model[:-1], x, lambda logits: logits.max(1).values.sum())
    np.testing.assert_allclose(found.gradients["input"], expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose((found.answer * score.weights).sum(1), score.values, rtol=1e-6)
