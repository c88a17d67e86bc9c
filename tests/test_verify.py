"""`verify`: it finds a training untouched where it is, and names what a careless view or reader disturbs."""

from __future__ import annotations

import os

import keras
import numpy as np
import pytest
import torch
from torch import nn

import layerviz_callbacks
from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.keras import verify as verify_keras
from layerviz_callbacks.keras.reader import KerasReader
from layerviz_callbacks.lightning import verify as verify_lightning
from layerviz_callbacks.torch import TorchReader
from layerviz_callbacks.torch import verify as verify_torch
from layerviz_callbacks.verification import Verification, leaves, verified
from layerviz_callbacks.views import Filters


def images(count=12):
    generator = np.random.default_rng(5)
    return generator.normal(size=(count, 6, 6, 1)).astype("float32"), generator.integers(0, 3, count)


def keras_batches():
    x, y = images()
    return [(x[:6], y[:6]), (x[6:], y[6:])]


def torch_batches():
    x, y = images()
    x = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    return [(x[:6], torch.from_numpy(y[:6])), (x[6:], torch.from_numpy(y[6:]))]


def keras_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Flatten(),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.3),
            layers.Dense(3, name="head"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(48, 3)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.conv(x)).flatten(1)))


def torch_training():
    model = Net()
    return model, torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()


def torch_training_by_steps():
    model, optimizer, loss = torch_training()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)

    def step(batch):
        optimizer.zero_grad()
        value = loss(model(batch[0]), batch[1])
        value.backward()
        optimizer.step()
        schedule.step()
        return value.item()

    return model, step


def lightning_module():
    import lightning

    class LitNet(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, batch_idx):
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    return LitNet()


class DrawsRandomNumbers(Filters):
    """A view that is no pure function: it disturbs the training's random numbers."""

    def draw_layer(self, layer, snapshot):
        np.random.rand()  # noqa: NPY002
        return super().draw_layer(layer, snapshot)


def disturbing(kind, method, disturb):
    """The reader of a framework, careless: it does something to the model at each reading."""
    honest = getattr(kind, method)

    def read(self, request):
        disturb(self.model)
        return honest(self, request)

    return read


def test_an_honest_callback_is_found_to_leave_a_keras_training_untouched():
    found = verify_keras(keras_model, keras_batches(), steps=3)
    assert found.untouched and found.differences == ()
    assert found.steps == 3
    assert found.pictures >= 4 * 2  # step 0 and three steps, filters and feature maps
    assert found.compared["weights"] >= 6 and found.compared["optimizer variables"] >= 8
    assert {"metrics", "history entries", "modes", "random states"} <= found.compared.keys()
    assert "Training is untouched: after 3 steps" in str(found)
    assert f"{found.compared['weights']} weights" in str(found)


def test_a_view_that_draws_random_numbers_is_named_by_what_it_disturbs():
    found = verify_keras(keras_model, keras_batches(), steps=1, views=[DrawsRandomNumbers()])
    assert not found.untouched and found.unrepeatable == ()
    assert ("random states", "NumPy") in {(one.group, one.name) for one in found.differences}
    assert "Training is changed by the callback" in str(found) and "NumPy (another state)" in str(found)


def test_a_keras_reader_that_trains_is_named_by_the_statistics_it_moves(monkeypatch):
    x = images()[0]

    def disturb(model):
        model(x, training=True)

    monkeypatch.setattr(KerasReader, "read", disturbing(KerasReader, "read", disturb))
    found = verify_keras(keras_model, keras_batches(), steps=1)
    by_name = {(one.group, one.name): one for one in found.differences}
    assert by_name["weights", "norm/moving_mean"].largest > 0
    assert "weights: norm/moving_mean (largest difference" in str(found)


def test_a_model_that_is_random_by_itself_is_not_blamed_on_the_callback():
    def model():
        made = keras_model()
        seed = int.from_bytes(os.urandom(2), "little")
        made.get_layer("head").kernel.assign(np.random.default_rng(seed).normal(size=(36, 3)))
        return made

    found = verify_keras(model, keras_batches(), steps=1)
    assert not found.untouched and found.differences == ()
    assert ("weights", "head/kernel") in {(one.group, one.name) for one in found.unrepeatable}
    assert "Nothing can be told" in str(found) and "changed by the callback" not in str(found)


@pytest.mark.parametrize("make", [torch_training, torch_training_by_steps])
def test_an_honest_attachment_is_found_to_leave_a_torch_training_untouched(make):
    found = verify_torch(make, torch_batches())
    assert found.untouched and found.steps == 4 and found.pictures >= 5 * 2 * 2
    assert found.compared["weights"] == 6 and found.compared["buffers"] == 3
    assert found.compared["gradients"] == 6 and found.compared["results of steps"] == 4
    assert found.compared["optimizer entries"] > 6 * 3


