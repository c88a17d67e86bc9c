"""Together with Lightning's own callbacks, tuners, loggers and checkpoints: nothing is disturbed."""

import copy
import importlib
import logging
import pickle

import pytest
import torch
from fakes import ListSink, Shapes
from lightning_models import (
    NAMESPACES,
    digit_net,
    loaders,
    namespace,
    outcome,
    small_trainer,
    train_loader,
    val_loader,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset
from torch_models import images, same, seed_all

from layerviz_callbacks import Probe
from layerviz_callbacks.lightning import LayerVizCallback
from layerviz_callbacks.views import Filters

pytestmark = pytest.mark.filterwarnings("ignore")
PROBE = images(3)[0]
TAG = "shapes/02_net.conv"
LIGHTNING = namespace()


def scheduled(**parts):
    """A module with a schedule of learning rates, and the attributes that tuners change."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def train_dataloader(self):
        data = TensorDataset(*images(12))
        return DataLoader(data, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return val_loader()

    module = digit_net(
        configure_optimizers=configure_optimizers, train_dataloader=train_dataloader,
        val_dataloader=val_dataloader, **parts,
    )  # fmt: skip
    module.lr, module.batch_size = 0.05, 4
    return module


def trained(make_callbacks, *, ours=True, **options):
    """The outcome of a training with these neighbours, and what was recorded."""
    sink = ListSink()
    own = [LayerVizCallback(log_dir=sink, views=[Shapes()], layers="*")] if ours else []
    result, _ = outcome(scheduled, list, *own, *make_callbacks(), **options)
    return result, sink


NEIGHBOURS = {  # the callbacks beside ours, the trainer's options, the steps that are recorded
    "early stopping": (
        lambda: [LIGHTNING.callbacks.EarlyStopping("val_loss", patience=1, min_delta=9.0)],
        {"max_epochs": 9}, [0, 1, 2],
    ),
    "stochastic weight averaging": (
        lambda: [LIGHTNING.callbacks.StochasticWeightAveraging(0.01, swa_epoch_start=2)],
        {"max_epochs": 4}, [0, 1, 2, 3, 4, 5],  # Lightning adds an epoch for BatchNorm's statistics
    ),
    "weight averaging by EMA": (
        lambda: [LIGHTNING.callbacks.EMAWeightAveraging(decay=0.5)],
        {"max_epochs": 2}, [0, 1, 2],
    ),
    "gradient accumulation": (list, {"accumulate_grad_batches": 2}, [0, 1, 2]),
    "scheduled gradient accumulation": (
        lambda: [LIGHTNING.callbacks.GradientAccumulationScheduler({1: 3})], {}, [0, 1, 2],
    ),
    "no sanity checking": (list, {"num_sanity_val_steps": 0}, [0, 1, 2]),
    "much sanity checking": (list, {"num_sanity_val_steps": -1}, [0, 1, 2]),
    "overfit_batches": (list, {"overfit_batches": 1}, [0, 1, 2]),
    "limited batches": (list, {"limit_train_batches": 2, "limit_val_batches": 1}, [0, 1, 2]),
    "no validation batches": (list, {"limit_val_batches": 0}, [0, 1, 2]),
    "validation within an epoch": (list, {"val_check_interval": 1}, [0, 1, 2]),
    "validation every other epoch": (list, {"check_val_every_n_epoch": 2, "max_epochs": 3}, [0, 1, 2, 3]),
    "loaders made anew": (list, {"reload_dataloaders_every_n_epochs": 1}, [0, 1, 2]),
    "an end in the middle of an epoch": (list, {"max_steps": 4, "max_epochs": -1}, [0, 1, 2]),
    "an end by time": (list, {"max_time": {"days": 1}}, [0, 1, 2]),
    "the detection of anomalies": (list, {"detect_anomaly": True}, [0, 1, 2]),
    "a profiler": (list, {"profiler": "simple"}, [0, 1, 2]),
    "no inference mode": (list, {"inference_mode": False}, [0, 1, 2]),
    "deterministic algorithms": (list, {"deterministic": True}, [0, 1, 2]),
    "a backbone that is unfrozen": (
        lambda: [Unfreezes()], {"max_epochs": 3}, [0, 1, 2, 3],
    ),
    "a pruned layer": (
        lambda: [LIGHTNING.callbacks.ModelPruning("l1_unstructured", amount=0.3, parameter_names=["weight"])],
        {"max_epochs": 2}, [0, 1, 2],
    ),
}  # fmt: skip


class Unfreezes(LIGHTNING.callbacks.BaseFinetuning):
    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.net.conv)

    def finetune_function(self, pl_module, epoch, optimizer):
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.net.conv, optimizer)


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_beside_it_training_is_the_same_bit_for_bit_and_every_epoch_is_recorded(neighbour, tmp_path):
    make_callbacks, options, steps = NEIGHBOURS[neighbour]
    options = {"default_root_dir": tmp_path, **options}
    with_it, sink = trained(make_callbacks, **options)
    without, _ = trained(make_callbacks, ours=False, **options)
    torch.use_deterministic_algorithms(False)
    assert same(with_it, without)
    assert sink.steps(TAG) == steps


def files_of(folder):
    return {path.relative_to(folder): path.stat().st_size for path in sorted(folder.rglob("*.ckpt"))}


def logged(folder):
    """Everything that Lightning's own TensorBoard logger wrote."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_checkpoints_loggers_and_learning_rates_are_the_same(tmp_path):
    importlib.import_module("torch.utils.tensorboard")  # the first import of it moves NumPy's generator
    results = {}
    for ours in (True, False):
        folder = tmp_path / str(ours)
        loggers = [
            LIGHTNING.loggers.TensorBoardLogger(folder, name="board", version=1),
            LIGHTNING.loggers.CSVLogger(folder, name="table", version=1),
        ]
        saves = LIGHTNING.callbacks.ModelCheckpoint(folder / "saved", monitor="val_loss", save_last=True)
        own = [LayerVizCallback(PROBE)] if ours else []
        result, _ = outcome(
            scheduled, list, *own, saves, LIGHTNING.callbacks.LearningRateMonitor(), logger=loggers,
            enable_checkpointing=True,
        )  # fmt: skip
        saved = torch.load(saves.best_model_path, weights_only=True)
        results[ours] = {
            "result": result,
            "saved": {
                key: saved[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "loops")
            },
            "names": list(files_of(folder)),
            "board": logged(folder / "board" / "version_1"),
            "table": (folder / "table" / "version_1" / "metrics.csv").read_text(),
        }
    assert same(results[True], results[False])
    assert "lr-SGD" in results[True]["board"]
    assert (tmp_path / "True" / "board" / "version_1" / "layerviz").is_dir()  # the first logger's folder
    assert not (tmp_path / "True" / "table" / "version_1" / "layerviz").exists()


def tuned(kind, folder, *, ours):
    """Tune, then train in the same trainer; what was recorded, the tuner's finding and the outcome."""
    sink, found = ListSink(), []
    own = [LayerVizCallback(log_dir=sink, views=[Shapes()], layers="*")] if ours else []

    def fit_after_tuning(trainer, module):
        tuner = LIGHTNING.tuner.Tuner(trainer)
        if kind == "lr_find":
            finder = tuner.lr_find(module, num_training=8)
            found.append((finder.results, finder.suggestion()))
        else:
            found.append(tuner.scale_batch_size(module, max_trials=2, init_val=2, steps_per_trial=2))
        assert sink.calls == [] and sink.pictures == []
        trainer.fit(module)

    seed_all()
    module = scheduled()
    trainer = small_trainer(*own, default_root_dir=folder)
    fit_after_tuning(trainer, module)
    state = {"weights": dict(module.state_dict()), "optimizer": trainer.optimizers[0].state_dict()}
    return sink, {"found": found, "lr": module.lr, "batch": module.batch_size, "order": module.order, **state}


@pytest.mark.parametrize("kind", ["lr_find", "scale_batch_size"])
def test_a_tuner_makes_no_pictures_and_finds_the_same(kind, tmp_path):
    sink, with_it = tuned(kind, tmp_path, ours=True)
    _, without = tuned(kind, tmp_path, ours=False)
    assert same(with_it, without)
    assert sink.steps(TAG) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["LearningRateFinder", "BatchSizeFinder"])
