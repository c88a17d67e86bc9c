"""Small Keras models, one for each way of writing one, for vectors, curves, images and volumes.

Each comes with a probe and with an oracle of plain framework code: its layers called by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

layers = keras.layers
ops = keras.ops
RANKS = (0, 1, 2, 3)
SPACE = {0: (), 1: (12,), 2: (6, 5), 3: (4, 5, 3)}
CONVOLUTION = {1: layers.Conv1D, 2: layers.Conv2D, 3: layers.Conv3D}


@dataclass(frozen=True)
class Case:
    """A built model.

    Attributes:
        model: the model.
        probe: what it is called with.
        outputs: by hand: what each layer answers, by the name it has in a snapshot.
        kernels: by hand: `(out, in, *space)` by name; a layer that is not named has none.
    """

    model: Any
    probe: Any
    outputs: dict[str, Any]
    kernels: dict[str, Any]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def samples(rank: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return numbers(3, *SPACE[rank], channels, seed=seed)


def weighted(rank: int, units: int, name: str | None = None, **options: Any) -> Any:
    """A convolution of that rank; for vectors a dense layer."""
    if rank == 0:
        return layers.Dense(units, name=name, **options)
    return CONVOLUTION[rank](units, 3, padding="same", name=name, **options)


def kernel_of(layer: Any) -> np.ndarray:
    """`(*space, in, out)` as Keras has it, brought to `(out, in, *space)`."""
    stored = np.array(ops.convert_to_numpy(layer.kernel)).astype("float32")
    return np.moveaxis(stored, (-1, -2), (0, 1))


def sequential(rank: int) -> Case:
    first, last = weighted(rank, 4, "first", activation="relu"), weighted(rank, 3, "last")
    norm = layers.BatchNormalization(name="norm")
    model = keras.Sequential([keras.Input((*SPACE[rank], 2)), first, norm, last])
    x = samples(rank)
    a = first(x)
    b = norm(a, training=False)
    return Case(
        model,
        x,
        {"first": a, "norm": b, "last": last(b)},
        {"first": kernel_of(first), "last": kernel_of(last)},
    )


def functional(rank: int) -> Case:
    inputs = keras.Input((*SPACE[rank], 2))
    left, right = weighted(rank, 3, "left"), weighted(rank, 3, "right")
    joined = layers.Concatenate(name="joined")
    model = keras.Model(inputs, joined([left(inputs), right(inputs)]))
    x = samples(rank)
    a, b = left(x), right(x)
    return Case(
        model,
        x,
        {"left": a, "right": b, "joined": ops.concatenate([a, b], axis=-1)},
        {"left": kernel_of(left), "right": kernel_of(right)},
    )


class Plain(keras.Model):
    def __init__(self, rank: int):
        super().__init__()
        self.stem = weighted(rank, 4)
        self.blocks = [weighted(rank, 3), layers.Activation("tanh")]

    def call(self, x: Any) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


def subclassed(rank: int) -> Case:
    model, x = Plain(rank), samples(rank)
    model(x)
    a = model.stem(x)
    b = model.blocks[0](a)
    return Case(
        model,
        x,
        {"stem": a, "blocks.0": b, "blocks.1": ops.tanh(b)},
        {"stem": kernel_of(model.stem), "blocks.0": kernel_of(model.blocks[0])},
    )


def backbone(rank: int) -> Any:
    return keras.Sequential(
        [keras.Input((*SPACE[rank], 2)), weighted(rank, 4, "deep"), layers.ReLU(name="relu")], name="backbone"
    )


def nested(rank: int) -> Case:
    inner, head = backbone(rank), weighted(rank, 2, "head")
    inputs = keras.Input((*SPACE[rank], 2))
    model = keras.Model(inputs, head(inner(inputs)))
    x = samples(rank)
    deep = inner.layers[0](x)
    relu = ops.relu(deep)
    return Case(
        model,
        x,
        {"backbone/deep": deep, "backbone/relu": relu, "backbone": relu, "head": head(relu)},
        {"backbone/deep": kernel_of(inner.layers[0]), "head": kernel_of(head)},
    )


class Holder(keras.Model):
    def __init__(self, rank: int):
        super().__init__()
        self.body = backbone(rank)
        self.head = weighted(rank, 2)

    def call(self, x: Any) -> Any:
        return self.head(self.body(x))


def nested_in_subclassed(rank: int) -> Case:
    model, x = Holder(rank), samples(rank)
    model(x)
    deep = model.body.layers[0](x)
    relu = ops.relu(deep)
    outputs = {"backbone/deep": deep, "backbone/relu": relu, "backbone": relu, "head": model.head(relu)}
    kernels = {"backbone/deep": kernel_of(model.body.layers[0]), "head": kernel_of(model.head)}
    return Case(model, x, outputs, kernels)


def shared(rank: int) -> Case:
    inputs = {name: keras.Input((*SPACE[rank], 2), name=name) for name in ("left", "right")}
    twin, apart = weighted(rank, 3, "twin"), layers.Subtract(name="apart")
    model = keras.Model(inputs, apart([twin(inputs["left"]), twin(inputs["right"])]))
    x = {"left": samples(rank), "right": samples(rank, seed=1)}
    a, b = twin(x["left"]), twin(x["right"])
    return Case(model, x, {"twin": a, "twin#2": b, "apart": a - b}, {"twin": kernel_of(twin)})


def several_inputs_and_outputs(rank: int) -> Case:
    images, ages = keras.Input((*SPACE[rank], 2)), keras.Input((4,))
    one, two = weighted(rank, 3, "one"), layers.Dense(2, name="two")
    model = keras.Model([images, ages], [one(images), two(ages)])
    x, y = samples(rank), numbers(3, 4)
    return Case(model, [x, y], {"one": one(x), "two": two(y)}, {"one": kernel_of(one), "two": kernel_of(two)})


class DictModel(keras.Model):
    def __init__(self, rank: int):
        super().__init__()
        self.one, self.two = weighted(rank, 3), weighted(rank, 2)

    def call(self, x: Any) -> Any:
        return {"sum": self.one(x["a"]) + self.one(x["b"]), "two": self.two(x["b"])}


def dicts_in_and_out(rank: int) -> Case:
    model = DictModel(rank)
    x = {"a": samples(rank), "b": samples(rank, seed=1)}
    model(x)
    outputs = {"one": model.one(x["a"]), "one#2": model.one(x["b"]), "two": model.two(x["b"])}
    return Case(model, x, outputs, {"one": kernel_of(model.one), "two": kernel_of(model.two)})


class Split(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * 2, {"low": x - 1, "high": x + 1}


def layers_with_several_outputs(rank: int) -> Case:
    inputs = keras.Input((*SPACE[rank], 2))
    first, split = weighted(rank, 3, "first"), Split(name="split")
    double, parts = split(first(inputs))
    model = keras.Model(inputs, [double, parts["low"], parts["high"]])
    x = samples(rank)
    a = first(x)
    outputs = {"first": a, "split": a * 2, "split.1.low": a - 1, "split.1.high": a + 1}
    return Case(model, x, outputs, {"first": kernel_of(first)})


class Scaled(layers.Layer):
    """A layer of the user's, with layers inside and a raw parameter."""

    def __init__(self, rank: int, name: str):
        super().__init__(name=name)
        self.inner = weighted(rank, 3)

    def build(self, shape: Any) -> None:
        self.inner.build(shape)
        self.offset = self.add_weight(shape=(1, 3), name="offset")

    def call(self, x: Any) -> Any:
        return self.inner(x) + self.offset[0]