@pytest.mark.parametrize("verify", ["torch", "lightning"])
def test_a_torch_reader_that_leaves_evaluation_mode_on_is_named(monkeypatch, verify):
    monkeypatch.setattr(TorchReader, "read", disturbing(TorchReader, "read", lambda model: model.eval()))
    if verify == "torch":
        found, inside = verify_torch(torch_training, torch_batches(), steps=2), ""
    else:
        found, inside = verify_lightning(lightning_module, torch_batches(), steps=2), "net."
    names = {(one.group, one.name): one for one in found.differences}
    assert names["modes", f"{inside}drop.training"].note == "True without, False with"
    assert names["buffers", f"{inside}norm.running_mean"].largest > 0


def test_an_honest_callback_is_found_to_leave_a_lightning_training_untouched():
    found = verify_lightning(lightning_module, torch_batches(), steps=3)
    assert found.untouched and found.pictures >= 4 * 2 * 2
    assert found.compared["weights"] == 6 and found.compared["metrics"] == 1
    assert "optimizer entries" in found.compared


def test_the_framework_is_found_from_what_is_made():
    counts = {
        "results of steps": (torch_training, torch_batches()),
        "counters": (lightning_module, torch_batches()),
    }
    for group, (make, batches) in counts.items():
        found = layerviz_callbacks.verify(make, batches, steps=1)
        assert found.untouched and group in found.compared


def test_keras_2_models_are_verified_through_the_same_door():
    tf_keras = pytest.importorskip("tf_keras")

    def model():
        layers = tf_keras.layers
        made = tf_keras.Sequential(
            [
                tf_keras.Input((6, 6, 1)), layers.Flatten(), layers.BatchNormalization(name="norm"),
                layers.Dropout(0.3), layers.Dense(3),
            ]
        )  # fmt: skip
        made.compile(
            "adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
        )
        return made

    found = layerviz_callbacks.verify(model, keras_batches(), steps=2)
    assert found.untouched and found.compared["weights"] >= 6 and found.compared["optimizer variables"] >= 8
    disturbed = verify_keras(model, keras_batches(), steps=1, views=[DrawsRandomNumbers()])
    assert ("random states", "NumPy") in {(one.group, one.name) for one in disturbed.differences}


def test_what_cannot_be_verified_is_refused_with_what_to_type():
    model = keras_model()
    with pytest.raises(ArgumentError, match="the same model twice"):
        verify_keras(lambda: model, keras_batches())
    with pytest.raises(ArgumentError, match=r"not compiled. Call model\.compile"):
        verify_keras(lambda: keras.Sequential([keras.Input((6, 6, 1))]), keras_batches())
    with pytest.raises(ArgumentError, match="batches is empty"):
        verify_keras(keras_model, [])
    with pytest.raises(ArgumentError, match="Pass a list of batches"):
        verify_keras(keras_model, images()[0])
    with pytest.raises(ArgumentError, match="steps=0 is not a count"):
        verify_torch(torch_training, torch_batches(), steps=0)
    with pytest.raises(ArgumentError, match=r"gave \(Net\). Allowed: \(model, step\)"):
        verify_torch(Net, torch_batches())
    trained = torch_training()
    with pytest.raises(ArgumentError, match="the same model twice"):
        verify_torch(lambda: trained, torch_batches())
    with pytest.raises(ArgumentError, match="Allowed: a function that makes a LightningModule"):
        verify_lightning(Net, torch_batches())
    with pytest.raises(ArgumentError, match=r"makes a builtins\.int"):
        layerviz_callbacks.verify(lambda: 3, [])


def test_what_differs_is_told_apart_from_what_is_never_the_same():
    without, again = (
        {"metrics": {"a": np.zeros(2), "b": np.full(2, value), "c": np.array([np.nan, 1.0])}}
        for value in (1, 0)
    )
    changed = {"a": np.array([0.0, -0.5]), "b": np.ones(3), "c": np.array([np.nan, 1.0]), "d": np.ones(1)}
    runs = iter([without, {"metrics": changed}, again])
    found = verified(lambda sink: next(runs), steps=5)
    assert [(one.name, one.largest, one.note) for one in found.differences] == [
        ("a", 0.5, ""), ("d", None, "only with the callback")
    ]  # fmt: skip
    assert [(one.name, one.largest) for one in found.unrepeatable] == [("b", 1.0)]
    assert str(found).endswith("Identical: 1 metrics.")


def test_bits_are_compared_not_numbers():
    def train(sink):
        return {"weights": {"zero": np.array([0.0 if sink is None else -0.0])}}

    assert [one.name for one in verified(train, steps=1).differences] == ["zero"]


def test_a_long_list_of_differences_is_cut_short_in_the_report():
    def train(sink):
        return {"weights": {str(place): np.array([float(sink is not None)]) for place in range(30)}}

    report = str(verified(train, steps=1))
    assert len(report.splitlines()) < 20 and "and 18 more" in report


def test_a_verification_cannot_be_changed():
    with pytest.raises(AttributeError):
        Verification(steps=1, pictures=0).steps = 2


def test_nests_are_named_by_path():
    assert dict(leaves({"state": {3: [1, {"x": 2}]}})) == {"state/3/0": 1, "state/3/1/x": 2}
