"""Trainings in two processes, as `python lightning_processes.py FOLDER CASE ...` in each of them.

Every case gives back what `test_lightning_devices.py` compares; each process writes it into the folder.
"""

import logging
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from fakes import ListSink, Shapes
from lightning_models import digit_net, namespace, outcome, train_loader
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torch_models import images

from layerviz_callbacks import Probe
from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining import Target
from layerviz_callbacks.lightning import LayerVizCallback
from layerviz_callbacks.lightning.learning import entry_of
from layerviz_callbacks.lightning.processes import JointReader
from layerviz_callbacks.lightning.sharded import reader_of
from layerviz_callbacks.lightning.strategies import processes_of
from layerviz_callbacks.request import Request

LIGHTNING = namespace()


class Keeps(Shapes):
    """Keeps the snapshots that it draws; fails from the step on that it is told."""

    needs = frozenset({"weights", "outputs"})

    def __init__(self, *, fails_from=99, error=RuntimeError, **options):
        super().__init__(**options)
        self.snapshots = []
        self.fails_from = fails_from
        self.error = error

    def request(self, layers, shapes):
        names = frozenset(layer.base_name for layer in layers)
        return super().request(layers, shapes) | Request(statistics=names)

    def draw(self, snapshot):
        if snapshot.step >= self.fails_from:
            raise self.error("on purpose")
        self.snapshots.append(snapshot)
        return super().draw(snapshot)


def loaders():
    return [train_loader(), DataLoader(TensorDataset(*images(10, seed=2)), batch_size=5)]


def rank():
    return torch.distributed.get_rank()


def fsdp1():
    """Lightning refuses FSDP without a GPU; this is its strategy all the same, with the wrapping told."""
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    class OnCpu(LIGHTNING.strategies.FSDPStrategy):
        def _setup_model(self, model):
            policy = ModuleWrapPolicy({nn.Conv2d, nn.Linear})
            return FullyShardedDataParallel(
                model, device_id=torch.device("cpu"), auto_wrap_policy=policy, use_orig_params=True
            )

    return OnCpu(process_group_backend="gloo")


def shard(self):
    """FSDP2: `configure_model` of a module."""
    from torch.distributed.fsdp import fully_shard

    for part in (self.net.conv, self.net.head, self.net, self):
        fully_shard(part, mesh=self.device_mesh["data_parallel"])


model_parallel = LIGHTNING.strategies.ModelParallelStrategy
STRATEGIES = {
    "ddp": (lambda: "ddp", {}),
    "ddp_static": (lambda: LIGHTNING.strategies.DDPStrategy(static_graph=True), {}),
    "fsdp1": (fsdp1, {}),
    "fsdp2": (
        lambda: model_parallel(data_parallel_size=2, tensor_parallel_size=1),
        {"configure_model": shard},
    ),
}


def trained(*callbacks, strategy="ddp", data=loaders, options=None, **parts):
    make_strategy, further = STRATEGIES[strategy]
    result, module = outcome(
        lambda: digit_net(**{**further, **parts}), data, *callbacks,
        strategy=make_strategy(), devices=2, **(options or {}),
    )  # fmt: skip
    return whole(result), module


