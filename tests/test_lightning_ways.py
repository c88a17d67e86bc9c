"""Ways of writing and running a LightningModule: the right outputs, and training is the same bit for bit."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from fakes import Keeps, ListSink
from lightning_models import digit_net, loaders, outcome, step_of
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader
from torch_models import images, same

from layerviz_callbacks.lightning import LayerVizCallback

pytestmark = pytest.mark.filterwarnings("ignore")
X, Y = images(6, seed=2)
SHOWN = X[:4]


class Dicts(torch.utils.data.Dataset):
    def __init__(self, count, seed):
        self.x, self.y = images(count, seed)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return {"image": self.x[index], "label": self.y[index], "file": f"{index}.png"}


def dict_loaders():
    return [DataLoader(Dicts(12, 1), batch_size=4), DataLoader(Dicts(6, 2), batch_size=6)]


def called_with(arguments_of, **parts):
    """A module that its steps call with `arguments_of(batch)`."""
    step = step_of(lambda module, batch: (module(*arguments_of(batch)), label_of(batch)))
    return digit_net(training_step=step, validation_step=step, **parts)


def label_of(batch):
    return batch["label"] if isinstance(batch, dict) else batch[1]


def takes_a_batch():
    return called_with(lambda batch: [batch], forward=lambda self, batch: self.net(batch[0]))


def takes_a_dict():
    return called_with(lambda batch: [batch], forward=lambda self, batch: self.net(batch["image"]))


def takes_a_part_of_a_dict():
    return called_with(lambda batch: [batch["image"]])


def takes_several():
    def forward(self, x, mask, *, scale):
        return self.net(x * mask * scale)

    def step(self, batch, batch_idx):
        logits = self(batch[0], batch[0] > 0.5, scale=torch.tensor(3.0))
        return nn.functional.cross_entropy(logits, batch[1])

    return digit_net(forward=forward, training_step=step, validation_step=step)


def only_steps():
    step = step_of(lambda module, batch: (module.net(batch[0]), batch[1]))
    return digit_net(training_step=step, validation_step=step)


def channels_last():
    forward = lambda self, x: self.net(x.contiguous(memory_format=torch.channels_last))  # noqa: E731
    return digit_net(forward=forward).to(memory_format=torch.channels_last)


def compiled():
    """Without `self.log`, which this Lightning cannot compile with this PyTorch."""
    step = step_of(lambda module, batch: (module(batch[0]), batch[1]))
    return torch.compile(digit_net(training_step=step, validation_step=step), backend="aot_eager")


def compiled_child():
    module = digit_net()
    module.net = torch.compile(module.net, backend="aot_eager")
    return module


def compiled_in_place():
    module = digit_net()
    module.compile(backend="aot_eager")
    return module


def compiled_child_in_place():
    module = digit_net()
    module.net.compile(backend="aot_eager")
    return module


def checkpointed():
    def forward(self, x):
        hidden = checkpoint(
            lambda x: self.net.drop(self.net.act(self.net.norm(self.net.conv(x)))), x, **options
        )
        return self.net.head(hidden.flatten(1))

    options = {"use_reentrant": False}
    return digit_net(forward=forward)


def checkpointed_reentrant():
    return digit_net(forward=lambda self, x: checkpoint(self.net, x.requires_grad_(), use_reentrant=True))


def frozen():
    module = digit_net(on_train_epoch_start=lambda self: self.net.norm.eval())
    module.net.norm.requires_grad_(False)
    return module


def plain(x):
    return x


def masked(x):
    return x * (x > 0.5) * 3


@pytest.fixture(autouse=True)
def nothing_compiled():
    compiled_graphs()


WAYS = {  # how it is made, its loaders, the trainer's options, what reaches the network
    "forward takes the whole batch": (takes_a_batch, loaders, {}, plain),
    "forward takes a dict": (takes_a_dict, dict_loaders, {}, plain),
    "batches are dicts": (takes_a_part_of_a_dict, dict_loaders, {}, plain),
    "forward takes several arguments": (takes_several, loaders, {}, masked),
    "the steps call a child": (only_steps, loaders, {}, plain),
    "channels_last": (channels_last, loaders, {}, plain),
    "bf16-mixed": (digit_net, loaders, {"precision": "bf16-mixed"}, plain),
    "bf16-true": (digit_net, loaders, {"precision": "bf16-true"}, lambda x: x.bfloat16()),
    "64-true": (digit_net, loaders, {"precision": "64-true"}, lambda x: x.double()),
    "torch.compile of the module": (compiled, loaders, {}, plain),
    "torch.compile of a child": (compiled_child, loaders, {}, plain),
    "compile() of the module": (compiled_in_place, loaders, {}, plain),
    "compile() of a child": (compiled_child_in_place, loaders, {}, plain),
    "gradient checkpointing": (checkpointed, loaders, {}, plain),
    "gradient checkpointing, reentrant": (checkpointed_reentrant, loaders, {}, plain),
    "a frozen BatchNorm": (frozen, loaders, {}, plain),
    "accumulated gradients": (digit_net, loaders, {"accumulate_grad_batches": 2}, plain),
    "clipped gradients": (digit_net, loaders, {"gradient_clip_val": 0.1}, plain),
}


def compiled_graphs():
    """How many graphs were compiled since the last time; forgets them."""
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    return graphs


def expected_of(module, x, precision):
    """What plain PyTorch gives: the outputs of the network's layers, one after the other."""
    net = getattr(module.net, "_orig_mod", module.net).eval()
    mixed = torch.autocast("cpu", torch.bfloat16) if precision == "bf16-mixed" else nullcontext()
    with torch.no_grad(), mixed, torch.compiler.set_stance("force_eager"):
        conv = net.conv(x)
        norm = net.norm(conv)
        act = norm.relu()
        head = net.head(act.flatten(1))
    maps = {
        f"net.{name}": value.permute(0, 2, 3, 1)
        for name, value in [("conv", conv), ("norm", norm), ("act", act)]
    }
    return {name: value.float().numpy() for name, value in {**maps, "net.head": head}.items()}


