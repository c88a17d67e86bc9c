"""What the Keras door reads of models of legacy Keras 2 (`tf_keras`): names, kernels, outputs, cuts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from layerviz_callbacks.best import Best
from layerviz_callbacks.cut import KernelCut, OutputCut, cut_kernel, cut_output
from layerviz_callbacks.errors import ArgumentError, ProbeError, SelectionError
from layerviz_callbacks.keras import LayerVizCallback, inspect
from layerviz_callbacks.keras.reading import reader_of
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request
from layerviz_callbacks.sinks import Sink

tf_keras = pytest.importorskip("tf_keras")
tf = pytest.importorskip("tensorflow")
layers = tf_keras.layers


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def close(given, wanted):
    np.testing.assert_allclose(given, np.asarray(wanted), rtol=1e-5, atol=1e-6)


def functional(inputs, *parts):
    x = inputs
    for part in parts:
        x = part(x)
    return tf_keras.Model(inputs, x)


class Attention(layers.Layer):
    """A layer of a user's own, with one weight."""

    def build(self, shape):
        self.score = self.add_weight(name="score", shape=(shape[-1], 2))
        self.bias = self.add_weight(name="bias", shape=(2,))

    def call(self, x):
        weights = tf.nn.softmax(x @ self.score + self.bias, axis=1)
        return tf.einsum("btc,bth->bhc", x, weights), {"weights": weights, "words": tf.constant(["a"])}


class Mixture(layers.Layer):
    """A layer of a user's own, with two weights of two axes."""

    def build(self, shape):
        self.into = self.add_weight(name="into", shape=(shape[-1], 3))
        self.out = self.add_weight(name="out", shape=(3, shape[-1]))

    def call(self, x):
        return (x @ self.into) @ self.out


class Tokens(tf_keras.Model):
    """Subclassed; holds blocks in a list and raw parameters, and calls one layer twice."""

    def __init__(self):
        super().__init__()
        self.patches = layers.Dense(4)
        self.position = self.add_weight(name="pos", shape=(1, 5, 4))
        self.token = self.add_weight(name="cls", shape=(1, 1, 4))
        self.blocks = [tf_keras.Sequential([layers.Dense(6, "relu"), layers.Dense(4)]) for _ in range(2)]
        self.norm = layers.LayerNormalization()
        self.attend = Attention()
        self.mixture = Mixture()

    def call(self, x):
        x = self.patches(x) + self.position + self.token
        for block in self.blocks:
            x = x + block(self.norm(x))
        pooled, _ = self.attend(self.mixture(x))
        return pooled


@pytest.fixture(scope="module")
def tokens():
    tf_keras.utils.set_random_seed(3)
    model = Tokens()
    model(numbers(1, 5, 3))
    return model


def test_layers_of_a_functional_model_are_named_as_in_keras_3_wherever_the_process_stands():
    for _ in range(2):  # the second time, Keras' own numbers have moved on
        x = tf_keras.Input((6, 6, 3))
        y = layers.Conv2D(2, 3, name="stem")(x)
        y = tf.nn.relu(layers.Conv2D(2, 1)(layers.Conv2D(2, 1)(y)) + 1.0)
        inner = functional(tf_keras.Input((4, 4, 2)), layers.Conv2D(3, 3), layers.Flatten())
        y = layers.Dense(2)(inner(y))
        y = layers.Bidirectional(layers.LSTM(2))(layers.TimeDistributed(layers.Dense(1))(y[:, :, None]))
        names = [
            entry.name for entry in reader_of(tf_keras.Model(x, y), Probe(numbers(1, 6, 6, 3))).entries()
        ]
        assert names == [
            "stem", "conv2d", "conv2d_1", "tf.__operators__.add", "tf.nn.relu",
            "model", "model/conv2d", "model/flatten", "dense", "tf.__operators__.getitem",
            "time_distributed", "time_distributed/layer",
            "bidirectional", "bidirectional/forward_layer", "bidirectional/backward_layer",
        ]  # fmt: skip


def test_layers_of_a_subclassed_model_are_named_by_the_attributes_that_hold_them(tokens):
    snapshot = inspect(tokens, numbers(2, 5, 3))
    assert list(snapshot.layers) == [
        "position", "token", "patches",
        "blocks.0", "blocks.0/dense", "blocks.0/dense_1", "blocks.1", "blocks.1/dense", "blocks.1/dense_1",
        "norm", "norm#2", "attend", "attend.1.weights", "mixture", "mixture/into", "mixture/out",
    ]  # fmt: skip
    assert snapshot["blocks.0"].container and not snapshot["mixture"].container
    assert sum(layer.parameters for layer in snapshot) == tokens.count_params()