def whole(value):
    """The same with sharded tensors as they lie in this process."""
    if hasattr(value, "to_local"):
        return value.to_local().detach().clone()
    if isinstance(value, dict):
        return {key: whole(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole(part) for part in value]
    return value


def recorded(*, view=None, strategy="ddp", data=loaders, options=None, parts=None, **callback_options):
    """Train with the callback and without it; what was recorded, and both outcomes."""
    view, sink = view or Keeps(), ListSink()
    arguments = {"log_dir": sink, "views": [view], "layers": "*", **callback_options}
    callback = LayerVizCallback(**arguments)
    result = {"error": ""}
    try:
        result["with"], module = trained(
            callback, strategy=strategy, data=data, options=options, **(parts or {})
        )
        if strategy == "ddp" and isinstance(module.net.drop, nn.Dropout):
            result["outputs"] = plain_outputs(module.net)
    except Exception as error:  # noqa: BLE001  compared by the test
        result["error"] = f"{type(error).__name__}: {error}"
    else:
        result["without"], _ = trained(strategy=strategy, data=data, options=options, **(parts or {}))
    result["steps"] = [snapshot.step for snapshot in view.snapshots]
    result["location"] = callback.location
    result["state"] = callback.state_dict()
    result["calls"] = len(sink.calls)
    if view.snapshots:
        last = view.snapshots[-1]
        result["layers"] = {
            layer.name: (layer.kind, layer.kernel, layer.output) for layer in last.layers.values()
        }
        result["statistics"] = {layer.name: layer.statistics for layer in last.layers.values()}
        result["inputs"] = dict(last.inputs)
    return result


def plain_outputs(net, shown=None):
    """What plain PyTorch gives for the first samples of the first process's data."""
    x = images(10, seed=2)[0][[0, 2, 4, 6]] if shown is None else shown  # those of rank 0 come in turns
    modes = [part.training for part in net.modules()]
    net.eval()
    with torch.no_grad():
        conv = net.conv(x)
        result = {"x": x, "net.conv": conv.permute(0, 2, 3, 1), "net.head": net(x)}
    for part, training in zip(net.modules(), modes, strict=True):
        part.training = training
    return {name: value.numpy() for name, value in result.items()}


def ddp(folder):
    return recorded()


def ddp_static(folder):
    return recorded(strategy="ddp_static")


def files_are_written_once(folder):
    return recorded(log_dir=folder / "logs")


def every_step_is_recorded(folder):
    return recorded(every_n_steps=1)


def metrics_gather_in_validation(folder):
    def validation_step(self, batch, batch_idx):
        logits = self(batch[0])
        self.log("val_loss", functional.cross_entropy(logits, batch[1]), sync_dist=True)
        self.accuracy(logits, batch[1])
        self.log("all", self.accuracy.compute())  # gathers at once, in every step
        self.log("shared", self.all_gather(logits).mean(), sync_dist=True)

    def configure_model(self):
        import torchmetrics

        if not hasattr(self, "accuracy"):
            self.accuracy = torchmetrics.classification.MulticlassAccuracy(3)

    return recorded(parts={"validation_step": validation_step, "configure_model": configure_model})


def the_forward_pass_gathers(folder):
    def forward(self, x):
        mean = x.detach().mean()
        torch.distributed.all_reduce(mean)
        return self.net(x) + mean

    return recorded(parts={"forward": forward})


def a_gathering_view_fails_in_the_first_process(folder):
    def forward(self, x):
        mean = x.detach().mean()
        torch.distributed.all_reduce(mean)
        return self.net(x) + mean

    return recorded(view=Keeps(fails_from=1), parts={"forward": forward}, options={"max_epochs": 3})


def a_view_fails_and_raises(folder):
    return recorded(view=Keeps(fails_from=1), on_error="raise")


def a_view_is_interrupted(folder):
    with suppress(SystemExit):  # Lightning ends the program
        return recorded(view=Keeps(fails_from=1, error=KeyboardInterrupt))
    return {"error": "SystemExit"}


def the_reader_fails_in_the_second_process(folder):
    class Moody(nn.Module):
        calls = 0

        def forward(self, x):
            if not self.training and not torch.is_grad_enabled() and rank() == 1 and spoilt(self):
                raise RuntimeError("on purpose")
            return x

    def spoilt(module):
        return module.epoch > 0

    def configure_model(self):
        if not isinstance(self.net.drop, Moody):
            self.net.drop = Moody()
            self.net.drop.epoch = 0

    def on_train_epoch_end(self):
        self.net.drop.epoch = 1 if self.current_epoch == 0 else 2

    data = lambda: loaders()[:1]  # noqa: E731
    parts = {"configure_model": configure_model, "on_train_epoch_end": on_train_epoch_end}
    return recorded(data=data, parts=parts)


def the_folder_cannot_be_written_by_the_first_process(folder):
    if rank() == 0:
        (folder / "file").write_text("not a folder")
    return recorded(log_dir=folder / "file" / "logs")


def layers_match_nothing(folder):
    return recorded(layers="net.conf")


def the_step_fails_in_the_second_process(folder):
    def validation_step(self, batch, batch_idx):
        if rank() == 1 and not self.trainer.sanity_checking:
            raise RuntimeError("on purpose")
        self(batch[0])

    def forward(self, x, scale=1.0):
        if rank() == 1 and not self.training and not self.trainer.sanity_checking:
            raise ValueError("on purpose")
        return self.net(x)

    return recorded(parts={"validation_step": validation_step, "forward": forward})


def the_processes_show_the_probe_in_different_ways(folder):
    def validation_step(self, batch, batch_idx):
        if rank() == 1 and not self.trainer.sanity_checking:
            self.net(batch[0])
        else:
            self(batch[0])

    return recorded(parts={"validation_step": validation_step})


def processes_have_batches_of_different_length(folder):
    def data():
        x, y = images(10, seed=2)
        own = (x[:3], y[:3]) if rank() == 0 else (x, y)
        return [train_loader(), DataLoader(TensorDataset(*own), batch_size=10)]

    return recorded(data=data, options={"use_distributed_sampler": False})


def gradients_where_the_forward_pass_gathers(folder):
    return looked_at(strategy="ddp", forward=gathering)


def fsdp_1_and_gradients(folder):
    return looked_at(strategy="fsdp1")


def fsdp_2_and_gradients(folder):
    return looked_at(strategy="fsdp2")


def gathering(self, x):
    mean = x.detach().mean()
    torch.distributed.all_reduce(mean)
    return self.net(x) + mean


def looked_at(*, strategy, **parts):
    """Train while gradients are read and the model is differentiated together, and without it."""
    looks = Looks()
    result = {"error": ""}
    result["with"], _ = trained(looks, strategy=strategy, **parts)
    result["without"], _ = trained(strategy=strategy, **parts)
    return {**result, **looks.found}


class Looks(LIGHTNING.Callback):
    """Reads gradients in all processes, as the first one says."""

    def __init__(self):
        self.found = {}

    def on_train_epoch_end(self, trainer, pl_module):
        x = images(2, seed=7)[0]
        entry = entry_of(trainer, pl_module, Probe(x), None, None)
        reader = JointReader(
            reader_of(trainer, pl_module, entry.probe, entry.run), processes_of(trainer, pl_module)
        )
        reader.together(lambda: self.look(reader, x.numpy()))

    def look(self, reader, x):
        target = Target(1)
        snapshot = reader.read(Request(gradients={target: frozenset({"net.conv"})}))
        self.found["score"] = snapshot.scores[target].values
        self.found["gradient"] = snapshot["net.conv"].gradients.get(target)
        self.found["unread"] = dict(snapshot.unread)
        with reader.differentiating() as differentiate:
            for layer in ("", "net.conv"):
                try:
                    found = differentiate({"input": np.repeat(x, 2, axis=0)}, np.ones, layer=layer)
                    self.found[f"of {layer}"] = found.gradients["input"]
                except DifferentiationError as error:
                    self.found[f"of {layer}"] = str(error)


def forward_is_given(folder):
    return recorded(forward=lambda module, batch: module.net(batch[0]))


def fsdp_1_and_forward_is_given(folder):
    return recorded(strategy="fsdp1", forward=lambda module, batch: module.net(batch[0]))


def batches_cannot_be_sent(folder):
    class Note:
        """Python cannot pickle an object of a class within a function."""

    def with_note(samples):
        return [*torch.utils.data.default_collate(samples), Note()]

    def step(self, batch, batch_idx):
        return functional.cross_entropy(self(batch[0]), batch[1])

    def data():
        return [
            DataLoader(TensorDataset(*images(12)), batch_size=3, collate_fn=with_note),
            DataLoader(TensorDataset(*images(10, seed=2)), batch_size=5, collate_fn=with_note),
        ]

    return recorded(data=data, parts={"training_step": step, "validation_step": step})


def training_is_stopped_early(folder):
    early = LIGHTNING.callbacks.EarlyStopping(
        "val_loss", patience=1, min_delta=99.0, check_on_train_epoch_end=True
    )
    view, sink = Keeps(), ListSink()
    callback = LayerVizCallback(log_dir=sink, views=[view], every_n_epochs=5)
    trained(callback, early, options={"max_epochs": 9})
    return {"error": "", "steps": [snapshot.step for snapshot in view.snapshots]}


def the_best_epoch_is_kept(folder):
    scores = [0.5, 0.9, 0.7, 0.95]

    def report(self):  # after the callbacks were called
        self.log("score", torch.tensor(scores[self.current_epoch]))

    return recorded(
        monitor="score", mode="max", every_n_epochs=9, snapshots=folder / "run.h5",
        options={"max_epochs": 4}, parts={"on_train_epoch_end": report},
    )  # fmt: skip


def fsdp_1(folder):
    return recorded(strategy="fsdp1")


def fsdp_2(folder):
    return recorded(strategy="fsdp2")


def fsdp_2_with_a_view_that_fails(folder):
    return recorded(strategy="fsdp2", view=Keeps(fails_from=1), options={"max_epochs": 3})


def fsdp_1_with_a_view_that_fails(folder):
    return recorded(strategy="fsdp1", view=Keeps(fails_from=1), options={"max_epochs": 3})


def main():
    folder, cases = Path(sys.argv[1]), sys.argv[2:]
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.distributed.init_process_group("gloo")
    for case in cases:
        np.random.seed(0)  # noqa: NPY002
        print("case", case, time.strftime("%X"), flush=True)  # noqa: T201  read where a case does not end
        result = globals()[case](folder / case if rank() == 0 else folder / f"{case} elsewhere")
        torch.save(result, folder / f"{case}.{rank()}.part")
        (folder / f"{case}.{rank()}.part").rename(folder / f"{case}.{rank()}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