@pytest.mark.parametrize("way", WAYS)
def test_outputs_are_those_of_plain_pytorch_and_training_is_the_same_bit_for_bit(way):
    make, make_loaders, options, reaches = WAYS[way]
    view = Keeps()
    callback = LayerVizCallback(log_dir=ListSink(), views=[view], layers="*")
    with_it, module = outcome(make, make_loaders, callback, **options)
    graphs = compiled_graphs()
    without, _ = outcome(make, make_loaders, **options)
    assert graphs == compiled_graphs() and (graphs > 0) == ("compile" in way)  # nothing is compiled anew
    assert same(with_it, without)
    assert [snapshot.step for snapshot in view.snapshots] == [0, 1, 2]
    last = view.snapshots[-1]
    expected = expected_of(module, reaches(SHOWN), options.get("precision"))
    for name, value in expected.items():
        np.testing.assert_array_equal(last[name].output, value, err_msg=name)
    assert {name for name in last.layers if name.startswith("net.")} == {*expected, "net.drop"}
    first = next(iter(last.inputs.values()))
    assert len(first) == 4


@pytest.mark.parametrize("way", ["bf16-true", "torch.compile of the module", "channels_last"])
def test_a_given_probe_is_shown_in_the_type_that_the_module_computes_in(way):
    make, make_loaders, options, reaches = WAYS[way]
    view = Keeps()
    callback = LayerVizCallback(SHOWN.numpy(), log_dir=ListSink(), views=[view], layers="*")
    _, module = outcome(make, make_loaders, callback, **options)
    compiled_graphs()
    expected = expected_of(module, reaches(SHOWN), options.get("precision"))
    np.testing.assert_array_equal(view.snapshots[-1]["net.conv"].output, expected["net.conv"])


def test_every_optimizer_step_can_be_recorded_in_a_compiled_training():
    view = Keeps()
    callback = LayerVizCallback(log_dir=ListSink(), views=[view], every_n_steps=1)
    with_it, _ = outcome(compiled, loaders, callback)
    graphs = compiled_graphs()
    assert [snapshot.step for snapshot in view.snapshots] == [0, 1, 2, 3, 4, 5, 6]
    without, _ = outcome(compiled, loaders)
    assert same(with_it, without) and graphs == compiled_graphs()


def test_the_comparison_catches_a_training_that_was_changed():
    class Impure(LayerVizCallback):
        def on_train_epoch_end(self, trainer, pl_module):
            super().on_train_epoch_end(trainer, pl_module)
            pl_module.net.norm.running_mean += 1e-7

    callback = Impure(log_dir=ListSink(), views=[Keeps()])
    assert not same(outcome(digit_net, loaders, callback)[0], outcome(digit_net, loaders)[0])