def test_outputs_of_a_subclassed_model_are_those_of_calls_by_hand(tokens):
    x = numbers(2, 5, 3)
    snapshot = inspect(tokens, x)
    patches = tokens.patches(x)
    first = patches + tokens.position + tokens.token
    normed = tokens.norm(first)
    second = first + tokens.blocks[0](normed)
    close(snapshot["patches"].output, patches)
    close(snapshot["norm"].output, normed)
    close(snapshot["norm#2"].output, tokens.norm(second))
    close(snapshot["blocks.0/dense"].output, tokens.blocks[0].layers[0](normed))
    last = second + tokens.blocks[1](tokens.norm(second))
    pooled, more = tokens.attend(tokens.mixture(last))
    close(snapshot["attend"].output, pooled)
    close(snapshot["attend.1.weights"].output, more["weights"])
    close(snapshot.outputs["output"], tokens(x))


def test_raw_parameters_and_the_weights_of_unknown_layers_are_kernels(tokens):
    snapshot = inspect(tokens, numbers(1, 5, 3))
    position = snapshot["position"]
    assert position.kind == "Parameter" and position.output_shape is None and position.parameters == 20
    np.testing.assert_array_equal(position.kernel, tokens.position.numpy()[0].T)
    np.testing.assert_array_equal(snapshot["token"].kernel, tokens.token.numpy())  # (1, 1, 4): a curve
    np.testing.assert_array_equal(snapshot["attend"].kernel, tokens.attend.score.numpy().T)
    assert snapshot["mixture"].kernel is None
    np.testing.assert_array_equal(snapshot["mixture/into"].kernel, tokens.mixture.into.numpy().T)
    assert snapshot["norm"].kernel is None and set(snapshot["norm"].weights) == {"gamma", "beta"}
    entries = {entry.name: entry for entry in reader_of(tokens, Probe(numbers(1, 5, 3))).entries()}
    assert entries["position"].module is tokens.position and entries["position"].has_kernel


def test_kernels_of_convolutions_are_out_in_space():
    parts = {
        "plain": layers.Conv2D(6, (3, 2), groups=2, name="plain"),
        "transposed": layers.Conv2DTranspose(5, (2, 3), name="transposed"),
        "depthwise": layers.DepthwiseConv2D((3, 2), depth_multiplier=2, name="depthwise"),
        "separable": layers.SeparableConv2D(7, (2, 3), depth_multiplier=2, name="separable"),
        "dense": layers.Dense(3, name="dense"),
        "einsum": layers.EinsumDense("abcd,def->abcef", output_shape=(None, None, 2, 4), name="einsum"),
    }
    model = functional(tf_keras.Input((9, 9, 4)), *parts.values())
    snapshot = inspect(model, numbers(1, 9, 9, 4))

    def moved(variable, order):
        return np.transpose(variable.numpy(), order)

    for name, order in {"plain": (3, 2, 0, 1), "transposed": (2, 3, 0, 1), "dense": (1, 0)}.items():
        np.testing.assert_array_equal(snapshot[name].kernel, moved(parts[name].kernel, order))
    depthwise = moved(parts["depthwise"].depthwise_kernel, (2, 3, 0, 1)).reshape(10, 1, 3, 2)
    np.testing.assert_array_equal(snapshot["depthwise"].kernel, depthwise)
    np.testing.assert_array_equal(
        snapshot["separable"].kernel, moved(parts["separable"].pointwise_kernel, (3, 2, 0, 1))
    )
    of_depth = snapshot["separable.depthwise_kernel"]
    assert of_depth.part_of == "separable" and of_depth.output_shape is None
    np.testing.assert_array_equal(
        of_depth.kernel, moved(parts["separable"].depthwise_kernel, (2, 3, 0, 1)).reshape(20, 1, 2, 3)
    )
    np.testing.assert_array_equal(
        snapshot["einsum"].kernel, moved(parts["einsum"].kernel, (1, 2, 0)).reshape(8, 3)
    )
    assert snapshot["separable"].weights.keys() == {"bias"}


