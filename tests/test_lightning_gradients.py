"""Gradients in Lightning: in every hook, for every way of entering a module, without a trace in training."""

import copy

import numpy as np
import pytest
import torch
from lightning_models import (
    NAMESPACES,
    digit_net,
    loaders,
    namespace,
    outcome,
    small_trainer,
)
from test_lightning_ways import Dicts, dict_loaders, takes_a_batch, takes_a_dict
from test_torch_gradients import Looking
from torch.utils.data import DataLoader
from torch_models import images, same

from layerviz_callbacks import Probe
from layerviz_callbacks.explaining import Target
from layerviz_callbacks.lightning import LayerVizCallback
from layerviz_callbacks.lightning.fitting import Taken
from layerviz_callbacks.lightning.learning import entry_of
from layerviz_callbacks.lightning.processes import JointReader, Processes
from layerviz_callbacks.lightning.sharded import reader_of
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader

pytestmark = pytest.mark.filterwarnings("ignore")
PREDICTED = Target()
LAYERS = frozenset({"net.conv", "net.act", "net.head"})


def gradients_by_hand(net, x):
    """The gradients of the predicted class's logit, of a copy without operations in place."""
    with torch.inference_mode(False), torch.enable_grad():
        net = copy.deepcopy(net).eval().float()
        conv = net.conv(x.clone())
        act = torch.relu(net.norm(conv))
        head = net.head(act.flatten(1))
        conv_gradient, act_gradient = torch.autograd.grad(head.max(1).values.sum(), [conv, act])
    return {"net.conv": conv_gradient, "net.act": act_gradient}


@pytest.mark.parametrize("name", NAMESPACES)
def test_training_is_the_same_bit_for_bit_with_gradients_read_each_epoch(tmp_path, name):
    view = Looking(layers=list(LAYERS))
    callback = LayerVizCallback(log_dir=tmp_path, views=[view], on_error="raise", worker=None, budget=None)
    plain, _ = outcome(lambda: digit_net(name), loaders, name=name)
    pictured, module = outcome(lambda: digit_net(name), loaders, callback, name=name)
    assert same(pictured, plain)
    assert {step for step, *_ in view.seen} == {0, 1, 2}
    last = {layer: gradient for step, layer, gradient in view.seen if step == 2}
    for layer, expected in gradients_by_hand(module.net, images(6, seed=2)[0][:4]).items():
        np.testing.assert_allclose(last[layer], expected.movedim(1, -1), rtol=1e-4, atol=1e-7)
    assert last["net.head"].sum() == 4


def test_training_in_mixed_precision_is_the_same_with_gradients_read_at_each_step(tmp_path):
    view = Looking(layers=list(LAYERS))
    callback = LayerVizCallback(
        log_dir=tmp_path, views=[view], every_n_steps=1, on_error="raise", worker=None, budget=None
    )
    plain, _ = outcome(digit_net, loaders, precision="bf16-mixed")
    pictured, _ = outcome(digit_net, loaders, callback, precision="bf16-mixed")
    assert same(pictured, plain)
    assert {step for step, *_ in view.seen} == set(range(7))
    assert all(gradient is not None and gradient.any() for *_, gradient in view.seen)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_read_in_validation_hooks_without_gradients_and_training_is_the_same(mode):
    checked = []

    class Reads(namespace().Callback):
        def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            assert not torch.is_grad_enabled()
            with mode():
                self.look(pl_module, batch)
            assert not torch.is_grad_enabled()

        def look(self, pl_module, batch):
            x = batch[0][:2]
            reader = TorchReader(pl_module, x)
            snapshot = reader.read(Request(gradients={PREDICTED: LAYERS}))
            assert snapshot.unread == {}
            for layer, expected in gradients_by_hand(pl_module.net, x).items():
                found = snapshot[layer].gradients[PREDICTED]
                np.testing.assert_allclose(found, expected.movedim(1, -1), rtol=1e-4, atol=1e-7)
            with reader.differentiating() as differentiate:
                found = differentiate({"input": x.numpy()}, np.ones, layer="net.conv")
            checked.append(found.gradients["input"].any())
            assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)

    plain, _ = outcome(digit_net, loaders)
    visited, _ = outcome(digit_net, loaders, Reads())
    assert same(visited, plain)
    assert checked == [True] * 3


