"""The Keras reader against plain calls of the model and of its layers, and against `get_weights`."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from layerviz_callbacks.keras import KerasReader, inspect
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request
from layerviz_callbacks.views import FeatureMaps, Filters

layers = keras.layers


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def as_array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def built(layer, *input_shape):
    """A model of that one layer, and the layer's weights as Keras gives them."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(input_shape), layer])
    return model, layer.get_weights()


def only_layer(layer, *input_shape):
    model, weights = built(layer, *input_shape)
    return inspect(model, numbers(2, *input_shape))[layer.name], weights


# -- kernels ---------------------------------------------------------------------------------------------


def test_conv1d_kernel_is_out_in_space():
    layer, (kernel, bias) = only_layer(layers.Conv1D(4, 5, name="conv"), 16, 3)
    assert layer.kernel.shape == layer.kernel_shape == (4, 3, 5)
    for out in range(4):
        for into in range(3):
            np.testing.assert_array_equal(layer.kernel[out, into], kernel[:, into, out])
    np.testing.assert_array_equal(layer.weights["bias"], bias)
    assert set(layer.weights) == {"bias"}


def test_conv2d_kernel_is_out_in_space():
    layer, (kernel, _) = only_layer(layers.Conv2D(4, (3, 2), name="conv"), 8, 8, 3)
    np.testing.assert_array_equal(layer.kernel, np.transpose(kernel, (3, 2, 0, 1)))


def test_grouped_conv2d_kernel_holds_the_channels_of_its_group():
    layer, (kernel, _) = only_layer(layers.Conv2D(4, 3, groups=2, name="conv"), 8, 8, 6)
    assert layer.kernel_shape == (4, 3, 3, 3)
    np.testing.assert_array_equal(layer.kernel, np.transpose(kernel, (3, 2, 0, 1)))


def test_conv3d_kernel_is_out_in_space():
    layer, (kernel, _) = only_layer(layers.Conv3D(2, (1, 2, 3), name="conv"), 4, 5, 6, 3)
    np.testing.assert_array_equal(layer.kernel, np.transpose(kernel, (4, 3, 0, 1, 2)))


def test_depthwise_kernel_has_one_input_for_each_output():
    layer, (kernel, _) = only_layer(layers.DepthwiseConv2D((3, 2), depth_multiplier=2, name="conv"), 8, 8, 3)
    assert layer.kernel.shape == layer.kernel_shape == (6, 1, 3, 2)
    for channel in range(3):
        for multiple in range(2):  # Keras puts the outputs of one channel side by side
            np.testing.assert_array_equal(
                layer.kernel[channel * 2 + multiple, 0], kernel[:, :, channel, multiple]
            )


def test_transposed_kernel_is_out_in_space():
    layer, (kernel, _) = only_layer(layers.Conv2DTranspose(5, 3, name="conv"), 4, 4, 2)
    assert layer.kernel.shape == layer.kernel_shape == (5, 2, 3, 3)
    for out in range(5):
        for into in range(2):
            np.testing.assert_array_equal(layer.kernel[out, into], kernel[:, :, out, into])


def test_dense_kernel_is_a_matrix_out_in():
    layer, (kernel, _) = only_layer(layers.Dense(5, name="head"), 3)
    np.testing.assert_array_equal(layer.kernel, kernel.T)


def test_separable_convolution_gives_both_kernels():
    model, (depthwise, pointwise, bias) = built(layers.SeparableConv2D(5, 3, name="conv"), 8, 8, 2)
    snapshot = inspect(model, numbers(2, 8, 8, 2))
    assert list(snapshot.layers) == ["conv", "conv.depthwise_kernel"]
    first, second = snapshot
    np.testing.assert_array_equal(first.kernel, np.transpose(pointwise, (3, 2, 0, 1)))
    assert second.kernel.shape == second.kernel_shape == (2, 1, 3, 3)
    np.testing.assert_array_equal(second.kernel[1, 0], depthwise[:, :, 1, 0])
    assert (second.part_of, second.kind, second.place) == ("conv", "SeparableConv2D", first.place)
    assert second.output_shape is None and second.parameters == 0
    np.testing.assert_array_equal(first.weights["bias"], bias)
    assert set(first.weights) == {"bias"}