@pytest.mark.parametrize("rank", [1, 3])
def test_kernels_of_other_spatial_ranks(rank):
    plain = getattr(layers, f"Conv{rank}D")(3, 2, name="plain")
    transposed = getattr(layers, f"Conv{rank}DTranspose")(4, 2, name="transposed")
    model = functional(tf_keras.Input((4,) * rank + (2,)), plain, transposed)
    x = numbers(2, *(4,) * rank, 2)
    snapshot = inspect(model, x)
    space = tuple(range(rank))
    np.testing.assert_array_equal(
        snapshot["plain"].kernel, plain.kernel.numpy().transpose(rank + 1, rank, *space)
    )
    np.testing.assert_array_equal(
        snapshot["transposed"].kernel, transposed.kernel.numpy().transpose(rank, rank + 1, *space)
    )
    close(snapshot["transposed"].output, transposed(plain(x)))


GATES = {
    "LSTM": ("input", "forget", "cell", "output"),
    "GRU": ("update", "reset", "candidate"),
    "SimpleRNN": (),
}


@pytest.mark.parametrize("kind", GATES)
def test_recurrent_layers_have_two_kernels_by_gates_and_an_output_over_time(kind):
    layer = getattr(layers, kind)(4, return_sequences=True, name="rnn", dropout=0.5)
    vocabulary = layers.Embedding(7, 3, name="words", mask_zero=True)
    model = functional(tf_keras.Input((5,), dtype="int32"), vocabulary, layer, layers.Dense(2))
    x = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2]], "int32")
    snapshot = inspect(model, x)
    np.testing.assert_array_equal(snapshot["words"].kernel, vocabulary.embeddings.numpy().T)
    np.testing.assert_array_equal(snapshot["rnn"].kernel, layer.cell.kernel.numpy().T)
    again = snapshot["rnn.recurrent_kernel"]
    np.testing.assert_array_equal(again.kernel, layer.cell.recurrent_kernel.numpy().T)
    assert snapshot["rnn"].gates == again.gates == GATES[kind]
    until_rnn = tf_keras.Model(model.inputs, layer.output)
    close(snapshot["rnn"].output, until_rnn(x, training=False))
    assert snapshot["rnn"].output.shape == (2, 5, 4)
    if kind == "LSTM":  # the forget gate's bias begins at one: it is the second quarter
        np.testing.assert_array_equal(snapshot["rnn"].weights["bias"], np.repeat([0, 1, 0, 0], 4))


def test_a_convolutional_lstm_and_cells_on_top_of_each_other():
    lstm = layers.ConvLSTM2D(3, 2, name="conv")
    stack = layers.RNN([layers.GRUCell(4), layers.LSTMCell(2)], name="stack")
    model = functional(tf_keras.Input((2, 5, 5, 1)), lstm, layers.Reshape((16, 3)), stack)
    snapshot = inspect(model, numbers(1, 2, 5, 5, 1))
    np.testing.assert_array_equal(snapshot["conv"].kernel, lstm.cell.kernel.numpy().transpose(3, 2, 0, 1))
    assert snapshot["conv.recurrent_kernel"].kernel_shape == (12, 3, 2, 2)
    assert snapshot["conv"].gates == GATES["LSTM"]
    first, second = stack.cell.cells
    np.testing.assert_array_equal(snapshot["stack"].kernel, first.kernel.numpy().T)
    np.testing.assert_array_equal(
        snapshot["stack.cells.1.recurrent_kernel"].kernel, second.recurrent_kernel.numpy().T
    )
    assert snapshot["stack.recurrent_kernel"].gates == GATES["GRU"]
    assert snapshot["stack.cells.1.kernel"].gates == GATES["LSTM"]


def test_a_layer_that_is_shared_is_heard_at_each_call_and_outputs_have_the_names_of_their_layers():
    left, right = tf_keras.Input((3,), name="left"), tf_keras.Input((3,), name="right")
    shared = layers.Dense(2, name="shared")
    heads = [layers.Dense(1, name="near")(shared(left)), layers.Dense(1, name="far")(shared(right))]
    model = tf_keras.Model([left, right], heads)
    inputs = {"left": numbers(2, 3), "right": -numbers(2, 3)}
    snapshot = inspect(model, inputs)
    heard = [snapshot["shared"].output, snapshot["shared#2"].output]  # in the order that Keras runs them
    close(sorted(heard, key=np.sum), sorted([shared(x).numpy() for x in inputs.values()], key=np.sum))
    close(snapshot.outputs["far"], model(inputs)[1])
    assert list(snapshot.outputs) == ["near", "far"]


