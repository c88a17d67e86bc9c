"""Networks that truly have an illness get its verdict, in real trainings; healthy ones get none at any step.

Small networks learn scikit-learn's digits. What a verdict says is looked for wherever a user finds it: in
`report()`, in the log and in TensorBoard's text.
"""

import struct

import pytest

pytest.importorskip("sklearn")
torch = pytest.importorskip("torch")

from tensorboard.compat.proto.event_pb2 import Event  # noqa: E402
from torch import nn  # noqa: E402

from layerviz_callbacks import views  # noqa: E402
from layerviz_callbacks.demo.digits import load_digits  # noqa: E402
from layerviz_callbacks.health import Verdict  # noqa: E402
from layerviz_callbacks.torch import attach  # noqa: E402

DIGITS = load_digits()
IMAGES = torch.from_numpy(DIGITS.train_images[:, None])
LABELS = torch.from_numpy(DIGITS.train_labels)
WELL = "Nothing is wrong with the layers, as far as was looked."
KILLED, KILLED_IN = 11, 3
"""So many channels are killed, at the beginning of this epoch."""


def values_in(folder):
    """Step and value of all that a TensorBoard folder holds.

    A record is the length of its data in 8 bytes, a checksum in 4, the data, and another checksum.
    """
    (path,) = folder.glob("events.out.tfevents.*")
    data, start, found = path.read_bytes(), 0, []
    while start < len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        event = Event.FromString(data[start + 12 : start + 12 + length])
        found += [(event.step, value) for value in event.summary.value]
        start += 16 + length
    return found


class Told:
    """All that was told of the layers' health in a training: where, and of which steps."""

    def __init__(self, report, folder, records):
        values = values_in(folder / "layerviz")
        plugins = {}
        for _, value in values:
            plugins.setdefault(value.tag, set()).add(value.metadata.plugin_data.plugin_name)
        assert plugins["health/verdicts"] == {"text"} and plugins["health/look here first"] == {"images"}
        assert all(len(names) == 1 for names in plugins.values()), "TensorBoard shows one kind a tag"
        self.texts = {
            step: value.tensor.string_val[0].decode().replace("\\", "")
            for step, value in values
            if value.tag == "health/verdicts"
        }
        self.drawn = {tag for tag, names in plugins.items() if names == {"images"}}
        self.report = report
        self.logged = [
            given for record in records for given in record.args or () if isinstance(given, Verdict)
        ]

    def verdicts(self):
        """Those of the last step: each was told everywhere, and no other one at any step."""
        found = list(self.report)
        assert found and {one.tag for one in found} <= {"", *self.drawn}
        named = {(one.layer, one.illness, one.since) for one in found}
        assert {(one.layer, one.illness, one.since) for one in self.logged} == named
        assert len(self.logged) == len(named) == len(found), "once in the log"
        rows = self.texts[max(self.texts)].splitlines()[2:]
        expected = [
            f"| {place} | {one.layer or 'model'} | {one.words} | {one.when} | {one.tag} | {one.advice} |"
            for place, one in enumerate(found, start=1)
        ]
        assert rows == expected
        first, *lines = str(self.report).splitlines()
        assert first.endswith(": look here first")
        assert lines == [f"{place}. {one}" for place, one in enumerate(found, start=1)]
        assert min(self.texts) == 0 and (self.texts[0] == WELL) == (min(one.since for one in found) > 0)
        return found

    def nothing(self):
        """Whether nothing was told, at any step."""
        return not list(self.report) and not self.logged and self.texts == {0: WELL}


@pytest.fixture
def trained(tmp_path, caplog):
    """Train in a loop of one's own; what was told."""

    def train(model, optimizer, *, epochs=4, samples=4, before_epoch=None):
        wanted = [views.FeatureMaps(), views.Health()]
        with attach(
            model, DIGITS.held_out_images[:samples, None], log_dir=tmp_path, views=wanted,
            optimizer=optimizer, on_error="raise", budget=None,
        ) as record:  # fmt: skip
            for epoch in range(1, epochs + 1):
                if before_epoch is not None:
                    before_epoch(epoch)
                for part in torch.randperm(len(IMAGES)).split(64):
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(model(IMAGES[part]), LABELS[part]).backward()
                    optimizer.step()
                record(epoch)
        return Told(record.report(), tmp_path, caplog.records)

    return train


