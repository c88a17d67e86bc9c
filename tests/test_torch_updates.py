"""What the last optimizer step added is told from what there is after it, exactly."""

import gc
import warnings

import numpy as np
import pytest
import torch
from fakes import ListSink, Shapes
from torch import nn, optim
from torch_models import ConvNet, images

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.torch import attach
from layerviz_callbacks.torch.updates import OptimizerSteps, steps_of

X = images(2)[0]


def pick(tensor):
    return tensor.detach().float()


def model_of(dtype=torch.float64):
    """In float64, so that the difference of the weights before and after a step is exact enough."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)


def stepped(model, optimizer, *, steps=3, between=None):
    """Make so many steps; the weights before the last one."""
    generator = torch.Generator().manual_seed(3)
    for step in range(steps):
        x = torch.randn(6, 5, generator=generator).to(model[0].weight.dtype)
        optimizer.zero_grad()
        model(x).square().mean().backward()
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        optimizer.step()
        if between is not None:
            between(step)
    return before


def assert_updates(steps, model, before):
    for name, weight in model.named_parameters():
        gradient = None if weight.grad is None else steps.gradient_of(weight, pick, pick(weight.grad))
        found = steps.last_update(weight, pick, gradient=gradient)
        assert found.dtype == torch.float32
        expected = (weight.detach() - before[name]).numpy()
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


OPTIMIZERS = {
    "SGD": (optim.SGD, {}),
    "SGD with decay": (optim.SGD, {"weight_decay": 0.3}),
    "SGD, ascending with decay": (optim.SGD, {"weight_decay": 0.3, "maximize": True}),
    "SGD with momentum": (optim.SGD, {"momentum": 0.9}),
    "SGD with momentum, damped, with decay": (
        optim.SGD,
        {"momentum": 0.9, "dampening": 0.4, "weight_decay": 0.3},
    ),
    "SGD with Nesterov's momentum": (optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "SGD with Nesterov's momentum, ascending with decay": (
        optim.SGD,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.3, "maximize": True},
    ),
    "SGD, one by one": (optim.SGD, {"momentum": 0.9, "nesterov": True, "foreach": False}),
    "SGD, all at once": (optim.SGD, {"momentum": 0.9, "nesterov": True, "foreach": True}),
    "SGD, fused": (optim.SGD, {"momentum": 0.9, "weight_decay": 0.1, "fused": True}),
    "Adam": (optim.Adam, {}),
    "Adam with decay": (optim.Adam, {"weight_decay": 0.3, "betas": (0.5, 0.7), "eps": 1e-3}),
    "Adam, the greatest squares": (optim.Adam, {"amsgrad": True, "betas": (0.8, 0.3)}),
    "Adam, ascending": (optim.Adam, {"maximize": True, "weight_decay": 0.1}),
    "Adam, all at once": (optim.Adam, {"foreach": True, "amsgrad": True}),
    "Adam, fused": (optim.Adam, {"fused": True, "weight_decay": 0.1}),
    "Adam with a rate that is a tensor": (optim.Adam, {"lr": torch.tensor(0.05, dtype=torch.float64)}),
    "AdamW": (optim.AdamW, {}),
    "AdamW with much decay": (optim.AdamW, {"weight_decay": 0.9}),
    "AdamW, ascending, the greatest squares": (optim.AdamW, {"maximize": True, "amsgrad": True}),
    "AdamW, fused": (optim.AdamW, {"fused": True}),
    "AdamW, all at once": (optim.AdamW, {"foreach": True}),
    "RMSprop": (optim.RMSprop, {}),
    "RMSprop, centred": (optim.RMSprop, {"centered": True, "alpha": 0.5}),
    "RMSprop with decay": (optim.RMSprop, {"weight_decay": 0.1, "maximize": True}),
    "RMSprop with momentum": (optim.RMSprop, {"momentum": 0.8, "centered": True, "weight_decay": 0.1}),
    "RMSprop, all at once": (optim.RMSprop, {"foreach": True}),
    "Adagrad": (optim.Adagrad, {}),
    "Adagrad with decays": (optim.Adagrad, {"lr_decay": 0.3, "weight_decay": 0.1, "maximize": True}),
    "Adagrad, from a sum": (optim.Adagrad, {"initial_accumulator_value": 0.5, "eps": 1e-2, "foreach": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_update_is_the_weights_after_the_step_less_those_before_it(name):
    kind, options = OPTIMIZERS[name]
    model = model_of()
    optimizer = kind(model.parameters(), **{"lr": 0.05, **options})
    steps = OptimizerSteps([optimizer])
    assert_updates(steps, model, stepped(model, optimizer))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_update_of_the_first_step_of_all_is_known_too(name):
    kind, options = OPTIMIZERS[name]
    model = model_of()
    optimizer = kind(model.parameters(), **{"lr": 0.05, **options})
    steps = OptimizerSteps([optimizer])
    assert_updates(steps, model, stepped(model, optimizer, steps=1))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_gradient_is_the_one_the_step_was_given_though_sgd_overwrites_it(name):
    kind, options = OPTIMIZERS[name]
    model = model_of()
    optimizer = kind(model.parameters(), **{"lr": 0.05, **options})
    steps = OptimizerSteps([optimizer])
    given = []

    def note(*_):
        given[:] = [weight.grad.clone() for weight in model.parameters()]

    optimizer.register_step_pre_hook(note)
    stepped(model, optimizer)
    pairs = list(zip(model.parameters(), given, strict=True))
    overwritten = [not torch.equal(weight.grad, before) for weight, before in pairs]
    assert overwritten == [name == "SGD, all at once"] * 4  # by PyTorch itself
    for weight, before in pairs:
        found = steps.gradient_of(weight, pick, pick(weight.grad))
        np.testing.assert_allclose(found, before.float(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("rate", [0.05, torch.tensor(0.05, dtype=torch.float64)], ids=["number", "tensor"])
def test_a_schedule_that_has_moved_on_does_not_change_what_was_added(rate):
    model = model_of()
    optimizer = optim.Adam(model.parameters(), lr=rate)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    steps = OptimizerSteps([optimizer])
    before = stepped(model, optimizer, between=lambda step: schedule.step())
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0.05 * 0.1**3)
    assert_updates(steps, model, before)


def test_each_group_has_its_own_options_and_groups_may_be_added():
    model = model_of()
    optimizer = optim.AdamW([{"params": model[0].parameters(), "lr": 0.3}], lr=0.01)
    steps = OptimizerSteps([optimizer])
    stepped(model, optimizer, steps=1)
    assert steps.last_update(model[2].weight, pick, gradient=None) is None
    optimizer.add_param_group({"params": model[2].parameters(), "weight_decay": 0.5})
    assert steps.last_update(model[2].weight, pick, gradient=None) is None  # no step since
    assert_updates(steps, model, stepped(model, optimizer, steps=2))


def test_several_optimizers_each_tell_of_their_own_weights():
    model = model_of()
    first, second = optim.SGD(model[0].parameters(), lr=0.1), optim.RMSprop(model[2].parameters())
    steps = OptimizerSteps([first, second])
    stepped(model, first)
    assert steps.last_update(model[2].weight, pick, gradient=pick(model[2].weight.grad)) is None
    before = stepped(model, second, steps=1)
    found = steps.last_update(model[2].weight, pick, gradient=pick(model[2].weight.grad))
    np.testing.assert_allclose(found, (model[2].weight.detach() - before["2.weight"]), rtol=1e-5, atol=1e-9)


def test_weights_that_a_step_left_out_were_not_changed_by_it():
    model = model_of()
    optimizer = optim.Adam(model.parameters())
    steps = OptimizerSteps([optimizer])
    stepped(model, optimizer)
    model[0].requires_grad_(False)
    model[0].weight.grad = None
    before = stepped(model, optimizer, steps=1)
    assert torch.equal(before["0.weight"], model[0].weight)
    assert not steps.last_update(model[0].weight, pick, gradient=None).any()
    assert steps.last_update(model[2].weight, pick, gradient=None).any()


def test_where_the_gradient_is_gone_only_what_needs_none_is_known():
    known = {}
    for name, (kind, options) in OPTIMIZERS.items():
        model = model_of()
        optimizer = kind(model.parameters(), **{"lr": 0.05, **options})
        steps = OptimizerSteps([optimizer])
        before = stepped(model, optimizer)
        optimizer.zero_grad()
        known[name] = steps.last_update(model[0].weight, pick, gradient=None) is not None
        if known[name]:
            assert_updates(steps, model, before)
    adam = {name for name in OPTIMIZERS if name.startswith("Adam")}
    buffered = {
        "SGD with momentum", "SGD with momentum, damped, with decay", "SGD, fused", "RMSprop with momentum",
    }  # fmt: skip
    assert {name for name, is_known in known.items() if is_known} == adam | buffered


class OwnAdam(optim.Adam):
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data *= 0.9


@pytest.mark.parametrize("kind", [optim.RAdam, optim.Adamax, OwnAdam])
def test_of_other_optimizers_nothing_is_said(kind):
    model = model_of()
    optimizer = kind(model.parameters())
    steps = OptimizerSteps([optimizer])
    stepped(model, optimizer)
    assert steps.last_update(model[0].weight, pick, gradient=pick(model[0].weight.grad)) is None


@pytest.mark.parametrize("kind", [optim.SGD, optim.AdamW])
def test_where_decay_took_away_the_whole_weight_nothing_is_said(kind):
    model = model_of()
    optimizer = kind(model.parameters(), lr=0.5, weight_decay=2.0)
    steps = OptimizerSteps([optimizer])
    stepped(model, optimizer)
    assert steps.last_update(model[0].weight, pick, gradient=pick(model[0].weight.grad)) is None


def test_a_resumed_optimizer_says_nothing_before_its_first_step():
    model = model_of()
    optimizer = optim.Adam(model.parameters())
    stepped(model, optimizer)
    steps = OptimizerSteps([optimizer])
    assert steps.last_update(model[0].weight, pick, gradient=None) is None
    assert_updates(steps, model, stepped(model, optimizer, steps=1))


def hooks(optimizer):
    return len(optimizer._optimizer_step_post_hooks)


def test_the_hook_goes_with_close_and_where_nobody_needs_it():
    optimizer = optim.Adam(model_of().parameters())
    steps = OptimizerSteps([optimizer])
    assert hooks(optimizer) == 1
    steps.close()
    steps.close()
    assert hooks(optimizer) == 0
    steps = OptimizerSteps([optimizer])
    del steps
    gc.collect()
    assert hooks(optimizer) == 0


def test_attach_takes_an_optimizer_or_several_and_takes_its_hooks_off():
    model = ConvNet()
    for given in ("one", "list"):
        optimizer = optim.Adam(model.parameters())
        arguments = {"optimizer": optimizer if given == "one" else [optimizer]}
        with attach(model, X.numpy(), log_dir=ListSink(), views=[Shapes()], **arguments):
            assert hooks(optimizer) == 1
        assert hooks(optimizer) == 0


@pytest.mark.parametrize("given", ["adam", 0.1, [None], optim.Adam])
def test_what_is_no_optimizer_is_refused_with_what_to_type(given):
    with pytest.raises(ArgumentError, match=r"is no optimizer.*optimizer=optimizer\)"):
        attach(ConvNet(), X.numpy(), log_dir=ListSink(), optimizer=given)


def test_the_optimizer_of_another_model_is_refused_with_what_to_type():
    other = optim.SGD(nn.Linear(2, 2).parameters())
    for given, told in ((other, "optimizer=SGD trains none"), ([], "An empty list trains none")):
        with pytest.raises(ArgumentError, match=rf"{told} of the parameters of ConvNet.*Pass the one"):
            steps_of(ConvNet(), given)
    model = ConvNet()
    assert steps_of(model, [other, optim.SGD(model.parameters())]) is not None


def test_a_compiled_step_says_nothing_and_is_not_in_the_way():
    model = model_of(torch.float32)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    steps = OptimizerSteps([optimizer])
    compiled = torch.compile(optimizer.step, backend="eager")
    model(torch.randn(6, 5)).square().mean().backward()
    before = model[0].weight.detach().clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled()
    assert not torch.equal(before, model[0].weight)
    found = steps.last_update(model[0].weight, pick, gradient=pick(model[0].weight.grad))
    assert found is None or torch.allclose(found, model[0].weight.detach() - before, rtol=1e-4, atol=1e-7)