def test_inference_is_shown_and_user_code_under_tf_function_is_heard():
    class Traced(tf_keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)
            self.drop = layers.Dropout(0.9)

        @tf.function
        def call(self, x, training=None):
            return self.drop(self.dense(x), training=training)

    model = Traced()
    x = numbers(3, 4)
    model(x)
    snapshot = inspect(model, x)
    close(snapshot["dense"].output, model.dense(x))
    close(snapshot["drop"].output, model.dense(x))


def test_layers_in_channels_first_are_shown_channels_last():
    turn = layers.Permute((3, 1, 2), name="turn")
    pad = layers.ZeroPadding2D(1, data_format="channels_first", name="pad")
    model = functional(tf_keras.Input((4, 5, 2)), turn, pad, layers.ReLU(name="relu"))
    x = numbers(1, 4, 5, 2)
    snapshot = inspect(model, x)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    close(snapshot["pad"].output, padded)
    close(snapshot["relu"].output, np.maximum(padded, 0))


@pytest.mark.parametrize(
    ("shape", "cut"),
    [
        ((3, 7, 5, 4), OutputCut(samples=2, channels=(3, 1), block=2)),
        ((3, 7, 5, 4), OutputCut(strongest=2)),
        ((2, 4, 6, 5, 3), OutputCut(slices=(0, 3), block=4, channels=(2,))),
        ((2, 40, 3), OutputCut(stretches=4, strongest=2)),
        ((3, 6), OutputCut(samples=1, channels=(5, 0))),
    ],
)
def test_a_cut_on_the_device_is_that_of_the_reference(shape, cut):
    values = numbers(*shape)
    values[0, ..., -1] = np.nan
    values.ravel()[1] = np.inf
    inputs = tf_keras.Input(shape[1:])
    model = tf_keras.Model(inputs, layers.Activation("linear", name="same")(inputs))
    reader = reader_of(model, Probe(np.zeros(shape, "float32")))
    reader.probe.arrays["input"] = values
    request = Request(outputs=frozenset({"same"}), output_cuts={"same": cut})
    layer = reader.read(request)["same"]
    part, taken = cut_output(values, cut)
    assert layer.output_shape == shape and layer.output_taken.cut == cut
    np.testing.assert_allclose(layer.output, part, rtol=1e-5, atol=1e-6)
    assert layer.output_taken.channels == taken.channels
    for what in ("lowest", "highest", "not_a_number"):
        np.testing.assert_array_equal(getattr(layer.output_taken, what), getattr(taken, what))


def test_a_cut_of_a_kernel_is_that_of_the_reference():
    dense = layers.Dense(6, name="dense")
    reader = reader_of(functional(tf_keras.Input((5,)), dense), Probe(numbers(1, 5)))
    cut = KernelCut(strongest=3, blocks=(1, 2))
    layer = reader.read(Request(kernels=frozenset({"dense"}), kernel_cuts={"dense": cut}))["dense"]
    part, taken = cut_kernel(dense.kernel.numpy().T, cut)
    np.testing.assert_array_equal(layer.kernel, part)
    assert layer.kernel_shape == (6, 5) and layer.kernel_taken.channels == taken.channels
    assert layer.weights == {} and layer.output is None and layer.output_shape == (1, 6)


class Shelf(Sink):
    """Keeps the steps and names of pictures."""

    def __init__(self):
        self.pictures = []

    def open(self, *, first_step):
        self.first_step = first_step

    def write(self, pictures, step):
        self.pictures += [(step, picture.tag) for picture in pictures]

    def write_text(self, tag, text, step):
        self.text = text

    def flush(self):
        pass

    def close(self):
        pass

    @property
    def location(self):
        return "memory"

    def steps(self, tag="filters/01_dense"):
        return [step for step, shown in self.pictures if shown == tag]