class Stepwise:
    """Steps that call the parts of the network side by side."""

    def validation_step(self, batch, batch_idx):
        features = self.net.drop(self.net.act(self.net.norm(self.net.conv(batch[0]))))
        return self.net.head(features.flatten(1)) + 0 * batch[1][:, None]  # as many targets as samples


def manual():
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self(batch[0]).sum())
        optimizer.step()

    def prepare(self):
        self.automatic_optimization = False

    return digit_net(training_step=training_step, setup=lambda self, stage: prepare(self))


def side_by_side(module, batch):
    return (
        module.net.head(module.net.act(module.net.norm(module.net.conv(batch[0]))).flatten(1))
        + 0 * batch[1][:, None]
    )


X, Y = images(6, seed=2)
DICTS = next(iter(DataLoader(Dicts(6, 2), batch_size=6)))
WAYS = {
    "called by the step": (digit_net, None, (X, Y), None),
    "called with a tuple": (takes_a_batch, None, (X, Y), None),
    "called with a dict": (takes_a_dict, None, DICTS, None),
    "parts side by side": (
        lambda: digit_net(validation_step=Stepwise.validation_step), None, (X, Y), None,
    ),
    "optimised by hand": (manual, None, (X, Y), None),
    "forward of a batch": (digit_net, None, (X, Y), lambda module, batch: module.net(batch[0])),
    "forward of a batch, scaled": (digit_net, None, (X * 3, Y), lambda module, batch: module(batch[0] / 3)),
    "forward side by side": (digit_net, None, (X, Y), side_by_side),
    "probe": (digit_net, X, None, None),
    "probe of arrays": (digit_net, Probe(X.numpy()), None, None),
    "probe and forward": (digit_net, {"x": X}, None, lambda module, x: module.net(x["x"])),
    "probe in a tuple and forward": (digit_net, (X, Y[:, None]), None, lambda module, x: module.net(x[0])),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("samples", [2, 9])
def test_other_inputs_enter_a_module_the_way_the_probe_does(way, samples):
    make, probe, batch, forward = WAYS[way]
    shown = torch.rand(samples, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    done = []

    class Differentiates(namespace().Callback):
        def on_train_start(self, trainer, pl_module):
            taken = None if batch is None else Taken(batch, from_validation=way != "optimised by hand")
            given = None if probe is None else Probe.of(probe)
            entry = entry_of(trainer, pl_module, given, taken, forward)
            reader = JointReader(reader_of(trainer, pl_module, entry.probe, entry.run), Processes(0, 1))
            reader.together(lambda: self.differentiate(reader, entry.probe, pl_module))

        def differentiate(self, reader, probe, module):
            logits = next(name for name in reader.read(Request(model_outputs=True)).outputs)
            first, *others = probe.arrays
            inputs = {first: shown.numpy()}
            for name in others:
                inputs[name] = np.resize(probe.arrays[name], (samples, *probe.arrays[name].shape[1:]))
            weights = np.random.default_rng(0).random((samples, 3)).astype(np.float32)
            with reader.differentiating() as differentiate:
                of_layer = differentiate(inputs, np.ones, layer="net.conv")
                of_answer = differentiate(inputs, lambda shape: weights, output=logits)
            net = copy.deepcopy(module.net).eval()
            given = shown.clone().requires_grad_()
            conv = net.conv(given)
            (expected,) = torch.autograd.grad(conv.sum(), given)
            np.testing.assert_allclose(of_layer.gradients[first], expected, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(of_layer.answer, conv.detach().movedim(1, -1), rtol=1e-4, atol=1e-6)
            answer = net(given)
            (expected,) = torch.autograd.grad((answer * torch.tensor(weights)).sum(), given)
            np.testing.assert_allclose(of_answer.answer, answer.detach(), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(of_answer.gradients[first], expected, rtol=1e-4, atol=1e-6)
            done.append(True)

    data = dict_loaders() if way == "called with a dict" else loaders()
    small_trainer(Differentiates(), max_epochs=1, limit_train_batches=1, limit_val_batches=1).fit(
        make(), *data
    )
    assert done == [True]
