"""Gradients of scores with respect to layers' outputs: equal to autograd's, and without a trace."""

import copy
import gc
import warnings
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset
from torch_models import ConvNet, images, process_state, same, seed_all

from layerviz_callbacks import Probe, inspect
from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.explaining import Target
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader, attach
from layerviz_callbacks.views import View

PREDICTED = Target()
RANDOM = np.random.default_rng(0)


def gradients_of(model, probe, *names, target=PREDICTED, forward=None, **wanted):
    request = Request(outputs=frozenset(names), gradients={target: frozenset(names)}, **wanted)
    return TorchReader(model, probe, forward=forward).read(request)


def by_hand(model, x, names, score):
    """Outputs and gradients of layers, by hooks and autograd on a copy without operations in place."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    outputs = {}
    for name in names:
        model.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: outputs.update({name: output})
        )
    found = torch.autograd.grad(score(model(x)), [outputs.setdefault(name, None) for name in names])
    return outputs, dict(zip(names, found, strict=True))


def last(tensor):
    """Channels last, as NumPy."""
    return tensor.detach().movedim(1, -1).numpy()


def classifier(dimensions, *, inplace=True, ending=()):
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    pool = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[dimensions]
    mean = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[dimensions]
    torch.manual_seed(dimensions)
    return nn.Sequential(
        conv(2, 4, 3, padding=1), nn.ReLU(inplace=inplace), pool(2), conv(4, 5, 3, padding=1),
        nn.ReLU(inplace=inplace), mean(2), nn.Flatten(), nn.Linear(5 * 2**dimensions, 3), *ending,
    )  # fmt: skip


def batch(dimensions, samples=3):
    return torch.rand(samples, 2, *[6, 8, 10][:dimensions])


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_gradients_are_those_of_autograd_also_before_a_relu_in_place(dimensions):
    model, x = classifier(dimensions, ending=[nn.Softmax(1)]), batch(dimensions)
    snapshot = gradients_of(model, x, "0", "3", "5")
    outputs, expected = by_hand(model[:-1], x, ["0", "3", "5"], lambda logits: logits.max(1).values.sum())
    for name in ("0", "3", "5"):
        gradient = snapshot[name].gradients[PREDICTED]
        np.testing.assert_allclose(gradient, last(expected[name]), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(snapshot[name].output, last(outputs[name]), rtol=1e-6, atol=1e-7)
        assert gradient.shape == snapshot[name].output_shape and gradient.dtype == np.float32
        assert gradient.any()
    assert snapshot["0"].output.min() < 0  # not what the ReLU in place made of it
    assert snapshot.unread == {}


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_grad_cam_of_the_gradients_is_captums(dimensions):
    from captum.attr import LayerGradCam

    model, x = classifier(dimensions), batch(dimensions)
    layer = gradients_of(model, x, "3", target=Target((2, 0, 1)))["3"]
    gradient, space = layer.gradients[Target((2, 0, 1))], tuple(range(1, dimensions + 1))
    found = np.maximum((gradient.mean(space, keepdims=True) * layer.output).sum(-1), 0)
    reference = classifier(dimensions, inplace=False)
    expected = LayerGradCam(reference, reference[3]).attribute(x, target=[2, 0, 1], relu_attributions=True)
    np.testing.assert_allclose(found, expected.detach().numpy()[:, 0], rtol=1e-4, atol=1e-7)
    assert found.max() > 0


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("method", ["GradCAM", "LayerCAM"])
def test_maps_of_the_gradients_are_torchcams(dimensions, method):
    import torchcam.methods

    model, x = classifier(dimensions), batch(dimensions)
    layer = gradients_of(model, x, "3", target=Target(1))["3"]
    gradient, space = layer.gradients[Target(1)], tuple(range(1, dimensions + 1))
    weights = gradient.mean(space, keepdims=True) if method == "GradCAM" else np.maximum(gradient, 0)
    found = np.maximum((weights * layer.output).sum(-1), 0)
    reference = classifier(dimensions, inplace=False)
    with getattr(torchcam.methods, method)(reference, "3") as extractor:
        scores = reference.eval()(x)
        (expected,) = extractor([1] * len(x), scores, normalized=False)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-7)
    assert found.max() > 0


def test_a_network_of_two_channels_as_one_counts_it_on_paper():
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 2, bias=False))
    with torch.no_grad():
        model[0].weight[:, 0, 0, 0] = torch.tensor([1.0, -2.0])
        model[2].weight[0] = torch.arange(8.0)  # channel 0: 0 1 2 3, channel 1: 4 5 6 7
        model[2].weight[1] = 1.0
    snapshot = gradients_of(model, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), "0", target=Target(0))
    np.testing.assert_array_equal(snapshot["0"].gradients[Target(0)][0], [[[0, 4], [1, 5]], [[2, 6], [3, 7]]])
    np.testing.assert_array_equal(snapshot["0"].output[0, ..., 1], [[-2, -4], [-6, -8]])
    # sum of w * x: (0*1 + 1*2 + 2*3 + 3*4) - 2 * (4*1 + 5*2 + 6*3 + 7*4)
    assert snapshot.scores[Target(0)].values.tolist() == [20 - 120]


def heads(ending):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2, 4, 3)
            self.head = nn.Linear(24, 3)

        def logits(self, x):
            return self.head(self.conv(x).flatten(1))

        def forward(self, x):
            return ending(self.logits(x))

    torch.manual_seed(3)
    return Model()


ENDINGS = {
    "layer": nn.Softmax(dim=1),
    "function": lambda z: functional.softmax(z, dim=1),
    "torch": lambda z: torch.softmax(z, 1),
    "method": lambda z: z.softmax(-1),
    "other type": lambda z: functional.softmax(z, dim=1, dtype=torch.float64),
    "log layer": nn.LogSoftmax(dim=1),
    "log function": lambda z: functional.log_softmax(z, dim=1),
    "log method": lambda z: z.log_softmax(1),
    "special": lambda z: torch.special.log_softmax(z, 1),
    "log of softmax": lambda z: z.softmax(1).log(),
    "sigmoid layer": nn.Sigmoid(),
    "sigmoid function": torch.sigmoid,
    "sigmoid method": lambda z: z.sigmoid(),
    "sigmoid in place": lambda z: z.sigmoid_(),
    "expit": torch.special.expit,
    "log sigmoid": functional.logsigmoid,
    "clamped": lambda z: torch.clamp(z.sigmoid(), 1e-4, 1 - 1e-4),
    "inside no_grad": torch.no_grad()(lambda z: z.softmax(1)),
    "contiguous copy": lambda z: z.softmax(1).contiguous().clone(),
    "joined": lambda z: torch.cat([z[:, :1].sigmoid(), z[:, 1:].softmax(1)], 1),
    "split and stacked": lambda z: torch.stack(z.softmax(1).unbind(1), 1),
    "none": lambda z: z,
    "another function": nn.Softplus(),
    "changed": lambda z: z.softmax(1) * 2,
    "overwritten": lambda z: (z.softmax(1), z.zero_())[0],
}
NOT_LAST = {"another function", "changed", "overwritten"}


@pytest.mark.parametrize("way", ENDINGS)
def test_scores_are_taken_before_the_last_softmax_or_sigmoid_however_it_is_written(way):
    model, x = heads(ENDINGS[way]), torch.rand(2, 2, 8)
    target = Target((1, 2))
    snapshot = gradients_of(model, x, "conv", target=target)
    reference = model.forward if way in NOT_LAST else model.logits
    convolved = model.conv(x)
    model.conv.forward = lambda _: convolved
    answer = reference(x)
    expected = answer[[0, 1], [1, 2]]
    np.testing.assert_allclose(snapshot.scores[target].values, expected.detach(), rtol=1e-5)
    (gradient,) = torch.autograd.grad(expected.sum(), convolved)
    np.testing.assert_allclose(snapshot["conv"].gradients[target], last(gradient), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(snapshot.outputs["output"], model(x).detach(), rtol=1e-5)  # as it was given


SHAPED = {
    "moved": lambda z: z.softmax(1).movedim(1, -1),
    "viewed": lambda z: z.softmax(1).permute(0, 2, 3, 1).contiguous().view(2, -1, 3).permute(0, 2, 1),
    "channels last": lambda z: z.to(memory_format=torch.channels_last).softmax(1).permute(0, 2, 3, 1),
    "cut": lambda z: z.softmax(1)[:, :, 1:-1],
    "halved": lambda z: z.softmax(1).to(torch.float16).float(),
}


@pytest.mark.parametrize("way", SHAPED)
def test_what_only_moves_the_numbers_of_a_softmax_is_followed(way):
    class Segmenter(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3, padding=1)

        def forward(self, x):
            return SHAPED[way](self.conv(x))

    model, x = Segmenter(), torch.rand(2, 1, 6, 5)
    snapshot = gradients_of(model, x, "conv", target=Target(1, region="all"))
    gradient, raw = snapshot["conv"].gradients[Target(1, region="all")], model.conv(x).detach()
    cut = slice(1, -1) if way == "cut" else slice(None)
    assert set(np.unique(gradient)) <= {0, 1}  # a sum of logits, not of probabilities
    assert gradient.sum() == gradient[:, cut, :].sum() == raw[:, 0, cut].numel()
    assert len({index for index in range(3) if gradient[..., index].any()}) <= 3
    if way in ("moved", "channels last", "cut", "halved"):
        assert gradient[..., 1].sum() == gradient.sum()
        np.testing.assert_allclose(
            snapshot.scores[Target(1, region="all")].values, raw[:, 1, cut].sum((1, 2)), rtol=1e-2
        )


def test_a_softmax_in_the_middle_is_not_the_last_one():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 3, 3)
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            z = self.conv(x)
            return self.head((z * z.softmax(1)).mean(-1))

    model, x = Gated(), torch.rand(2, 1, 7)
    snapshot = gradients_of(model, x, "conv", target=Target(0))
    np.testing.assert_allclose(snapshot.scores[Target(0)].values, model(x)[:, 0].detach(), rtol=1e-6)
    _, expected = by_hand(model, x, ["conv"], lambda answer: answer[:, 0].sum())
    np.testing.assert_allclose(
        snapshot["conv"].gradients[Target(0)], last(expected["conv"]), rtol=1e-5, atol=1e-8
    )


def test_a_shared_layer_has_a_gradient_for_each_call():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 3)

        def forward(self, one, other):
            return (self.conv(one) * 2 + self.conv(other) * 3).sum((1, 2))[:, None]

    snapshot = gradients_of(Siamese(), (torch.rand(2, 1, 5), torch.rand(2, 1, 5)), "conv")
    assert np.unique(snapshot["conv"].gradients[PREDICTED]).tolist() == [2]
    assert np.unique(snapshot["conv#2"].gradients[PREDICTED]).tolist() == [3]


def test_a_layer_that_gives_back_its_input_has_a_gradient_of_its_own():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 3)
            self.drop = nn.Dropout(0.5)  # in evaluation mode its output is its input

        def forward(self, x):
            y = self.conv(x)
            return (5 * y + 2 * self.drop(y)).sum((1, 2))[:, None]

    snapshot = gradients_of(Residual(), torch.rand(2, 1, 5), "conv", "drop")
    assert np.unique(snapshot["conv"].gradients[PREDICTED]).tolist() == [7]
    assert np.unique(snapshot["drop"].gradients[PREDICTED]).tolist() == [2]


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_model_has_the_same_gradients_and_stays_frozen(frozen):
    model, x = classifier(2).requires_grad_(not frozen), batch(2)
    snapshot = gradients_of(model, x, "0", "3")
    _, expected = by_hand(classifier(2), x, ["0", "3"], lambda logits: logits.max(1).values.sum())
    for name in ("0", "3"):
        np.testing.assert_allclose(
            snapshot[name].gradients[PREDICTED], last(expected[name]), rtol=1e-5, atol=1e-7
        )
    assert {parameter.requires_grad for parameter in model.parameters()} == {not frozen}


def test_layers_that_the_model_runs_in_no_grad_have_gradients_all_the_same():
    class Transfer(nn.Module):
        passes = 0

        def __init__(self):
            super().__init__()
            self.backbone = classifier(2)[:6]
            self.head = classifier(2)[7]

        def forward(self, x):
            Transfer.passes += 1
            with torch.no_grad():
                features = self.backbone(x).flatten(1)
            return self.head(features)

    model, x = Transfer(), batch(2)
    reader = TorchReader(model, x)
    request = Request(gradients={PREDICTED: frozenset({"backbone.0", "backbone.3", "head"})})
    reader.read(request)
    Transfer.passes = 0
    snapshot = reader.read(request)
    assert Transfer.passes == 1  # it is known from now on
    whole = nn.Sequential(*model.backbone, nn.Flatten(), model.head)
    _, expected = by_hand(whole, x, ["0", "3"], lambda logits: logits.max(1).values.sum())
    for name in ("0", "3"):
        np.testing.assert_allclose(
            snapshot[f"backbone.{name}"].gradients[PREDICTED], last(expected[name]), rtol=1e-5, atol=1e-7
        )
    assert snapshot.unread == {}
    assert torch.autograd.grad(model(x).sum(), model.backbone[0].weight, allow_unused=True) == (None,)


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.lstm = nn.LSTM(4, 3, batch_first=True)
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)
        self.head = nn.Linear(3, 2)

    def forward(self, tokens):
        hidden, _ = self.lstm(self.embedding(tokens))
        attended, _ = self.attention(hidden, hidden, hidden)
        return {"logits": self.head(attended.mean(1)), "hidden": hidden}


@pytest.mark.parametrize("frozen", [True, False])
def test_a_model_of_words_has_gradients_though_its_inputs_are_whole_numbers(frozen):
    model, tokens = Text().requires_grad_(not frozen), torch.arange(10).reshape(2, 5)
    snapshot = gradients_of(model, tokens, "embedding", "lstm", "attention", target=Target(1))
    reference = Text().eval()
    reference.load_state_dict(model.state_dict())
    embedded = reference.embedding(tokens)
    hidden, _ = reference.lstm(embedded)
    attended, _ = reference.attention(hidden, hidden, hidden)
    score = reference.head(attended.mean(1))[:, 1].sum()
    expected = torch.autograd.grad(score, [embedded, hidden, attended])
    for name, gradient in zip(["embedding", "lstm", "attention"], expected, strict=True):
        np.testing.assert_allclose(
            snapshot[name].gradients[Target(1)], gradient.numpy(), rtol=1e-4, atol=1e-7
        )
    assert snapshot.scores[Target(1)].output == "logits"
    assert snapshot.input_axes == {"input": (0, 1)}


def test_the_region_of_a_segmentation_is_what_is_differentiated():
    model = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 1))
    x = torch.rand(2, 1, 6, 5)
    masks = np.zeros((2, 6, 5), int)
    masks[0, 1:3, 2:4] = 1
    masks[1, 4, 0] = 1
    target = Target(1, region="target")
    snapshot = gradients_of(model, Probe(x, targets=masks), "0", target=target)
    _, expected = by_hand(model, x, ["0"], lambda logits: (logits[:, 1] * torch.from_numpy(masks)).sum())
    np.testing.assert_allclose(snapshot["0"].gradients[target], last(expected["0"]), rtol=1e-5, atol=1e-7)
    assert snapshot.scores[target].places == (4, 1)


def test_several_targets_cost_one_forward_pass_and_each_has_its_own_gradients():
    class Counting(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 3)
            self.one = nn.Linear(6, 2)
            self.other = nn.Linear(6, 2)

        def forward(self, x):
            Counting.calls += 1
            features = self.conv(x).flatten(1)
            return self.one(features).softmax(1), self.other(features)

    model, x = Counting(), torch.rand(2, 1, 5)
    targets = [Target(0), Target(1), Target(1, output="output 2")]
    names = frozenset({"conv", "one"})
    reader = TorchReader(model, x)
    reader.read(Request())
    Counting.calls = 0
    snapshot = reader.read(Request(gradients=dict.fromkeys(targets, names)))
    assert Counting.calls == 1
    weights = [model.one.weight[0], model.one.weight[1], model.other.weight[1]]
    for target, weight in zip(targets, weights, strict=True):
        expected = weight.detach().reshape(2, 3).T
        np.testing.assert_allclose(snapshot["conv"].gradients[target][0], expected, rtol=1e-6)
    assert list(snapshot["one"].gradients) == targets[:2]
    assert list(snapshot.unread) == ["gradients of one"]  # the second output is not made of it


def test_gradients_of_the_first_samples_alone_are_the_same():
    model, x = classifier(2), batch(2)
    whole = gradients_of(model, x, "3")["3"].gradients[PREDICTED]
    part = gradients_of(model, x, "3", gradient_samples=2)["3"].gradients[PREDICTED]
    assert part.shape[0] == 2
    np.testing.assert_array_equal(part, whole[:2])


def test_scores_alone_are_read_without_a_graph():
    seen = []

    class Watching(nn.Linear):
        def forward(self, x):
            seen.append(torch.is_grad_enabled())
            return super().forward(x)

    from layerviz_callbacks.explaining import SaliencyRecipe

    model = nn.Sequential(Watching(2, 3), nn.Softmax(1))
    snapshot = TorchReader(model, torch.ones(2, 2)).read(Request(saliency=frozenset({SaliencyRecipe()})))
    logits = model[0](torch.ones(2, 2)).max(1).values
    np.testing.assert_allclose(snapshot.scores[PREDICTED].values, logits.detach(), rtol=1e-6)
    assert seen[0] is False


@dataclass
class Answer:
    scores: torch.Tensor
    features: tuple


class Structured(nn.Module):
    """Gives back something of another form at each layer."""

    def __init__(self, kind):
        super().__init__()
        self.block = Block(kind)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        part = self.block(x)
        kind = self.block.kind
        tensor = part.scores if kind == "dataclass" else part["a"] if kind in ("dict", "output") else part[0]
        return Answer(self.head(tensor.flatten(1)), (tensor,))


class Block(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        from transformers.utils import ModelOutput

        @dataclass
        class Made(ModelOutput):
            a: torch.Tensor = None

        y, rest = x * 1, torch.ones(1)
        return {
            "tuple": (y, rest), "list": [y, rest], "dict": {"n": 3, "a": y}, "dataclass": Answer(y, (rest,)),
            "named": torch.return_types.max([y, rest.long()]), "output": Made(a=y),
        }[self.kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["tuple", "list", "dict", "dataclass", "named", "output"])
def test_the_first_tensor_is_differentiated_in_whatever_a_layer_gives_back(kind):
    model, x = Structured(kind), torch.rand(2, 3, 2)
    snapshot = gradients_of(model, x, "block", target=Target(1))
    assert snapshot.unread == {}
    expected = model.head.weight[1].detach().reshape(3, 2).expand(2, 3, 2)
    found = snapshot["block"].gradients[Target(1)].reshape(2, -1)
    axes = (0, 2, 1) if snapshot["block"].output_shape == (2, 2, 3) else (0, 1, 2)
    np.testing.assert_allclose(found, expected.permute(axes).reshape(2, -1), rtol=1e-6)


def test_a_packed_sequence_has_a_padded_gradient():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(2, 3, batch_first=True)
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            packed = nn.utils.rnn.pack_padded_sequence(x, [4, 2], batch_first=True)
            hidden, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
            return self.head(hidden.sum(1))

    model = Packed()
    layer = gradients_of(model, torch.rand(2, 4, 2), "lstm", target=Target(0))["lstm"]
    expected = model.head.weight[0].detach().expand(2, 4, 3).clone()
    expected[1, 2:] = 0
    np.testing.assert_allclose(layer.gradients[Target(0)], expected, rtol=1e-6)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_blocks_have_the_same_gradients_and_no_grad_appears(reentrant):
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = classifier(2)

        def forward(self, x):
            return checkpoint(self.block, x, use_reentrant=reentrant)

    model, x = Checkpointed(), batch(2)
    snapshot = gradients_of(model, x, "block.0", "block.3")
    expected = gradients_of(model.block, x, "0", "3")
    for name in ("0", "3"):
        np.testing.assert_array_equal(
            snapshot[f"block.{name}"].gradients[PREDICTED], expected[name].gradients[PREDICTED]
        )
    assert all(parameter.grad is None for parameter in model.parameters())
    assert list(snapshot.layers).count("block.3#2") == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_models_of_other_types_have_gradients(dtype):
    model, x = classifier(2).to(dtype), batch(2)
    gradient = gradients_of(model, x, "3")["3"].gradients[PREDICTED]
    expected = gradients_of(classifier(2), x, "3")["3"].gradients[PREDICTED]
    assert gradient.dtype == np.float32 and expected.any()
    np.testing.assert_allclose(gradient, expected, rtol=0.02, atol=0.01)


def test_gradients_are_read_inside_autocast():
    model, x = classifier(2), batch(2)
    with torch.autocast("cpu", torch.bfloat16):
        snapshot = gradients_of(model, x, "0", "3")
    expected = gradients_of(model, x, "0", "3")
    for name in ("0", "3"):
        np.testing.assert_allclose(
            snapshot[name].gradients[PREDICTED], expected[name].gradients[PREDICTED], rtol=0.05, atol=0.01
        )


@pytest.mark.parametrize(
    "wrap", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm]
)
def test_parametrised_weights_are_differentiated_as_they_are(wrap):
    model = nn.Sequential(nn.Conv1d(1, 2, 3), wrap(nn.Conv1d(2, 2, 3)), nn.Flatten(), nn.Linear(8, 2))
    x = torch.rand(2, 1, 8)
    found = gradients_of(model, x, "0", target=Target(1))["0"].gradients[Target(1)]
    _, expected = by_hand(model, x, ["0"], lambda logits: logits[:, 1].sum())
    np.testing.assert_allclose(found, last(expected["0"]), rtol=1e-5, atol=1e-7)


def test_weights_that_were_made_in_inference_mode_are_no_obstacle():
    x = batch(2)
    with torch.inference_mode():
        model = classifier(2)
    before = [id(parameter) for parameter in model.parameters()]
    found = gradients_of(model, x, "0", "3")
    expected = gradients_of(classifier(2), x, "0", "3")
    for name in ("0", "3"):
        np.testing.assert_array_equal(found[name].gradients[PREDICTED], expected[name].gradients[PREDICTED])
    assert [id(parameter) for parameter in model.parameters()] == before


def test_gradients_are_read_under_inference_mode_and_no_grad():
    model, x = classifier(2), batch(2)
    expected = gradients_of(model, x, "3")["3"].gradients[PREDICTED]
    for mode in (torch.inference_mode(), torch.no_grad()):
        with mode:
            found = gradients_of(model, x, "3")["3"].gradients[PREDICTED]
            assert not torch.is_grad_enabled()
        np.testing.assert_array_equal(found, expected)


def test_compiled_and_wrapped_models_are_seen_through():
    model, x = classifier(2), batch(2)
    expected = gradients_of(model, x, "3")["3"].gradients[PREDICTED]
    for wrapped in (torch.compile(model, backend="eager"), nn.DataParallel(model)):
        np.testing.assert_array_equal(gradients_of(wrapped, x, "3")["3"].gradients[PREDICTED], expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_layers_in_torchscript_are_unread_with_the_reason_and_those_outside_are_read():
    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 3)
            self.rest = torch.jit.script(
                nn.Sequential(nn.Conv1d(2, 2, 3), nn.Flatten(), nn.Linear(8, 2), nn.Softmax(1))
            )

        def forward(self, x):
            return self.rest(self.conv(x))

    model, x = Partly(), torch.rand(2, 1, 8)
    reader = TorchReader(model, x)
    rest = dict(model.named_modules())
    for _ in range(4):  # TorchScript changes how it runs with each call
        snapshot = reader.read(Request(gradients={Target(1): frozenset({"conv", "rest.0"})}))
        assert "TorchScript" in snapshot.unread["gradients of rest.0"]
        convolved = model.conv(x)
        logits = functional.linear(
            functional.conv1d(convolved, rest["rest.0"].weight, rest["rest.0"].bias).flatten(1),
            rest["rest.2"].weight, rest["rest.2"].bias,
        )  # fmt: skip
        np.testing.assert_allclose(snapshot.scores[Target(1)].values, logits[:, 1].detach(), rtol=1e-5)
        (expected,) = torch.autograd.grad(logits[:, 1].sum(), convolved)
        np.testing.assert_allclose(
            snapshot["conv"].gradients[Target(1)], last(expected), rtol=1e-5, atol=1e-7
        )


def test_a_model_that_cannot_be_run_with_gradients_is_read_without_them():
    class Numpy(nn.Module):
        runs = 0

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 3)
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            Numpy.runs += 1
            return self.head(torch.from_numpy(self.conv(x).numpy()).flatten(1))  # no gradients allowed

    model, x = Numpy(), torch.rand(2, 1, 5)
    reader = TorchReader(model, x)
    request = Request(outputs=frozenset({"conv"}), gradients={PREDICTED: frozenset({"conv"})})
    snapshot = reader.read(request)
    assert snapshot["conv"].output is not None and not snapshot["conv"].gradients
    assert "numpy" in snapshot.unread["gradients of conv"]
    assert snapshot.scores[PREDICTED].values.shape == (2,)
    before = Numpy.runs
    assert "numpy" in reader.read(request).unread["gradients of conv"]
    assert Numpy.runs == before + 1  # known by now


def test_what_has_no_gradient_is_told_with_the_reason():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.cut = nn.Conv1d(1, 2, 3)
            self.never = nn.Linear(1, 1)
            self.codes = Codes()
            self.head = nn.Linear(6, 2)
            self.end = nn.Softmax(1)

        def forward(self, x):
            features = self.cut(x).detach()
            self.codes(features)
            return self.end(self.head(features.flatten(1)))

    class Codes(nn.Module):
        def forward(self, x):
            return x.argmax(1)

    names = ("cut", "never", "codes", "head", "end")
    snapshot = gradients_of(Odd(), torch.rand(2, 1, 5), *names)
    assert set(snapshot.unread) == {f"gradients of {name}" for name in names if name != "head"}
    assert "does not depend" in snapshot.unread["gradients of cut"]
    assert "not called" in snapshot.unread["gradients of never"]
    assert "no tensor of floating-point numbers" in snapshot.unread["gradients of codes"]
    assert "before the last softmax" in snapshot.unread["gradients of end"]
    assert snapshot["head"].gradients[PREDICTED].sum() == 2  # of each sample's predicted logit


def test_a_model_without_scores_is_read_and_told():
    class Sorting(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 3)

        def forward(self, x):
            return self.conv(x).argmax(1)

    snapshot = gradients_of(Sorting(), torch.rand(2, 1, 5), "conv")
    assert list(snapshot.unread) == ["the score of predicted class"]
    assert "int64" in snapshot.unread["the score of predicted class"]
    assert snapshot.scores == {} and snapshot["conv"].output is not None


def test_a_target_that_does_not_fit_raises_and_leaves_the_model_as_it_was():
    model = classifier(2).train()
    with pytest.raises(ArgumentError, match="no class 7"):
        gradients_of(model, batch(2), "0", target=Target(7))
    assert model.training and not model[0]._forward_hooks


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_user_hooks_for_the_backward_pass_are_not_called_and_stay():
    model, calls = classifier(2, inplace=False), []
    model[3].register_full_backward_hook(lambda *_: calls.append("layer"))
    model[3].register_full_backward_pre_hook(lambda *_: calls.append("layer before"))
    everywhere = nn.modules.module.register_module_full_backward_hook(lambda *_: calls.append("any"))
    model[0].weight.register_hook(lambda _: calls.append("weight"))
    try:
        assert gradients_of(model, batch(2), "0", "3").unread == {}
        assert calls == []
        model(batch(2)).sum().backward()
        assert {"layer", "layer before", "any", "weight"} <= set(calls)
    finally:
        everywhere.remove()


def test_nothing_of_the_graph_is_alive_after_a_reading():
    class Keeping(nn.Linear):
        def forward(self, x):
            self.kept = super().forward(x)
            seen.append(weakref.ref(self.kept))
            return self.kept

    seen = []
    model = nn.Sequential(Keeping(2, 3), nn.ReLU(inplace=True), nn.Linear(3, 2), nn.Softmax(1))
    reader = TorchReader(model, torch.rand(2, 2))
    request = Request(gradients={PREDICTED: frozenset({"0", "2"})})
    for _ in range(3):
        snapshot = reader.read(request)
    gc.collect()
    assert snapshot["0"].gradients and len(seen) >= 3
    assert [one() for one in seen] == [None] * len(seen)
    assert not hasattr(model[0], "kept")


def test_reading_fifty_times_leaves_no_tensors_behind():
    def tensors():
        gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sum(isinstance(one, torch.Tensor) for one in gc.get_objects())

    reader = TorchReader(classifier(1, ending=[nn.Softmax(1)]), batch(1))
    request = Request(gradients={PREDICTED: frozenset({"0", "3"})})
    reader.read(request)
    before = tensors()
    for _ in range(50):
        reader.read(request)
    assert tensors() <= before


class Looking(View):
    """Asks for the gradients of each layer that is drawn, and keeps what it gets."""

    family = "looking"
    needs = frozenset({"outputs", "gradients"})

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def refusal(self, layer):
        return "" if layer.output_shape is not None else "no output"

    def request(self, layers, shapes):
        names = frozenset(layer.base_name for layer in layers)
        return super().request(layers, shapes) | Request(gradients={PREDICTED: names})

    def draw_layer(self, layer, snapshot):
        self.seen.append((snapshot.step, layer.name, layer.gradients.get(PREDICTED)))
        return []


def train(log_dir=None, view=None, *, amp=False, freeze=False):
    """Train with a shuffling loader; everything that counts, afterwards."""
    seed_all()
    model = ConvNet()
    if freeze:
        model.conv.requires_grad_(False)
        model.norm.eval()
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad])
    loader = DataLoader(TensorDataset(*images()), batch_size=4, shuffle=True)
    scaler = torch.amp.GradScaler("cpu", enabled=amp)
    record = None
    if view is not None:
        record = attach(
            model, images(2, seed=5)[0], log_dir=log_dir, views=[view], every_n_steps=1, on_error="raise",
            worker=None, budget=None,
        )  # fmt: skip
    step, between = 0, []
    for _ in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                loss = functional.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            between.append([None if one.grad is None else one.grad.clone() for one in model.parameters()])
            scaler.step(optimizer)
            scaler.update()
            step += 1
            if record is not None:
                record(step)
    if record is not None:
        record.close()
    return {
        "weights": dict(model.state_dict()),
        "optimizer": optimizer.state_dict(),
        "gradients": [parameter.grad for parameter in model.parameters()],
        "between": between,
        "flags": [parameter.requires_grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "process": process_state(),
    }


@pytest.mark.parametrize("options", [{}, {"amp": True}, {"freeze": True}])
def test_training_is_the_same_bit_for_bit_with_gradients_read_at_each_step(tmp_path, options):
    view = Looking(layers=["conv", "norm", "act", "head"])
    assert same(train(tmp_path, view, **options), train(**options))
    assert {name for _, name, gradient in view.seen if gradient is not None} == {
        "conv",
        "norm",
        "act",
        "head",
    }
    assert {step for step, *_ in view.seen} == set(range(7))
    assert all(gradient.any() for *_, gradient in view.seen)


def test_inspect_reads_what_a_view_needs():
    view = Looking(layers=["conv", "head"])
    model = ConvNet()
    snapshot = inspect(model, images(2)[0], views=[view])
    _, expected = by_hand(model, images(2)[0], ["conv"], lambda logits: logits.max(1).values.sum())
    np.testing.assert_allclose(
        snapshot["conv"].gradients[PREDICTED], last(expected["conv"]), rtol=1e-5, atol=1e-8
    )
    assert not snapshot["norm"].gradients and snapshot["norm"].output is not None
    assert snapshot.scores[PREDICTED].weights is None
    assert snapshot.input_axes == {"input": (0, 2, 3, 1)}


def test_input_axes_turn_the_probes_arrays_into_the_inputs_that_are_shown():
    probes = {
        nn.Sequential(nn.Conv1d(2, 1, 3)): RANDOM.random((3, 2, 7)),
        nn.Sequential(nn.Conv3d(2, 1, 3)): RANDOM.random((3, 2, 7, 6, 5)),
        nn.Sequential(nn.Linear(2, 1)): RANDOM.random((3, 7, 2)),
    }
    for model, x in probes.items():
        snapshot = TorchReader(model, x).read(Request())
        np.testing.assert_array_equal(x.transpose(snapshot.input_axes["input"]), snapshot.inputs["input"])
        assert snapshot.inputs["input"].shape[-1] == 2


def test_recurrent_layers_on_an_accelerator_run_as_cudnn_can_be_differentiated(monkeypatch):
    """Nothing but the switches is seen here: without an accelerator, evaluation mode would do."""
    from layerviz_callbacks.torch import differentiable

    monkeypatch.setattr(differentiable, "_on_accelerator", lambda module: True)
    seen = []

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(2, 3, num_layers=2, dropout=0.9, batch_first=True)
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            seen.append((self.lstm.training, self.lstm.dropout, self.head.training))
            return self.head(self.lstm(x)[0].mean(1))

    model, x = Words(), torch.rand(2, 4, 2)
    reader = TorchReader(model, x)
    found = reader.read(Request(gradients={Target(1): frozenset({"lstm"})}))["lstm"].gradients[Target(1)]
    assert seen[-1] == (True, 0.0, False)
    assert (model.lstm.training, model.lstm.dropout) == (True, 0.9)
    expected = (model.head.weight[1] / 4).detach().expand(2, 4, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not reader.read(Request(model_outputs=True)).scores
    assert seen[-1] == (False, 0.9, False)