def small(**options):
    model = tf_keras.Sequential([tf_keras.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse", **options)
    return model


def fit(model, callback, **options):
    options = {"epochs": 3, "batch_size": 2, "verbose": 0, **options}
    return model.fit(numbers(8, 3), numbers(8, 2), callbacks=[callback], **options)


def on_shelf(**options):
    shelf = Shelf()
    return LayerVizCallback(numbers(2, 3), log_dir=shelf, on_error="raise", **options), shelf


def test_the_callback_records_before_training_and_after_each_epoch_and_goes_on_counting():
    callback, shelf = on_shelf()
    model = small()
    fit(model, callback)
    fit(model, callback, initial_epoch=3, epochs=4)
    assert shelf.steps() == shelf.steps("feature maps/01_dense") == [0, 1, 2, 3, 4]


def test_the_best_epochs_are_those_that_the_model_checkpoint_of_keras_2_saves(tmp_path):
    class Reports(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_accuracy"] = [0.5, 0.2, 0.7, 0.7, 0.1, 0.9][epoch]

    class Saves(tf_keras.callbacks.ModelCheckpoint):
        def _save_model(self, epoch, batch, logs):
            before = self.best
            super()._save_model(epoch, batch, logs)
            saved.extend([epoch + 1] if self.best != before else [])

    saved = []
    callback, shelf = on_shelf(monitor="val_accuracy", every_n_epochs=100, worker=None)
    theirs = Saves(
        str(tmp_path / "best.weights.h5"), monitor="val_accuracy", save_best_only=True, save_weights_only=True
    )
    small().fit(
        numbers(8, 3), numbers(8, 2), epochs=6, verbose=0, callbacks=[Reports(), theirs, callback]
    )  # fmt: skip
    assert shelf.steps() == [0, *saved] == [0, 1, 3, 6]
    assert callback.recorder.best == Best("val_accuracy", 0.9, 6)


def test_steps_are_optimizer_steps():
    callback, shelf = on_shelf(every_n_steps=3)
    fit(small(), callback, epochs=2)  # four batches an epoch
    assert shelf.steps() == [0, 3, 6]


def test_steps_come_at_the_end_of_each_group_that_keras_runs_together():
    callback, shelf = on_shelf(every_n_steps=2)
    fit(small(steps_per_execution=2), callback, epochs=1)
    assert shelf.steps() == [0, 2, 4]


def test_keras_2_calls_batch_hooks_only_where_steps_were_asked_for():
    def asked(callback):
        return tf_keras.callbacks.CallbackList([callback])._should_call_train_batch_hooks

    assert not asked(on_shelf()[0])
    assert asked(on_shelf(every_n_steps=2)[0])


def test_evaluate_and_predict_write_nothing():
    callback, shelf = on_shelf()
    model = small()
    model.evaluate(numbers(4, 3), numbers(4, 2), verbose=0, callbacks=[callback])
    model.predict(numbers(4, 3), verbose=0, callbacks=[callback])
    assert shelf.pictures == []


def test_a_model_that_its_first_step_builds_begins_after_that_step():
    callback, shelf = on_shelf()
    model = tf_keras.Sequential([layers.Dense(2)])
    model.compile("sgd", "mse")
    fit(model, callback, epochs=2)
    assert shelf.steps() == [1, 2]


def test_a_model_without_weights_is_refused_with_what_to_type_and_stays_without():
    for model in (tf_keras.Sequential([layers.Dense(2)]), Tokens()):
        with pytest.raises(
            ArgumentError, match=r"not built yet: its layer .* Type model\.build\(\(None, 5, 3\)\)"
        ):
            inspect(model, numbers(2, 5, 3))
        assert not model.built


def test_a_probe_that_does_not_fit_and_a_name_that_matches_nothing_say_what_to_type():
    model = functional(tf_keras.Input((4, 4, 1)), layers.Conv2D(2, 3, name="stem"))
    with pytest.raises(ProbeError, match=r"Add the channel axis: x_val\[:4\]\[\.\.\., None\]"):
        inspect(model, numbers(2, 4, 4))
    with pytest.raises(SelectionError, match="Did you mean 'stem'"):
        inspect(model, numbers(2, 4, 4, 1), layers="stam")
    with pytest.raises(ProbeError, match="cannot be called with the probe"):
        subclassed = Tokens()
        subclassed(numbers(1, 5, 3))
        inspect(subclassed, {"x": numbers(2, 5, 3)})


def test_the_keras_door_does_not_import_keras_2_by_itself():
    program = "import sys, layerviz_callbacks.keras; print('tf_keras' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False"]
