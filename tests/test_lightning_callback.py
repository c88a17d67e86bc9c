"""The callback in Lightning's Trainers: steps, folders, faults."""

import logging
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from fakes import ListSink, Shapes
from lightning_models import NAMESPACES, digit_net, namespace, small_trainer, train_loader, val_loader
from torch_models import images

from layerviz_callbacks import ArgumentError, CallbackInUseError, ProbeError, SelectionError
from layerviz_callbacks.lightning import LayerVizCallback
from layerviz_callbacks.sinks import Folder

pytestmark = pytest.mark.filterwarnings("ignore")
TAG = "shapes/02_net.conv"
PROBE = images(3)[0]


def recorded(*, validate=True, trainer=None, module=None, **options):
    """Train with a callback into a ListSink; the callback and the sink."""
    sink = ListSink()
    callback = LayerVizCallback(**{"probe": PROBE, "log_dir": sink, "views": [Shapes()], **options})
    loaders = [train_loader(), val_loader()] if validate else [train_loader()]
    small_trainer(callback, **(trainer or {})).fit(module or digit_net(), *loaders)
    return callback, sink


@pytest.mark.parametrize("name", NAMESPACES)
def test_step_0_is_before_training_and_step_k_after_epoch_k(name):
    _, sink = recorded(trainer={"name": name, "max_epochs": 3}, module=digit_net(name))
    assert [entry for entry in sink.pictures if entry[1] == TAG] == [
        (0, TAG, "before training"),
        (1, TAG, "epoch 1/3"),
        (2, TAG, "epoch 2/3"),
        (3, TAG, "epoch 3/3"),
    ]
    assert sink.calls[0] == ("open", 0) and sink.calls[-1] == ("close",)


def test_step_0_shows_the_weights_before_anything_was_stepped():
    module = digit_net()
    before = module.net.conv.weight.detach().clone().numpy()
    kernels = []

    class Kernels(Shapes):
        needs = frozenset({"weights"})

        def draw_layer(self, layer, snapshot):
            kernels.append(layer.kernel)
            return []

    recorded(module=module, views=[Kernels()], layers="net.conv")
    np.testing.assert_array_equal(kernels[0], before)
    np.testing.assert_array_equal(kernels[-1], module.net.conv.weight.detach().numpy())
    assert not np.array_equal(kernels[0], kernels[-1])


def test_only_what_is_due_and_the_last_epoch_are_recorded():
    _, sink = recorded(every_n_epochs=2, trainer={"max_epochs": 3})
    assert sink.steps(TAG) == [0, 2, 3]


def test_the_last_epoch_is_recorded_where_training_is_stopped_early():
    class Stop(namespace().Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.should_stop = trainer.current_epoch == 2

    sink = ListSink()
    callback = LayerVizCallback(PROBE, log_dir=sink, views=[Shapes()], every_n_epochs=4)
    small_trainer(callback, Stop(), max_epochs=9).fit(digit_net(), train_loader())
    assert sink.steps(TAG) == [0, 3]


def test_optimizer_steps_are_counted_where_asked_for():
    # 3 batches an epoch, one step for two of them and one for the rest: 2 steps an epoch
    _, sink = recorded(every_n_steps=2, trainer={"max_epochs": 2, "accumulate_grad_batches": 2})
    assert sink.steps(TAG) == [0, 2, 4]


def test_metrics_come_with_the_epoch():
    seen = {}

    class Metrics(Shapes):
        def draw_layer(self, layer, snapshot):
            seen[snapshot.step] = sorted(snapshot.metrics)
            return []

    recorded(views=[Metrics()])
    assert seen[0] == [] and seen[2] == ["train_loss", "val_loss"]


def test_nothing_is_recorded_in_validate_test_and_predict():
    sink = ListSink()
    callback = LayerVizCallback(PROBE, log_dir=sink, views=[Shapes()])
    trainer = small_trainer(callback)
    module = digit_net(
        test_step=lambda self, batch, batch_idx: None, predict_step=lambda self, batch, batch_idx: None
    )
    trainer.validate(module, val_loader(), verbose=False)
    trainer.test(module, val_loader(), verbose=False)
    trainer.predict(module, val_loader())
    assert sink.calls == [] and sink.pictures == []


def test_fast_dev_run_makes_no_pictures_and_no_folder(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    callback = LayerVizCallback(log_dir=tmp_path / "logs")
    small_trainer(callback, fast_dev_run=True).fit(digit_net(), train_loader(), val_loader())
    assert list(tmp_path.iterdir()) == []
    told = [line.getMessage() for line in caplog.records if line.name == "layerviz_callbacks"]
    assert told == ["fast_dev_run: no pictures are made, and no folder."]


def logger_of(kind, folder, name):
    if kind is False:
        return False
    loggers = namespace(f"{name}.loggers")
    return getattr(loggers, kind)(folder, name="run", version=7)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("lightning.pytorch", "TensorBoardLogger", "run/version_7/layerviz"),
        ("lightning.pytorch", "CSVLogger", "run/version_7/layerviz"),
        ("lightning.pytorch", False, "layerviz"),
        ("pytorch_lightning", "CSVLogger", "run/version_7/layerviz"),
    ],
)
def test_pictures_go_where_the_logger_writes(tmp_path, name, kind, expected):
    callback = LayerVizCallback(PROBE)
    trainer = small_trainer(
        callback, name=name, max_epochs=1, default_root_dir=tmp_path, logger=logger_of(kind, tmp_path, name)
    )
    trainer.fit(digit_net(name), train_loader())
    assert callback.location == str(tmp_path / expected)
    assert any((tmp_path / expected).iterdir())