def convolutional(activation=nn.ReLU):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), activation(), nn.Conv2d(8, 16, 3, padding=1), activation(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 32), activation(), nn.Linear(32, 10),
    )  # fmt: skip


def deep(depth, activation):
    hidden = [(nn.Linear(64 if not k else 32, 32), activation()) for k in range(depth)]
    return nn.Sequential(nn.Flatten(), *(part for pair in hidden for part in pair), nn.Linear(32, 10))


class Rows(nn.Module):
    """Attention among the eight rows of a digit."""

    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Linear(8, 16), nn.Parameter(torch.randn(8, 16) / 2)
        self.attention, self.head = nn.MultiheadAttention(16, 4, batch_first=True), nn.Linear(128, 10)

    def forward(self, images):
        rows = self.embed(images.squeeze(1)) + self.place
        return self.head((rows + self.attention(rows, rows, rows)[0]).flatten(1))


def adam(model, rate=2e-3):
    return torch.optim.Adam(model.parameters(), rate)


def sgd(model, rate=0.05):
    return torch.optim.SGD(model.parameters(), rate)


@pytest.mark.parametrize("samples", [2, 4, 16])
def test_a_healthy_network_gets_no_verdict_at_any_step(samples, trained):
    model = convolutional()
    assert trained(model, adam(model), epochs=8, samples=samples).nothing()


HEALTHY = {
    "tanh": lambda: convolutional(nn.Tanh),
    "attention": Rows,
    "a deep rectifier net": lambda: deep(5, nn.ReLU),
}


@pytest.mark.parametrize("build", HEALTHY.values(), ids=HEALTHY)
def test_other_healthy_networks_get_no_verdict_at_any_step(build, trained):
    model = build()
    assert trained(model, adam(model)).nothing()


OPTIMIZERS = {"sgd": (sgd, KILLED_IN), "adam, whose momentum goes on for an epoch": (adam, KILLED_IN + 1)}