def test_einsum_dense_kernel_is_a_matrix_out_in():
    layer, (kernel,) = only_layer(layers.EinsumDense("abc,cde->abde", (None, 4, 5), name="query"), 3, 2)
    assert layer.kernel_shape == (20, 2)
    np.testing.assert_array_equal(layer.kernel, kernel.reshape(2, 20).T)


def test_batch_normalization_has_no_kernel_but_its_weights_by_name():
    layer, (gamma, *_) = only_layer(layers.BatchNormalization(name="norm"), 4)
    assert layer.kernel is None and layer.kernel_shape is None
    assert set(layer.weights) == {"gamma", "beta", "moving_mean", "moving_variance"}
    np.testing.assert_array_equal(layer.weights["gamma"], gamma)


def test_embedding_kernel_is_dimension_by_vocabulary():
    model = keras.Sequential([keras.Input((5,)), layers.Embedding(7, 3, name="words")])
    snapshot = inspect(model, np.arange(10).reshape(2, 5) % 7)
    (table,) = model.get_weights()
    np.testing.assert_array_equal(snapshot["words"].kernel, table.T)
    assert snapshot["words"].weights == {} and snapshot["words"].gates == ()


LSTM = ("input", "forget", "cell", "output")
GRU = ("update", "reset", "candidate")


@pytest.mark.parametrize(
    ("make", "gates", "input_shape", "output_shape"),
    [
        (layers.LSTM, LSTM, (6, 3), (2, 4)),
        (layers.GRU, GRU, (6, 3), (2, 4)),
        (layers.SimpleRNN, (), (6, 3), (2, 4)),
        (lambda units, name: layers.ConvLSTM1D(units, 3, name=name), LSTM, (3, 7, 2), (2, 5, 4)),
        (lambda units, name: layers.ConvLSTM2D(units, 3, name=name), LSTM, (3, 5, 6, 2), (2, 3, 4, 4)),
        (lambda units, name: layers.ConvLSTM3D(units, 3, name=name), LSTM, (2, 4, 4, 4, 1), (2, 2, 2, 2, 4)),
    ],
    ids=["LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"],
)
def test_recurrent_layers_have_two_kernels_whose_outputs_fall_into_gates(
    make, gates, input_shape, output_shape
):
    model, (kernel, recurrent, bias) = built(make(4, name="loop"), *input_shape)
    x = numbers(2, *input_shape)
    snapshot = inspect(model, x)
    assert list(snapshot.layers) == ["loop", "loop.recurrent_kernel"]
    first, second = snapshot
    count = len(gates) or 1
    for layer, stored in ((first, kernel), (second, recurrent)):
        assert layer.gates == gates and layer.kernel.shape == layer.kernel_shape
        for gate in range(count):  # Keras stores a gate's units side by side
            for unit in range(4):
                for into in range(stored.shape[-2]):
                    np.testing.assert_array_equal(
                        layer.kernel[gate * 4 + unit, into], stored[..., into, gate * 4 + unit]
                    )
    assert second.part_of == "loop" and second.output is None
    assert first.output_shape == output_shape
    close(first.output, as_array(model(x)))
    assert set(first.weights) == {"bias"}
    np.testing.assert_array_equal(first.weights["bias"], bias)
    assert sum(layer.parameters for layer in snapshot) == model.count_params()


