"""The probe that is taken from the data, and how it enters the module."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from fakes import Keeps, ListSink
from lightning_models import Encoder, digit_net, namespace, small_trainer, train_loader, val_loader
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torch_models import ConvNet, images

from layerviz_callbacks import ArgumentError
from layerviz_callbacks.lightning import LayerVizCallback
from layerviz_callbacks.lightning.batches import first_samples, is_restorable

pytestmark = pytest.mark.filterwarnings("ignore")


def snapshots_of(module, *loaders, trainer=None, ckpt_path=None, **options):
    view = Keeps()
    callback = LayerVizCallback(log_dir=ListSink(), views=[view], **options)
    small_trainer(callback, **(trainer or {})).fit(module, *loaders, ckpt_path=ckpt_path)
    return view.snapshots


def shown(snapshot):
    return snapshot.inputs["input"][..., 0]


VALIDATION = images(6, seed=2)


def test_the_first_samples_of_the_validation_data_are_the_probe():
    snapshots = snapshots_of(digit_net(), train_loader(), val_loader())
    assert len(snapshots) == 3
    for snapshot in snapshots:
        np.testing.assert_array_equal(shown(snapshot), VALIDATION[0][:4, 0].numpy())
        np.testing.assert_array_equal(snapshot.probe.targets, VALIDATION[1][:4].numpy())


@pytest.mark.parametrize("with_validation", [True, False])
def test_without_a_sanity_check_the_first_training_batch_is_the_probe_and_stays(with_validation):
    loaders = [train_loader(shuffle=False)] + [val_loader()] * with_validation
    snapshots = snapshots_of(digit_net(), *loaders, trainer={"num_sanity_val_steps": 0})
    for snapshot in snapshots:
        np.testing.assert_array_equal(shown(snapshot), images(12)[0][:4, 0].numpy())


def test_a_given_probe_is_shown_instead():
    x = images(2, seed=9)[0]
    snapshots = snapshots_of(digit_net(), train_loader(), val_loader(), probe=x)
    np.testing.assert_array_equal(shown(snapshots[0]), x[:, 0].numpy())


def test_the_probe_is_the_same_after_resuming_on_other_data(tmp_path):
    trainer = small_trainer(LayerVizCallback(log_dir=ListSink(), views=[Keeps()]), max_epochs=1)
    trainer.fit(digit_net(), train_loader(), val_loader())
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    other = DataLoader(TensorDataset(*images(6, seed=77)), batch_size=6)
    snapshots = snapshots_of(digit_net(), train_loader(), other, ckpt_path=tmp_path / "one.ckpt")
    np.testing.assert_array_equal(shown(snapshots[-1]), VALIDATION[0][:4, 0].numpy())


def test_the_outputs_are_those_of_the_module_in_evaluation_mode():
    module = digit_net()
    last = snapshots_of(module, train_loader(), val_loader())[-1]
    module.eval()
    with torch.no_grad():
        expected = module(VALIDATION[0][:4]).numpy()
        maps = module.net.conv(VALIDATION[0][:4]).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(last["net.head"].output, expected)
    np.testing.assert_array_equal(last["net.conv"].output, maps)
    np.testing.assert_array_equal(last.outputs["output"], expected)


def test_what_the_step_does_to_the_batch_is_learnt():
    def validation_step(self, batch, batch_idx):
        self.log("loss", functional.cross_entropy(self(2 * batch["image"] - 1), batch["label"]))

    class Dicts(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return {"image": VALIDATION[0][index], "label": VALIDATION[1][index]}

    module = digit_net(validation_step=validation_step)
    snapshots = snapshots_of(module, train_loader(), DataLoader(Dicts(), batch_size=6))
    np.testing.assert_array_equal(shown(snapshots[0]), 2 * VALIDATION[0][:4, 0].numpy() - 1)


def test_a_module_without_forward_is_shown_as_its_step_calls_its_network():
    step = lambda self, batch, batch_idx: functional.cross_entropy(self.net(batch[0]), batch[1])  # noqa: E731
    lightning = namespace()
    module = digit_net(training_step=step, validation_step=step, forward=lightning.LightningModule.forward)
    snapshots = snapshots_of(module, train_loader(), val_loader())
    assert snapshots[0]["net.conv"].output_shape == (4, 6, 6, 4)


def test_a_module_without_forward_cannot_be_called_with_a_given_probe():
    step = lambda self, batch, batch_idx: functional.cross_entropy(self.net(batch[0]), batch[1])  # noqa: E731
    module = digit_net(training_step=step, forward=namespace().LightningModule.forward)
    with pytest.raises(ArgumentError, match=r"no forward\(\).*module\.net\(x\).*leave probe= out"):
        snapshots_of(module, train_loader(), probe=images(2)[0])


class TwoParts(nn.Module):
    """Nothing but two parts that a step calls side by side."""

    def __init__(self):
        super().__init__()
        self.left, self.right = Encoder(), Encoder()


def test_a_step_that_calls_several_parts_is_repeated():
    def step(self, batch, batch_idx):
        return (self.parts.left(batch[0]) - self.parts.right(batch[0] * 2)).square().mean()

    module = digit_net(training_step=step, validation_step=step)
    module.parts = TwoParts()
    last = snapshots_of(module, train_loader(), val_loader())[-1]
    for part, factor in ((module.parts.left, 1), (module.parts.right, 2)):
        name = "parts.left.conv" if factor == 1 else "parts.right.conv"
        with torch.no_grad():
            expected = part(VALIDATION[0][:4] * factor).permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(last[name].output, expected)


def manual(module_parts):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        loss = functional.cross_entropy(self.net(batch[0]), batch[1])
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    module = digit_net(training_step=training_step, **module_parts)
    module.automatic_optimization = False
    return module


def test_manual_optimisation_is_never_repeated_but_the_module_is_called():
    snapshots = snapshots_of(manual({}), train_loader(shuffle=False))
    np.testing.assert_array_equal(shown(snapshots[0]), images(12)[0][:4, 0].numpy())


def test_the_dry_run_logs_nothing_and_leaves_no_trace(tmp_path):
    seen = []

    class Records(namespace().loggers.CSVLogger):
        def log_metrics(self, metrics, step=None):
            seen.append((step, sorted(metrics)))

    def validation_step(self, batch, batch_idx):
        self.logger.log_metrics({"by hand": 1.0}, step=0)
        self.visits = getattr(self, "visits", 0) + 1
        self.log("val_loss", functional.cross_entropy(self(batch[0]), batch[1]))

    def run(*callbacks, folder):
        seen.clear()
        module = digit_net(validation_step=validation_step)
        small_trainer(*callbacks, logger=Records(folder)).fit(module, train_loader(), val_loader())
        return list(seen), module.visits, "log" in vars(module)

    with_it = run(LayerVizCallback(log_dir=ListSink(), views=[Keeps()]), folder=tmp_path)
    assert with_it == run(folder=tmp_path)
    assert with_it[1] == 3 and with_it[2] is False  # one sanity check and two epochs


def test_torchmetrics_are_left_as_they_are():
    torchmetrics = pytest.importorskip("torchmetrics")

    def build(*callbacks):
        values = []

        def validation_step(self, batch, batch_idx):
            self.accuracy(self(batch[0]), batch[1])
            self.log("accuracy", self.accuracy)

        def on_train_epoch_end(self):
            values.append(self.trainer.callback_metrics["accuracy"].item())

        torch.manual_seed(0)
        module = digit_net(validation_step=validation_step, on_train_epoch_end=on_train_epoch_end)
        module.accuracy = torchmetrics.classification.MulticlassAccuracy(3, average="micro")
        small_trainer(*callbacks).fit(module, train_loader(), val_loader())
        return values

    assert build(LayerVizCallback(log_dir=ListSink(), views=[Keeps()])) == build()


def test_the_batch_is_copied():
    class Spoils(namespace().Callback):
        def on_validation_batch_end(self, trainer, pl_module, outputs, batch, *_):
            batch[0].zero_()

    view = Keeps()
    callback = LayerVizCallback(log_dir=ListSink(), views=[view])
    small_trainer(callback, Spoils()).fit(digit_net(), train_loader(), val_loader())
    np.testing.assert_array_equal(shown(view.snapshots[-1]), VALIDATION[0][:4, 0].numpy())


def test_the_first_samples_are_cut_out_of_any_structure():
    Pair = namedtuple("Pair", "x y")
    image = torch.arange(10).reshape(5, 2)
    batch = Pair({"image": image, "scale": torch.tensor(2.0)}, [torch.ones(5), list("abcde")])
    cut = first_samples(batch, 2)
    assert isinstance(cut, Pair)
    assert cut.x["image"].tolist() == [[0, 1], [2, 3]] and cut.x["scale"] == 2
    assert cut.y[0].tolist() == [1, 1] and cut.y[1] == ["a", "b"]
    assert first_samples("no tensors", 2) == "no tensors"


def test_two_tensors_in_a_batch_of_two_are_not_taken_for_samples():
    cut = first_samples([torch.zeros(2, 3), torch.ones(2)], 1)
    assert [tuple(part.shape) for part in cut] == [(1, 3), (1,)]


def test_only_plain_batches_are_kept_in_checkpoints():
    assert is_restorable({"x": [torch.zeros(1), "a", 1, None]})
    assert not is_restorable([ConvNet()])