@pytest.mark.parametrize(("optimizer", "since"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_killed_relus_are_told_since_the_epoch_in_which_they_stood_still(optimizer, since, trained):
    model = convolutional()

    def kill(epoch):
        if epoch == KILLED_IN:
            with torch.no_grad():
                model[2].bias[:KILLED] = -50

    (verdict,) = trained(model, optimizer(model), before_epoch=kill, epochs=6).verdicts()
    with torch.no_grad():
        never = int((model[:4](IMAGES).amax((0, 2, 3)) == 0).sum())  # zero on every image there is
    dead, rest = verdict.words.split(" ", 1)
    assert KILLED <= never <= int(dead) <= never + 1  # a unit may be dead for no longer than an epoch
    assert f"{rest} since {verdict.when}" == f"of 16 channels behind 3 are dead since epoch {since}"
    assert (verdict.layer, verdict.illness, verdict.since) == ("2", "dead channels", since)
    assert verdict.tag == "feature maps/03_2"


def test_a_learning_rate_that_is_too_high_is_told(trained):
    model = convolutional()
    (verdict,) = trained(model, adam(model, 0.3)).verdicts()
    assert verdict.illness == "updates too large" and verdict.since == 2
    assert verdict.advice.startswith("Lower the learning rate")


def test_a_learning_rate_that_ends_in_nan_is_told_as_that_alone(trained):
    model = deep(2, nn.Identity)
    (verdict,) = trained(model, sgd(model, 50.0)).verdicts()
    assert (verdict.layer, verdict.illness, verdict.since) == ("1", "not finite", 1)
    assert verdict.words == "100 % of its weights are NaN or infinite, and 2 other layers hold some"


def test_filters_that_began_alike_are_told_to_be_duplicates(trained):
    model = convolutional()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.02)
    found = trained(model, adam(model)).verdicts()
    assert [(one.layer, one.illness, one.since) for one in found] == [
        ("2", "duplicate filters", 0), ("6", "duplicate filters", 0),
    ]  # fmt: skip
    assert {one.words for one in found} == {"100 % of its filters are the same as another one"}


def test_saturated_tanh_units_are_told(trained):
    model = deep(2, nn.Tanh)
    with torch.no_grad():
        model[1].weight.mul_(50)
    (verdict,) = trained(model, adam(model)).verdicts()
    assert (verdict.layer, verdict.illness, verdict.since) == ("1", "saturated", 0)
    assert verdict.words.endswith("of its outputs behind 2 are at a bound")


def test_attention_heads_that_look_at_one_key_are_told(trained):
    model = Rows()
    with torch.no_grad():
        model.attention.in_proj_bias[:16] = 200  # of the queries: what they ask for is all the same
    (verdict,) = trained(model, adam(model)).verdicts()
    assert (verdict.layer, verdict.illness, verdict.since) == ("attention", "collapsed attention heads", 0)
    assert verdict.words.endswith("at one key of 8, whatever the query")


def test_gradients_that_vanish_in_a_deep_sigmoid_net_are_told(trained):
    model = deep(8, nn.Sigmoid)
    (verdict,) = trained(model, sgd(model)).verdicts()
    assert (verdict.layer, verdict.illness, verdict.since) == ("1", "vanishing gradients", 1)
    assert verdict.words.startswith("gradients vanish between 1 and 17")


def test_layers_that_the_optimizer_was_not_given_are_told(trained):
    model = convolutional()
    (verdict,) = trained(model, sgd(model[-1])).verdicts()
    assert (verdict.layer, verdict.illness, verdict.since) == ("0", "weights do not move", 2)
    assert verdict.words == "its weights have not moved, though they are trainable; nor have those of 2, 6"


def test_a_learning_rate_of_zero_is_told_of_the_model(trained):
    model = convolutional()
    (verdict,) = trained(model, adam(model, 0.0)).verdicts()
    assert (verdict.layer, verdict.illness, verdict.since) == ("", "weights do not move", 2)
    assert verdict.words == "the weights of all 4 trainable layers have not moved"


@pytest.fixture
def fitted(tmp_path, caplog):
    """Train a convolutional network in Keras; what was told, by how many samples the probe had."""
    keras = pytest.importorskip("keras")
    from layerviz_callbacks.keras import LayerVizCallback

    def fit(optimizer, *, epochs=4, samples=(4,), before_epoch=None, **options):
        layers = keras.layers
        same = {"padding": "same", "activation": "relu", **options}
        model = keras.Sequential([
            keras.Input((8, 8, 1)), layers.Conv2D(8, 3, name="conv1", **same),
            layers.Conv2D(16, 3, name="conv2", **same), layers.MaxPooling2D(), layers.Flatten(),
            layers.Dense(32, activation="relu", name="dense", **options),
            layers.Dense(10, name="head", **options),
        ])  # fmt: skip
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        pictures = {
            count: LayerVizCallback(
                DIGITS.held_out_images[:count, ..., None], log_dir=tmp_path / f"{count}",
                views=[views.FeatureMaps(), views.Health()], on_error="raise", budget=None,
            )
            for count in samples
        }  # fmt: skip
        before = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: before_epoch and before_epoch(model, epoch + 1)
        )
        model.fit(
            DIGITS.train_images[..., None], DIGITS.train_labels, batch_size=64, epochs=epochs, verbose=0,
            callbacks=[before, *pictures.values()],
        )  # fmt: skip
        return {
            count: Told(callback.report(), tmp_path / f"{count}", caplog.records)
            for count, callback in pictures.items()
        }

    return fit


def test_a_healthy_keras_network_gets_no_verdict_at_any_step(fitted):
    told = fitted("adam", epochs=8, samples=(2, 4, 16))
    assert [one.nothing() for one in told.values()] == [True] * 3


def test_killed_relus_in_keras_are_told_since_the_epoch_in_which_they_stood_still(fitted):
    def kill(model, epoch):
        if epoch == KILLED_IN:
            bias = model.get_layer("conv2").bias
            bias.assign([-50.0] * KILLED + [0.0] * 5)

    (verdict,) = fitted("sgd", epochs=5, before_epoch=kill)[4].verdicts()
    assert str(verdict) == "conv2: 11 of 16 channels are dead since epoch 3/5 (see feature maps/02_conv2)"


def test_a_learning_rate_that_is_too_high_is_told_in_keras(fitted):
    keras = pytest.importorskip("keras")
    (verdict,) = fitted(keras.optimizers.Adam(0.3))[4].verdicts()
    assert verdict.illness == "updates too large" and verdict.since == 2


def test_filters_that_began_alike_are_told_to_be_duplicates_in_keras(fitted):
    keras = pytest.importorskip("keras")
    found = fitted("adam", kernel_initializer=keras.initializers.Constant(0.02))[4].verdicts()
    assert [(one.layer, one.illness, one.since) for one in found] == [
        ("conv2", "duplicate filters", 0), ("dense", "duplicate filters", 0),
    ]  # fmt: skip