def test_stacked_cells_have_a_kernel_each():
    cells = [layers.LSTMCell(3), layers.GRUCell(2)]
    model, weights = built(layers.RNN(cells, name="stack"), 5, 4)
    snapshot = inspect(model, numbers(2, 5, 4))
    assert list(snapshot.layers) == [
        "stack", "stack.cells.0.recurrent_kernel", "stack.cells.1.kernel", "stack.cells.1.recurrent_kernel",
    ]  # fmt: skip
    stored = [cells[0].kernel, cells[0].recurrent_kernel, cells[1].kernel, cells[1].recurrent_kernel]
    for layer, variable in zip(snapshot, stored, strict=True):
        np.testing.assert_array_equal(layer.kernel, as_array(variable).T)
    assert [layer.gates for layer in snapshot] == [LSTM, LSTM, GRU, GRU]
    assert len(snapshot["stack"].weights) == len(weights) - 4


class MinimalCell(layers.Layer):
    """A cell as in the documentation of Keras, with a layer inside."""

    def __init__(self, units):
        super().__init__()
        self.units = self.state_size = units
        self.gate = layers.Dense(units, name="gate")

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")
        self.gate.build(shape)

    def call(self, x, states):
        new = x @ self.kernel + self.gate(x) * (states[0] @ self.recurrent_kernel)
        return new, [new]


def test_a_cell_of_the_users_has_its_kernels_and_those_of_its_layers():
    cell = MinimalCell(3)
    model, _ = built(layers.RNN(cell, name="loop"), 5, 4)
    snapshot = inspect(model, numbers(2, 5, 4))
    assert list(snapshot.layers) == ["loop", "loop.recurrent_kernel", "loop.gate.kernel"]
    for layer, variable in zip(snapshot, [cell.kernel, cell.recurrent_kernel, cell.gate.kernel], strict=True):
        np.testing.assert_array_equal(layer.kernel, as_array(variable).T)
        assert layer.gates == ()


# -- raw parameters --------------------------------------------------------------------------------------