def test_a_finder_that_runs_within_fit_makes_no_pictures(kind, tmp_path):
    def finder():
        if kind == "LearningRateFinder":
            return [LIGHTNING.callbacks.LearningRateFinder(num_training_steps=8)]
        return [LIGHTNING.callbacks.BatchSizeFinder(max_trials=2, steps_per_trial=2)]

    with_it, sink = trained(finder, default_root_dir=tmp_path)
    without, _ = trained(finder, ours=False, default_root_dir=tmp_path)
    assert same(with_it, without)
    assert sink.steps(TAG) == [0, 1, 2]


def test_fast_dev_run_trains_the_same(tmp_path):
    with_it, sink = trained(list, fast_dev_run=True, default_root_dir=tmp_path)
    assert same(with_it, trained(list, ours=False, fast_dev_run=True, default_root_dir=tmp_path)[0])
    assert sink.calls == []


def test_validate_test_and_predict_after_a_fit_write_nothing(tmp_path):
    sink = ListSink()
    module = digit_net(
        test_step=lambda self, batch, batch_idx: None,
        predict_step=lambda self, batch, batch_idx: self(batch[0]),
    )
    trainer = small_trainer(LayerVizCallback(log_dir=sink, views=[Shapes()]), default_root_dir=tmp_path)
    trainer.fit(module, *loaders())
    before = len(sink.calls), len(sink.pictures)
    trainer.validate(module, val_loader(), verbose=False)
    trainer.test(module, val_loader(), verbose=False)
    trainer.predict(module, val_loader())
    assert (len(sink.calls), len(sink.pictures)) == before


