"""What one read of a model costs, relative to the plain forward pass of the same probe.

    python benchmarks/capture.py [--backend tensorflow|jax|torch|plain]

Keras on each of its backends (a process each): one read of what the default views draw, against
model.predict of the probe; "plain" is PyTorch without Keras, against a forward pass under no_grad. Four
samples; medians over rounds in which the two take turns; "first read" is the one that may compile.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

BACKENDS, ROUNDS, SAMPLES = ["tensorflow", "jax", "torch", "plain"], 9, 4
NETWORKS = ["small CNN", "ResNet50", "ViT", "LSTM"]


def batch_of(network, channel_axis):
    """A batch that the network takes."""
    shape = {"small CNN": (32, 32, 1), "ResNet50": (96, 96, 3), "ViT": (96, 96, 3), "LSTM": (200, 3)}[network]
    values = np.random.default_rng(0).normal(size=(SAMPLES, *shape)).astype("float32")
    return values if network == "LSTM" else np.ascontiguousarray(np.moveaxis(values, -1, channel_axis))


def keras_network(network):
    """The network in Keras."""
    import keras
    from keras import layers

    if network == "ResNet50":
        return keras.applications.ResNet50(weights=None, input_shape=(96, 96, 3))
    if network == "small CNN":
        inputs = keras.Input((32, 32, 1))
        answer = inputs
        for channels in (16, 32, 32):
            answer = layers.Conv2D(channels, 3, activation="relu")(answer)
        return keras.Model(inputs, layers.Dense(10)(layers.Flatten()(answer)))
    if network == "LSTM":
        inputs = keras.Input((200, 3))
        answer = layers.Conv1D(16, 7, activation="relu")(inputs)
        answer = layers.Bidirectional(layers.LSTM(16, return_sequences=True))(answer)
        return keras.Model(inputs, layers.Dense(2)(layers.LSTM(16)(answer)))
    inputs = keras.Input((96, 96, 3))
    answer = layers.Reshape((36, 96))(layers.Conv2D(96, 16, strides=16)(inputs))
    for _ in range(6):
        inner = layers.LayerNormalization()(answer)
        answer = layers.Add()([answer, layers.MultiHeadAttention(4, 24)(inner, inner)])
        inner = layers.Dense(192, activation="gelu")(layers.LayerNormalization()(answer))
        answer = layers.Add()([answer, layers.Dense(96)(inner)])
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(answer)))


def plain_network(network):
    """The network in PyTorch; ResNet50 and ViT are those of transformers, without weights."""
    from torch import nn

    if network == "small CNN":
        return nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 26 * 26, 10),
        )  # fmt: skip
    if network == "LSTM":

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv1d(3, 16, 7)
                self.first = nn.LSTM(16, 16, batch_first=True, bidirectional=True)
                self.second, self.head = nn.LSTM(32, 16, batch_first=True), nn.Linear(16, 2)

            def forward(self, waves):
                answer = self.conv(waves.transpose(1, 2)).relu_().transpose(1, 2)
                return self.head(self.second(self.first(answer)[0])[0][:, -1])

        return Net()
    import transformers

    if network == "ResNet50":
        return transformers.ResNetModel(transformers.ResNetConfig())
    small = {"hidden_size": 96, "num_attention_heads": 4, "num_hidden_layers": 6, "intermediate_size": 192}
    return transformers.ViTModel(transformers.ViTConfig(image_size=96, **small))


def prepared(backend, network):
    """The reader of a network and its plain forward pass."""
    from layerviz_callbacks import Probe

    if backend == "plain":
        import torch

        from layerviz_callbacks.torch.reader import TorchReader

        torch.manual_seed(0)
        model, batch = plain_network(network).eval(), torch.from_numpy(batch_of(network, 1))

        def forward():
            with torch.no_grad():
                model(batch)

        return TorchReader(model, Probe(batch)), forward
    from layerviz_callbacks.keras.reader import KerasReader

    model, batch = keras_network(network), batch_of(network, -1)
    return KerasReader(model, Probe(batch)), lambda: model.predict(batch, verbose=0)


def measure(backend, network):
    """Milliseconds of the forward pass and of a read (medians), seconds of the first read."""
    from layerviz_callbacks.plan import checked_views, plan_of, request_of
    from layerviz_callbacks.request import Request

    reader, forward = prepared(backend, network)
    plan = plan_of(checked_views(None), None, reader.entries())
    began = time.perf_counter()
    request = request_of(plan, reader.read(Request()))
    reader.read(request)
    first = time.perf_counter() - began
    forward()
    times = {"forward": [], "read": []}
    for _ in range(ROUNDS):
        for name, action in (("forward", forward), ("read", lambda: reader.read(request))):
            began = time.perf_counter()
            action()
            times[name].append((time.perf_counter() - began) * 1000)
    return statistics.median(times["forward"]), statistics.median(times["read"]), first


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=BACKENDS, help="this one alone, in this process")
    parser.add_argument("--quick", action="store_true", help="plain PyTorch, the two small networks")
    options = parser.parse_args()
    if options.backend is None and not options.quick:
        for backend in BACKENDS:
            environment = {**os.environ, "KERAS_BACKEND": "torch" if backend == "plain" else backend}
            subprocess.run([sys.executable, __file__, "--backend", backend], env=environment, check=True)
        return
    backend = "plain" if options.quick else options.backend
    if backend != "plain":
        os.environ["KERAS_BACKEND"] = backend
    title = "PyTorch, no Keras" if backend == "plain" else f"Keras on {backend}"
    print(f"\n{title:22}{'forward ms':>12}{'read ms':>10}{'read/forward':>14}{'first read s':>14}")
    for network in ["small CNN", "LSTM"] if options.quick else NETWORKS:
        forward, read, first = measure(backend, network)
        print(f"{network:22}{forward:12.1f}{read:10.1f}{read / forward:14.2f}{first:14.2f}", flush=True)


if __name__ == "__main__":
    main()