def test_the_given_log_dir_wins(tmp_path):
    recorded(log_dir=[tmp_path / "a", Folder(tmp_path / "b")], trainer={"max_epochs": 1})
    assert (tmp_path / "a" / "layerviz").is_dir() and any((tmp_path / "b").rglob("*.png"))


def test_a_second_fit_with_a_new_logger_folder_records_there(tmp_path):
    callback, places = LayerVizCallback(PROBE), []
    for version in (1, 2):
        logger = namespace().loggers.CSVLogger(tmp_path, name="run", version=version)
        small_trainer(callback, max_epochs=1, logger=logger).fit(digit_net(), train_loader())
        places.append(callback.location)
    assert places == [str(tmp_path / f"run/version_{version}/layerviz") for version in (1, 2)]


def test_a_second_fit_of_the_same_module_goes_on_counting():
    sink, module = ListSink(), digit_net()
    callback = LayerVizCallback(PROBE, log_dir=sink, views=[Shapes()])
    for _ in range(2):
        small_trainer(callback).fit(module, train_loader())
    assert sink.steps(TAG) == [0, 1, 2, 3, 4]


def test_a_fit_that_goes_on_in_the_same_trainer_goes_on_counting():
    sink, module = ListSink(), digit_net()
    trainer = small_trainer(LayerVizCallback(PROBE, log_dir=sink, views=[Shapes()]), max_epochs=1)
    trainer.fit(module, train_loader())
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module, train_loader())
    assert sink.steps(TAG) == [0, 1, 2, 3]


def test_a_fit_that_goes_on_keeps_its_probe():
    inputs = []

    class Inputs(Shapes):
        def draw(self, snapshot):
            inputs.append(snapshot.inputs["input"])
            return []

    module = digit_net()
    callback = LayerVizCallback(log_dir=ListSink(), views=[Inputs()])
    for _ in range(2):  # without validation data: shuffled training batches
        small_trainer(callback, max_epochs=1).fit(module, train_loader())
    assert len(inputs) == 3 and all(np.array_equal(inputs[0], other) for other in inputs)


@pytest.mark.parametrize("name", NAMESPACES)
def test_a_resumed_training_goes_on_where_it_stood(tmp_path, name):
    first = small_trainer(LayerVizCallback(log_dir=ListSink(), views=[Shapes()]), name=name)
    first.fit(digit_net(name), train_loader(), val_loader())
    first.save_checkpoint(tmp_path / "two.ckpt")
    sink = ListSink()
    callback = LayerVizCallback(log_dir=sink, views=[Shapes()])
    small_trainer(callback, name=name, max_epochs=4).fit(
        digit_net(name), train_loader(), val_loader(), ckpt_path=tmp_path / "two.ckpt"
    )
    assert sink.calls[0] == ("open", 2)
    assert [(step, caption) for step, tag, caption in sink.pictures if tag == TAG] == [
        (3, "epoch 3/4"), (4, "epoch 4/4"),
    ]  # fmt: skip


def test_a_fault_in_a_later_epoch_is_logged_once_and_training_goes_on(caplog):
    class LaterFault(Shapes):
        def draw_layer(self, layer, snapshot):
            if snapshot.step:
                raise RuntimeError("on purpose")
            return super().draw_layer(layer, snapshot)

    module = digit_net()
    _, sink = recorded(views=[LaterFault()], module=module, trainer={"max_epochs": 3})
    faults = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert len(faults) == 1 and "on purpose" in faults[0].getMessage()
    assert sink.steps(TAG) == [0] and len(module.order) == 9
    with pytest.raises(RuntimeError, match="on purpose"):
        recorded(views=[LaterFault()], on_error="raise")