def resumed(folder, name, *, middle, every=None):
    """Train for 2 epochs (or into the third), then on to 4; the folder of events, the last step."""
    options = {"name": name, "default_root_dir": folder}
    callback = LayerVizCallback(log_dir=folder, views=[Filters()], every_n_steps=every)
    first = small_trainer(callback, max_epochs=-1 if middle else 2, max_steps=8 if middle else -1, **options)
    first.fit(digit_net(name), *loaders())
    first.save_checkpoint(folder / "first.ckpt")
    again = LayerVizCallback(log_dir=folder, views=[Filters()], every_n_steps=every)
    last = small_trainer(again, max_epochs=4, **options)
    last.fit(digit_net(name), *loaders(), ckpt_path=folder / "first.ckpt")
    return folder / "layerviz", last.global_step


@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize(
    ("middle", "every"), [(False, None), (False, 1), (False, 4), (True, None), (True, 1)]
)
def test_a_resumed_run_loses_and_doubles_no_step(tmp_path, name, middle, every):
    folder, trained_steps = resumed(tmp_path, name, middle=middle, every=every)
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    steps = [event.step for event in events.Tensors("filters/02_net.conv")]
    assert steps == (list(range(5)) if every is None else list(range(0, trained_steps + 1, every)))


def test_a_resumed_training_is_the_same_bit_for_bit(tmp_path):
    def run(ours):
        own = [LayerVizCallback(log_dir=ListSink(), views=[Shapes()])] if ours else []
        folder = tmp_path / str(ours)
        seed_all()
        first = small_trainer(*own, max_epochs=2)
        first.fit(scheduled())
        first.save_checkpoint(folder / "first.ckpt")
        own = [LayerVizCallback(log_dir=ListSink(), views=[Shapes()])] if ours else []
        seed_all()
        module = scheduled()
        last = small_trainer(*own, max_epochs=4)
        last.fit(module, ckpt_path=folder / "first.ckpt")
        return dict(module.state_dict()), last.optimizers[0].state_dict(), module.order

    assert same(run(True), run(False))


