"""Small convnets with given weights in Keras (on the backend of KERAS_BACKEND) or in PyTorch, inspected.

python same_picture.py keras|pytorch WEIGHTS.npz FOLDER
"""

import sys
from pathlib import Path

import numpy as np

from layerviz_callbacks import Probe, inspect, views


def keras_model(weights, rank):
    import keras

    convolution, pooling, mean = {
        1: (keras.layers.Conv1D, keras.layers.MaxPooling1D, keras.layers.GlobalAveragePooling1D),
        2: (keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.GlobalAveragePooling2D),
    }[rank]
    model = keras.Sequential(
        [
            keras.Input(weights["x"].shape[1:]),
            convolution(4, 3, padding="same", name="conv1"),
            keras.layers.ReLU(name="relu"),
            pooling(2, name="pool"),
            convolution(6, 3, name="conv2"),
            mean(name="mean"),
            keras.layers.Dense(3, name="head"),
        ]
    )
    for name in ("conv1", "conv2", "head"):
        kernel = np.moveaxis(weights[f"{name}.kernel"], (0, 1), (-1, -2))  # (*space, in, out)
        model.get_layer(name).set_weights([kernel, weights[f"{name}.bias"]])
    return model, weights["x"]


def torch_model(weights, rank):
    import torch
    from torch import nn

    convolution, pooling = {1: (nn.Conv1d, nn.MaxPool1d), 2: (nn.Conv2d, nn.MaxPool2d)}[rank]
    # A sheet says the name of the layer's class: here that of Keras, so that nothing else may differ.
    named_convolution = type(f"Conv{rank}D", (convolution,), {})
    named_pooling = type(f"MaxPooling{rank}D", (pooling,), {})

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(dim=tuple(range(2, x.ndim)))

    model = nn.Sequential()
    model.add_module("conv1", named_convolution(weights["x"].shape[-1], 4, 3, padding=1))
    model.add_module("relu", nn.ReLU())
    model.add_module("pool", named_pooling(2))
    model.add_module("conv2", named_convolution(4, 6, 3))
    model.add_module("mean", Mean())
    model.add_module("head", type("Dense", (nn.Linear,), {})(6, 3))
    with torch.no_grad():
        for name in ("conv1", "conv2", "head"):
            model.get_submodule(name).weight.copy_(torch.from_numpy(weights[f"{name}.kernel"]))
            model.get_submodule(name).bias.copy_(torch.from_numpy(weights[f"{name}.bias"]))
    return model, np.moveaxis(weights["x"], -1, 1).copy()


def looked_at(model, probe):
    """What is found by gradients: of a layer, of the inputs, and by ascending them."""
    looking = [
        views.GradCAM(layers="conv2", target=1),
        views.Saliency(target=1),
        views.Saliency(method="integrated gradients", target=1, steps=8),
        views.Patterns(layers=["conv1", "conv2"], channels=[0, 1], steps=4, jitter=1),
    ]
    snapshot = inspect(model, probe, views=looking)
    (gradient,) = snapshot["conv2"].gradients.values()
    arrays = {"conv2.gradient": gradient}
    for recipe, found in snapshot.saliency.items():
        arrays[f"saliency {recipe.method}"] = found["input"]
    for name in ("conv1", "conv2"):
        arrays[f"{name}.patterns"] = snapshot[name].patterns.inputs
    pictures = snapshot.pictures(*looking)
    assert [picture.tag.partition("/")[0] for picture in pictures].count("patterns") == 2
    return arrays


def main(framework, weights_file, folder):
    weights = dict(np.load(weights_file))
    rank = weights["x"].ndim - 2
    model, x = {"keras": keras_model, "pytorch": torch_model}[framework](weights, rank)
    names = [f"wave {place}" for place in range(len(x))]
    snapshot = inspect(model, Probe(x, names=names), layers=["conv1", "relu", "pool", "conv2", "head"])
    arrays = {}
    for layer in snapshot:
        if layer.kernel is not None:
            arrays[f"{layer.name}.kernel"] = layer.kernel
        if layer.output is not None:
            arrays[f"{layer.name}.output"] = layer.output
    arrays |= looked_at(model, Probe(x, names=names))
    folder.mkdir()
    np.savez(folder / "arrays.npz", **arrays)
    for picture in snapshot.pictures():
        family, _, layer = picture.tag.partition("/")
        (folder / f"{family} {layer.partition('_')[2]}.png").write_bytes(picture.png())


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir()
    for weights_file in map(Path, sys.argv[3:]):
        main(sys.argv[1], weights_file, Path(sys.argv[2]) / weights_file.stem)