def custom_layers(rank: int) -> Case:
    layer = Scaled(rank, "scaled")
    model = keras.Sequential([keras.Input((*SPACE[rank], 2)), layer])
    x = samples(rank)
    a, offset = (np.array(ops.convert_to_numpy(value)) for value in (layer.inner(x), layer.offset))
    return Case(
        model,
        x,
        {"scaled/inner": a, "scaled": a + offset[0]},
        {"scaled/inner": kernel_of(layer.inner), "scaled/offset": offset[None]},
    )


def in_half_precision(policy: str) -> Callable[[int], Case]:
    def build(rank: int) -> Case:
        first, last = weighted(rank, 4, "first", dtype=policy), weighted(rank, 2, "last", dtype=policy)
        model = keras.Sequential([keras.Input((*SPACE[rank], 2)), first, last])
        x = samples(rank)
        a = first(x)
        return Case(
            model, x, {"first": a, "last": last(a)}, {"first": kernel_of(first), "last": kernel_of(last)}
        )

    return build


def time_distributed(rank: int) -> Case:
    inner, loop = weighted(rank, 3), layers.TimeDistributed
    wrapper = loop(inner, name="steps")
    model = keras.Sequential([keras.Input((4, *SPACE[rank], 2)), wrapper])
    x = numbers(3, 4, *SPACE[rank], 2)
    each = ops.stack([inner(x[:, step]) for step in range(4)], axis=1)
    return Case(model, x, {"steps": each}, {"steps/layer": kernel_of(inner)})