def named(module, inputs):
    return module(inputs)


def copies(callback):
    return {
        "copy.deepcopy": copy.deepcopy(callback),
        "pickle": pickle.loads(pickle.dumps(callback)),
    }


def test_a_copy_made_before_a_fit_has_the_same_arguments_and_records_by_itself(tmp_path):
    callback = LayerVizCallback(
        Probe(PROBE, names=["a", "b", "c"]), forward=named, log_dir=tmp_path / "logs", layers="net.conv",
        views=[Shapes()], every_n_epochs=3,
    )  # fmt: skip
    for twin in copies(callback).values():
        assert type(twin) is LayerVizCallback and twin.state_key == callback.state_key
        assert (
            twin.forward is named and twin.probe.names == ("a", "b", "c") and twin.probe is not callback.probe
        )
        small_trainer(twin, max_epochs=1).fit(digit_net(), train_loader())
    assert len(list((tmp_path / "logs").iterdir())) == 2  # one run each
    assert callback.location.endswith("layerviz")


@pytest.mark.parametrize("way", ["copy.deepcopy", "pickle"])
def test_a_copy_made_after_a_fit_starts_afresh(tmp_path, way):
    callback = LayerVizCallback(log_dir=tmp_path / "logs", views=[Shapes()])
    module = digit_net()
    small_trainer(callback, max_epochs=1).fit(module, *loaders())
    assert callback.state_dict() != {}
    twin = copies(callback)[way]
    assert twin.state_dict() == {}  # the samples that were taken are the original's
    small_trainer(twin, max_epochs=1).fit(module, *loaders())
    small_trainer(callback, max_epochs=1).fit(module, *loaders())
    runs = {path.name: steps_in(path) for path in sorted((tmp_path / "logs").iterdir())}
    assert runs == {"layerviz": [0, 1, 2], "layerviz-2": [0, 1]} or runs == {
        "layerviz": [0, 1], "layerviz-2": [0, 1, 2],
    }  # fmt: skip


def steps_in(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return [event.step for event in events.Tensors(TAG)]


def test_a_copy_made_within_a_fit_does_not_know_of_it(tmp_path):
    twins = []

    class Copies(LIGHTNING.Callback):
        def on_train_batch_end(self, trainer, *_):
            twins.extend(copies(trainer.callbacks[0]).values())

    callback = LayerVizCallback(log_dir=tmp_path / "logs", views=[Shapes()])
    small_trainer(callback, Copies(), max_epochs=1).fit(digit_net(), train_loader())
    sink_folder = tmp_path / "logs" / "layerviz"
    assert steps_in(sink_folder) == [0, 1]
    twin = twins[0]
    small_trainer(twin, max_epochs=1).fit(digit_net(), train_loader())
    assert steps_in(tmp_path / "logs" / "layerviz-2") == [0, 1]


def test_a_subclass_with_attributes_of_its_own_is_copied_with_them():
    class Mine(LayerVizCallback):
        def __init__(self, note):
            super().__init__(PROBE)
            self.note = note

    assert copy.deepcopy(Mine(["a"])).note == ["a"]


def test_nothing_is_said_but_the_coverage_line_and_the_bill(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="layerviz_callbacks")
    trained(list, logger=LIGHTNING.loggers.CSVLogger(tmp_path))
    told = [record.getMessage() for record in caplog.records if record.name == "layerviz_callbacks"]
    assert len(told) == 2
    assert "layers pictured" in told[0]
    assert told[1].startswith("Recorded 3 steps: ")