class Tokens(layers.Layer):
    """As vision transformers have it: patches, a class token before them, positions added."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.patches = layers.Conv2D(6, 4, strides=4)

    def build(self, shape):
        self.patches.build(shape)
        self.class_token = self.add_weight(shape=(1, 1, 6), name="class_token")
        self.positions = self.add_weight(shape=(1, 5, 6), name="pos")
        self.seen = self.add_weight(shape=(2, 2), trainable=False, name="seen")
        self.scale = self.add_weight(shape=(6,), name="scale")

    def call(self, x):
        patches = keras.ops.reshape(self.patches(x), (-1, 4, 6))
        tokens = keras.ops.repeat(self.class_token, keras.ops.shape(x)[0], axis=0)
        return (keras.ops.concatenate([tokens, patches], axis=1) + self.positions) * self.scale


class Matrix(layers.Layer):
    def build(self, shape):
        self.weight = self.add_weight(shape=(shape[-1], 2), name="w")
        self.shift = self.add_weight(shape=(2,), name="b")

    def call(self, x):
        return keras.ops.matmul(x, self.weight) + self.shift


class WithQueries(keras.Model):
    def __init__(self):
        super().__init__()
        self.tokens = Tokens(name="tokens")
        self.matrix = Matrix()
        self.queries = self.add_weight(shape=(3, 2), name="q")
        self.table = self.add_weight(shape=(2, 3, 2), name="t")

    def call(self, x):
        mixed = keras.ops.matmul(self.matrix(self.tokens(x)), keras.ops.transpose(self.queries))
        return keras.ops.matmul(mixed, keras.ops.reshape(self.table[0], (3, 2)))


def test_raw_parameters_are_layers_of_their_own():
    model, x = WithQueries(), numbers(2, 8, 8, 3)
    model(x)
    snapshot = inspect(model, x)
    assert list(snapshot.layers) == [
        "queries", "table", "tokens", "tokens/class_token", "tokens/positions", "tokens/patches", "matrix",
    ]  # fmt: skip
    expected = {
        "queries": as_array(model.queries).T,
        "table": as_array(model.table).reshape(6, 2).T,
        "tokens/class_token": as_array(model.tokens.class_token),
        "tokens/positions": as_array(model.tokens.positions)[0].T,
    }
    for name, kernel in expected.items():
        layer = snapshot[name]
        assert layer.kind == "Parameter" and layer.output_shape is None and layer.part_of == ""
        assert layer.kernel_shape == kernel.shape
        np.testing.assert_array_equal(layer.kernel, kernel)
    assert snapshot["tokens/class_token"].kernel_shape == (1, 1, 6)
    assert snapshot["tokens"].kernel is None
    assert set(snapshot["tokens"].weights) == {"seen", "scale"}
    assert sum(layer.parameters for layer in snapshot) == model.count_params()
    entries = {entry.name: entry for entry in KerasReader(model, Probe(x)).entries()}
    assert entries["queries"].module is model.queries and entries["queries"].has_kernel
    assert entries["tokens/class_token"].has_kernel and not entries["tokens"].has_kernel


def test_the_single_matrix_of_a_layer_of_the_users_is_its_kernel():
    layer, (stored, shift) = only_layer(Matrix(name="own"), 5)
    np.testing.assert_array_equal(layer.kernel, stored.T)
    assert set(layer.weights) == {"b"}
    np.testing.assert_array_equal(layer.weights["b"], shift)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.PReLU(name="own"),
        lambda: layers.LayerNormalization(axis=(1, 2), name="own"),
        lambda: layers.SpectralNormalization(layers.Dense(2), name="own"),
    ],
    ids=["slopes", "scales", "vectors"],
)
def test_weights_of_other_layers_of_keras_are_no_kernels(make):
    layer, _ = only_layer(make(), 3, 4)
    assert layer.kernel is None and layer.kernel_shape is None and layer.weights


def test_layers_with_lora_show_what_they_act_with():
    model, (kernel, _) = built(layers.Dense(4, name="head"), 6)
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.ones((2, 4), "float32"))
    added = as_array(model.layers[0].lora_kernel_a) @ np.ones((2, 4), "float32")
    x = numbers(2, 6)
    snapshot = inspect(model, x)
    assert snapshot["head"].kernel_shape == (4, 6)
    close(snapshot["head"].kernel, (kernel + added).T)
    close(snapshot["head"].output, as_array(model(x)))
    assert set(snapshot["head"].weights) == {"bias", "lora_kernel_a", "lora_kernel_b"}


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_layers_are_read(mode):
    model = keras.Sequential(
        [keras.Input((4, 8)), layers.Dense(16, name="dense"), layers.EinsumDense("abc,cd->abd", (4, 6))]
    )
    before = inspect(model, numbers(2, 4, 8))
    model.quantize(mode)
    snapshot = inspect(model, numbers(2, 4, 8))
    for layer in before:
        assert snapshot[layer.name].kernel_shape == layer.kernel_shape == snapshot[layer.name].kernel.shape
        assert snapshot[layer.name].output.shape == layer.output_shape
    if mode != "int4":
        np.testing.assert_allclose(snapshot["dense"].kernel, before["dense"].kernel, atol=0.01)
        close(snapshot["dense"].output, as_array(model.layers[0](numbers(2, 4, 8))))


def test_bfloat16_kernel_is_read_as_float32():
    layer, _ = only_layer(layers.Dense(2, dtype="bfloat16", name="head"), 3)
    assert layer.kernel.dtype == np.float32 and layer.output.dtype == np.float32


def test_arrays_are_copies_that_later_training_does_not_change():
    model, (kernel, _) = built(layers.Dense(2, name="head"), 3)
    snapshot = inspect(model, numbers(2, 3))
    before = kernel.copy()
    model.layers[0].set_weights([kernel + 1, np.zeros(2)])
    np.testing.assert_array_equal(snapshot["head"].kernel, before.T)


# -- outputs ---------------------------------------------------------------------------------------------


def convolutional():
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Dropout(0.5),
            layers.Conv2D(4, 2, name="last_conv"),
            layers.Flatten(),
            layers.Dense(5, activation="softmax", name="head"),
        ]
    )


def test_sequential_outputs_equal_a_sub_model():
    model, x = convolutional(), numbers(3, 8, 8, 2)
    snapshot = inspect(model, x)
    assert list(snapshot.layers) == [
        "conv2d", "batch_normalization", "max_pooling2d", "dropout", "last_conv", "flatten", "head",
    ]  # fmt: skip
    oracle = keras.Model(model.inputs[0], [layer.output for layer in model.layers])(x, training=False)
    for layer, expected in zip(snapshot, oracle, strict=True):
        close(layer.output, as_array(expected))
        assert layer.output_shape == tuple(expected.shape) and layer.output.dtype == np.float32
    close(snapshot.outputs["output"], as_array(oracle[-1]))
    assert [layer.place for layer in snapshot] == [1, 2, 3, 4, 5, 6, 7]
    assert sum(layer.parameters for layer in snapshot) == model.count_params()


def test_functional_outputs_equal_a_sub_model():
    inputs = keras.Input((6, 6, 1), name="image")
    left = layers.Conv2D(2, 3, padding="same", name="left")(inputs)
    right = layers.Conv2D(2, 5, padding="same", name="right")(inputs)
    joined = layers.Concatenate(name="joined")([left, right]) * 2.0
    model = keras.Model(inputs, [layers.Flatten(name="flat")(joined), layers.GlobalAveragePooling2D()(right)])
    x = numbers(2, 6, 6, 1)
    snapshot = inspect(model, x)
    for name in ("left", "right", "joined", "flat"):
        oracle = keras.Model(inputs, model.get_layer(name).output)(x, training=False)
        close(snapshot[name].output, as_array(oracle))
    flat, pooled = (as_array(tensor) for tensor in model(x, training=False))
    assert set(snapshot.outputs) == {"flat", "global_average_pooling2d"}
    close(snapshot.outputs["flat"], flat)
    close(snapshot.outputs["global_average_pooling2d"], pooled)


def test_nested_models_are_joined_with_a_slash():
    backbone = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.Dense(3)], name="backbone")
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(2, name="head")(backbone(inputs)))
    x = numbers(2, 8)
    snapshot = inspect(model, x)
    assert list(snapshot.layers) == ["backbone", "backbone/dense", "backbone/dense_1", "head"]
    assert snapshot["backbone"].container and not snapshot["head"].container
    assert snapshot["backbone"].parameters == 0
    first = backbone.layers[0](x)
    close(snapshot["backbone/dense"].output, as_array(first))
    close(snapshot["backbone/dense_1"].output, as_array(backbone(x)))
    close(snapshot["backbone"].output, as_array(backbone(x)))
    close(snapshot["head"].output, as_array(model(x)))


class Siamese(keras.Model):
    def __init__(self):
        super().__init__()
        self.embed = layers.Dense(3)
        self.blocks = [layers.Dense(4, activation="relu"), layers.Dense(2)]
        self.spare = layers.Dense(7)
        self.spare.build((None, 2))

    def call(self, inputs):
        first, second = self.embed(inputs["a"]), self.embed(inputs["b"])
        both = keras.ops.concatenate([first, second], axis=-1)
        hidden = self.blocks[0](both)
        return {"score": self.blocks[1](hidden), "hidden": hidden}


def test_subclassed_model_is_named_by_attributes_and_shared_calls_are_numbered():
    keras.utils.set_random_seed(3)
    model, x = Siamese(), {"a": numbers(2, 5), "b": numbers(2, 5, seed=1)}
    model(x)
    snapshot = inspect(model, x)
    assert list(snapshot.layers) == ["embed", "embed#2", "blocks.0", "blocks.1", "spare"]
    close(snapshot["embed"].output, as_array(model.embed(x["a"])))
    close(snapshot["embed#2"].output, as_array(model.embed(x["b"])))
    assert snapshot["embed#2"].place == snapshot["embed"].place == 1
    assert snapshot["embed#2"].kernel is None and snapshot["embed"].kernel.shape == (3, 5)
    assert snapshot["spare"].output_shape is None and snapshot["spare"].output is None
    expected = model(x)
    assert set(snapshot.outputs) == {"score", "hidden"}
    close(snapshot.outputs["score"], as_array(expected["score"]))
    assert set(snapshot.inputs) == {"a", "b"}


class TwoHeads(keras.layers.Layer):
    def call(self, x):
        return {"double": x * 2, "more": (x * 3, x * 4)}


def test_further_outputs_of_a_layer_have_names_of_their_own():
    inputs = keras.Input((3,))
    out = TwoHeads(name="heads")(inputs)
    model = keras.Model(inputs, [out["double"], out["more"][0], out["more"][1]])
    x = numbers(2, 3)
    snapshot = inspect(model, x)
    assert list(snapshot.layers) == ["heads", "heads.more.0", "heads.more.1"]
    close(snapshot["heads"].output, x * 2)
    close(snapshot["heads.more.0"].output, x * 3)
    close(snapshot["heads.more.1"].output, x * 4)
    assert list(snapshot.outputs) == ["output 1", "output 2", "output 3"]


def test_channels_first_outputs_and_inputs_are_given_channels_last():
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow on a CPU has no channels_first convolution")
    layer = layers.Conv2D(3, 3, data_format="channels_first", name="conv")
    model = keras.Sequential([keras.Input((2, 6, 5)), layer, layers.ReLU(), layers.Flatten()])
    x = numbers(2, 2, 6, 5)
    snapshot = inspect(model, x)
    expected = as_array(layer(x)).transpose(0, 2, 3, 1)
    close(snapshot["conv"].output, expected)
    close(snapshot["re_lu"].output, np.maximum(expected, 0))
    assert snapshot["conv"].output_shape == (2, 4, 3, 3)
    assert snapshot["flatten"].output_shape == (2, 36)
    np.testing.assert_array_equal(snapshot.inputs["input"], x.transpose(0, 2, 3, 1))


def test_channels_first_pooling_is_given_channels_last():
    layer = layers.GlobalAveragePooling2D(data_format="channels_first", keepdims=True, name="pool")
    model = keras.Sequential([keras.Input((2, 6, 5)), layer])
    snapshot = inspect(model, numbers(3, 2, 6, 5))
    assert snapshot["pool"].output_shape == snapshot["pool"].output.shape == (3, 1, 1, 2)


def test_attention_and_time_distributed_inner_layers_are_listed():
    inputs = keras.Input((4, 6))
    attended = layers.MultiHeadAttention(2, 3, name="attention")(inputs, inputs)
    model = keras.Model(inputs, layers.TimeDistributed(layers.Dense(2), name="steps")(attended))
    x = numbers(2, 4, 6)
    snapshot = inspect(model, x)
    assert {"attention", "attention/query", "attention/attention_output", "steps"} <= set(snapshot.layers)
    assert snapshot["attention/query"].kernel.shape == (6, 6)
    close(snapshot["steps"].output, as_array(model(x)))
    assert snapshot["steps/layer"].kernel.shape == (2, 6)
    told = FeatureMaps().refusal(snapshot["steps/layer"])
    assert "once a time step" in told and "steps shows" in told
    assert Filters().refusal(snapshot["steps/layer"]) == ""
    assert sum(layer.parameters for layer in snapshot) == model.count_params()


def test_bidirectional_inner_layers_are_named_by_direction():
    wrapper = layers.Bidirectional(layers.GRU(2))
    model = keras.Sequential([keras.Input((4, 3)), wrapper])
    x = numbers(2, 4, 3)
    snapshot = inspect(model, x)
    forward, backward = "bidirectional/forward_layer", "bidirectional/backward_layer"
    assert list(snapshot.layers) == [
        "bidirectional",
        forward,
        f"{forward}.recurrent_kernel",
        backward,
        f"{backward}.recurrent_kernel",
    ]
    close(snapshot["bidirectional"].output, as_array(model(x)))
    close(snapshot[forward].output, as_array(wrapper.forward_layer(x)))
    close(snapshot[backward].output, as_array(wrapper.backward_layer(x)))
    cell = wrapper.backward_layer.cell
    np.testing.assert_array_equal(snapshot[backward].kernel, as_array(cell.kernel).T)
    np.testing.assert_array_equal(
        snapshot[f"{backward}.recurrent_kernel"].kernel, as_array(cell.recurrent_kernel).T
    )
    assert snapshot[backward].gates == GRU and snapshot["bidirectional"].container


# -- names -----------------------------------------------------------------------------------------------


def test_names_do_not_depend_on_earlier_models_in_the_process():
    def names():
        model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(1, 2), layers.Conv2D(1, 2)])
        return [entry.name for entry in KerasReader(model, Probe(numbers(1, 4, 4, 1))).entries()]

    assert names() == names() == ["conv2d", "conv2d_1"]


def test_names_that_the_user_gave_are_kept_even_where_they_look_automatic():
    stack = [
        layers.Dense(2),
        layers.Dense(2, name="dense_1"),
        layers.Dense(2, name="dense_2"),
        layers.Dense(2),
    ]
    model = keras.Sequential([keras.Input((3,)), *stack])
    entries = KerasReader(model, Probe(numbers(1, 3))).entries()
    assert [entry.name for entry in entries] == ["dense", "dense_1", "dense_2", "dense_3"]
    assert [entry.module for entry in entries] == stack
    assert all(entry.has_kernel for entry in entries)


# -- requests --------------------------------------------------------------------------------------------


def test_only_what_was_asked_for_is_copied():
    model = convolutional()
    reader = KerasReader(model, Probe(numbers(2, 8, 8, 2)))
    snapshot = reader.read(Request(weights=frozenset({"head"}), outputs=frozenset({"last_conv"})))
    assert {layer.name for layer in snapshot if layer.kernel is not None} == {"head"}
    assert {layer.name for layer in snapshot if layer.output is not None} == {"last_conv"}
    assert all(layer.output_shape is not None for layer in snapshot)
    assert snapshot["conv2d"].kernel_shape == (3, 2, 3, 3)


def test_the_model_is_run_only_where_outputs_or_shapes_are_needed(monkeypatch):
    model = convolutional()
    reader = KerasReader(model, Probe(numbers(2, 8, 8, 2)))
    runs = []
    run = model.call
    monkeypatch.setitem(vars(model), "call", lambda *a, **k: runs.append(1) or run(*a, **k))
    weights = Request(weights=frozenset({"head"}))
    assert reader.read(weights)["flatten"].output_shape == (2, 16) and len(runs) == 1
    assert reader.read(weights)["flatten"].output_shape == (2, 16) and len(runs) == 1
    reader.read(Request(outputs=frozenset({"head"})))
    assert len(runs) == 2


def test_the_chosen_layers_are_told_in_the_snapshot():
    snapshot = inspect(convolutional(), numbers(2, 8, 8, 2), layers=[keras.layers.Conv2D, "he*"])
    assert snapshot.chosen == {"conv2d", "last_conv", "head"}
    assert snapshot["flatten"].output is None and snapshot["head"].output.shape == (2, 5)
    assert inspect(convolutional(), numbers(2, 8, 8, 2)).chosen is None


def test_the_probe_is_fixed_even_if_its_array_is_changed_in_place():
    model, x = convolutional(), numbers(2, 8, 8, 2)
    reader = KerasReader(model, Probe(x))
    before = reader.read(Request(outputs=frozenset({"head"})))["head"].output
    x[:] = 0
    after = reader.read(Request(outputs=frozenset({"head"})))["head"].output
    np.testing.assert_array_equal(before, after)


def test_displayed_inputs_are_the_ones_the_user_gave():
    picture = np.full((2, 8, 8, 1), 7, np.uint8)
    snapshot = inspect(convolutional(), Probe(numbers(2, 8, 8, 2), display=picture))
    np.testing.assert_array_equal(snapshot.inputs["input"], picture)