def test_a_reader_that_fails_in_a_later_epoch_leaves_training_alone(caplog):
    class Moody(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fails = False

        def forward(self, x):
            if self.fails and not self.training:
                raise RuntimeError("on purpose")
            return x

    module = digit_net()
    module.net.drop = Moody()
    module.on_train_epoch_end = lambda: setattr(module.net.drop, "fails", True)
    _, sink = recorded(module=module, validate=False, trainer={"max_epochs": 3})
    assert sink.steps(TAG) == [0, 1] and len(module.order) == 9
    assert "on purpose" in caplog.text


def test_an_interrupted_training_is_closed():
    class Interrupt(namespace().Callback):
        def on_train_batch_end(self, trainer, *_):
            raise RuntimeError("crash on purpose")

    sink = ListSink()
    callback = LayerVizCallback(PROBE, log_dir=sink, views=[Shapes()])
    with pytest.raises(RuntimeError, match="crash on purpose"):
        small_trainer(callback, Interrupt()).fit(digit_net(), train_loader())
    assert sink.calls[-1] == ("close",) and sink.steps(TAG) == [0]
    small_trainer(callback).fit(digit_net(), train_loader())  # and the callback can be used again


def test_the_callback_in_two_trainers_in_parallel_threads_is_refused():
    sink, inside, finish, refused = ListSink(), threading.Event(), threading.Event(), []

    class Wait(namespace().Callback):
        def on_train_batch_end(self, *_):
            inside.set()
            finish.wait(30)

    callback = LayerVizCallback(PROBE, log_dir=sink, views=[Shapes()])
    first = threading.Thread(target=lambda: small_trainer(callback, Wait()).fit(digit_net(), train_loader()))
    first.start()
    assert inside.wait(30)
    try:
        small_trainer(callback).fit(digit_net(), train_loader())
    except CallbackInUseError as error:
        refused.append(str(error))
    finally:
        finish.set()
        first.join(60)
    assert refused and "another thread" in refused[0]
    assert sink.steps(TAG) == [0, 1, 2]  # the first training was not disturbed


def test_two_callbacks_in_one_trainer_are_told_apart(tmp_path):
    one = LayerVizCallback(log_dir=tmp_path / "a", layers="net.conv", views=[Shapes()])
    other = LayerVizCallback(log_dir=tmp_path / "b", layers="net.head", views=[Shapes()])
    trainer = small_trainer(one, other, max_epochs=1)
    trainer.fit(digit_net(), train_loader())
    trainer.save_checkpoint(tmp_path / "both.ckpt")
    assert one.state_key != other.state_key


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ArgumentError, {"every_n_epochs": 0}),
        (ArgumentError, {"every_n_steps": -1}),
        (ArgumentError, {"on_error": "ignore"}),
        (ArgumentError, {"views": [Shapes(), Shapes()]}),
        (SelectionError, {"layers": 3}),
        (ArgumentError, {"log_dir": 3}),
        (ProbeError, {"probe": np.zeros((0, 1, 8, 8))}),
        (ProbeError, {"probe": np.full((1, 1, 8, 8), np.nan)}),
    ],
)
def test_bad_arguments_raise_at_construction(error, options):
    with pytest.raises(error):
        LayerVizCallback(**options)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        (r"Did you mean 'net\.conv'", {"layers": "net.conf"}),
        (r"matches no layer", {"layers": "dense*"}),
        (r"permute\(0, 3, 1, 2\)", {"probe": np.zeros((2, 8, 8, 1))}),
        (r"An axis is missing", {"probe": np.zeros((2, 8, 8))}),
        (r"RuntimeError", {"probe": np.zeros((1, 2, 1, 8, 8))}),
        (r"astype\('float32'\)", {"probe": np.zeros((2, 1, 8, 8), np.uint8)}),
    ],
)
def test_what_does_not_fit_the_module_raises_when_training_begins(message, options):
    module = digit_net()
    with pytest.raises(ArgumentError, match=message):
        recorded(module=module, **options)
    assert module.order == []  # before the first batch was trained


def test_a_log_folder_that_cannot_be_written_raises_when_training_begins(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="file"):
        recorded(log_dir=tmp_path / "file" / "logs")


def test_float64_probes_just_work():
    _, sink = recorded(probe=np.zeros((2, 1, 8, 8)), trainer={"max_epochs": 1})
    assert sink.steps(TAG) == [0, 1]


def test_without_lightning_the_import_says_what_to_type():
    program = (
        "import sys\n"
        "hidden = ('lightning', 'lightning.pytorch', 'pytorch_lightning')\n"
        "sys.modules.update({name: None for name in hidden})\n"
        "import layerviz_callbacks.lightning"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert 'pip install "layerviz_callbacks[lightning]"' in result.stderr