def over_time(rank: int) -> Any:
    kind = {0: layers.LSTM, 1: layers.ConvLSTM1D, 2: layers.ConvLSTM2D, 3: layers.ConvLSTM3D}[rank]
    options: dict[str, Any] = {"return_sequences": True, "dropout": 0.3}
    return kind(2, **options) if rank == 0 else kind(2, 3, padding="same", **options)


def recurrent_kernels(name: str, layer: Any) -> dict[str, Any]:
    cell = layer.cell
    stored = {name: cell.kernel, f"{name}.recurrent_kernel": cell.recurrent_kernel}
    return {
        key: np.moveaxis(np.array(ops.convert_to_numpy(value)), (-1, -2), (0, 1))
        for key, value in stored.items()
    }


def recurrent(rank: int) -> Case:
    loop, last = over_time(rank), layers.Dense(3, name="last")
    model = keras.Sequential([keras.Input((4, *SPACE[rank], 2)), loop, last])
    x = numbers(3, 4, *SPACE[rank], 2)
    name = {0: "lstm", 1: "conv_lstm1d", 2: "conv_lstm2d", 3: "conv_lstm3d"}[rank]
    a = loop(x)
    return Case(
        model, x, {name: a, "last": last(a)}, {**recurrent_kernels(name, loop), "last": kernel_of(last)}
    )


def bidirectional(rank: int) -> Case:
    both = layers.Bidirectional(over_time(rank), name="both")
    model = keras.Sequential([keras.Input((3, *SPACE[rank], 2)), both])
    x = numbers(2, 3, *SPACE[rank], 2)
    forward, backward = both.forward_layer(x), both.backward_layer(x)
    joined = ops.concatenate([forward, ops.flip(backward, axis=1)], axis=-1)
    outputs = {"both/forward_layer": forward, "both/backward_layer": backward, "both": joined}
    kernels = recurrent_kernels("both/forward_layer", both.forward_layer)
    return Case(model, x, outputs, kernels | recurrent_kernels("both/backward_layer", both.backward_layer))


class UnderFunction(keras.Model):
    """Its code is under `tf.function`, as user code often is."""

    def __init__(self, rank: int):
        super().__init__()
        self.stem, self.head = weighted(rank, 4), weighted(rank, 2)
        self.inner: Any = self._inner
        if keras.backend.backend() == "tensorflow":
            import tensorflow

            self.inner = tensorflow.function(self._inner)

    def _inner(self, x: Any) -> Any:
        return self.head(self.stem(x))

    def call(self, x: Any) -> Any:
        return self.inner(x)


def under_tf_function(rank: int) -> Case:
    model, x = UnderFunction(rank), samples(rank)
    model(x)
    a = model.stem(x)
    outputs = {"stem": a, "head": model.head(a)}
    return Case(model, x, outputs, {"stem": kernel_of(model.stem), "head": kernel_of(model.head)})


WAYS: dict[str, Callable[[int], Case]] = {
    "Sequential": sequential,
    "Functional": functional,
    "subclassed": subclassed,
    "nested": nested,
    "nested in subclassed": nested_in_subclassed,
    "shared": shared,
    "several inputs and outputs": several_inputs_and_outputs,
    "dicts in and out": dicts_in_and_out,
    "layers with several outputs": layers_with_several_outputs,
    "custom layers": custom_layers,
    "mixed_float16": in_half_precision("mixed_float16"),
    "mixed_bfloat16": in_half_precision("mixed_bfloat16"),
    "TimeDistributed": time_distributed,
    "recurrent": recurrent,
    "Bidirectional": bidirectional,
    "under tf.function": under_tf_function,
}
"""Each way of writing a model; called with the rank of space it gives a Case."""


def table() -> list[tuple[str, int]]:
    """Every way with every rank; on JAX, where each is compiled for long, every way with one rank."""
    pairs = [(way, rank) for way in WAYS for rank in RANKS]
    if keras.backend.backend() != "jax":
        return pairs
    turns = {way: place for place, way in enumerate(WAYS)}
    return [(way, rank) for way, rank in pairs if turns[way] % len(RANKS) == rank]
