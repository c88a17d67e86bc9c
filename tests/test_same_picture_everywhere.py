"""The same weights and probe give the same pictures from Keras on each backend and from PyTorch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).with_name("same_picture.py")
PLACES = {
    "keras on tensorflow": ("keras", "tensorflow"),
    "keras on jax": ("keras", "jax"),
    "keras on torch": ("keras", "torch"),
    "pytorch": ("pytorch", "tensorflow"),
}


def weights_of(rank, values):
    """`values(shape)` makes the numbers; the kernels are `(out, in, *space)`."""
    space = (3,) * rank
    return {
        "x": values((4, *{1: (64,), 2: (18, 18)}[rank], 3)),
        "conv1.kernel": values((4, 3, *space)), "conv1.bias": values((4,)),
        "conv2.kernel": values((6, 4, *space)), "conv2.bias": values((6,)),
        "head.kernel": values((3, 6)), "head.bias": values((3,)),
    }  # fmt: skip


def eighths(random):
    """Numbers whose products and sums a float holds exactly, in whatever order they are added."""
    return lambda shape: (random.integers(-8, 9, shape) / 8).astype(np.float32)


def any_numbers(random):
    return lambda shape: random.normal(size=shape).astype(np.float32)


MODELS = {"exact 1-D": (1, eighths), "exact 2-D": (2, eighths), "rounded 2-D": (2, any_numbers)}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """By model and place: the arrays and the pictures. The four places run side by side."""
    folder = tmp_path_factory.mktemp("everywhere")
    for model, (rank, numbers) in MODELS.items():
        np.savez(folder / f"{model}.npz", **weights_of(rank, numbers(np.random.default_rng(rank))))
    files = [folder / f"{model}.npz" for model in MODELS]
    running = {}
    for place, (framework, backend) in PLACES.items():
        running[place] = subprocess.Popen(
            [sys.executable, SCRIPT, framework, folder / place, *files],
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    for process in running.values():
        told, _ = process.communicate(timeout=300)
        assert process.returncode == 0, told
    return {model: {place: read(folder / place / model) for place in PLACES} for model in MODELS}


def read(folder):
    arrays = dict(np.load(folder / "arrays.npz"))
    return arrays, {path.stem: np.asarray(Image.open(path)) for path in folder.glob("*.png")}


@pytest.mark.parametrize("place", [place for place in PLACES if place != "pytorch"])
@pytest.mark.parametrize("model", ["exact 1-D", "exact 2-D"])
def test_numbers_that_floats_hold_exactly_give_equal_pixels(found, model, place):
    expected, expected_pictures = found[model]["pytorch"]
    arrays, pictures = found[model][place]
    assert sorted(pictures) == [
        "feature maps conv1", "feature maps conv2", "feature maps head", "feature maps pool",
        "feature maps relu", "filters conv1", "filters conv2", "filters head", "health ",
    ]  # fmt: skip
    for name, picture in pictures.items():
        np.testing.assert_array_equal(picture, expected_pictures[name], err_msg=name)
    assert sorted(arrays) == sorted(expected)
    for name, array in arrays.items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("place", [place for place in PLACES if place != "pytorch"])
def test_any_numbers_give_equal_snapshots_within_rounding(found, place):
    expected, _ = found["rounded 2-D"]["pytorch"]
    arrays, _ = found["rounded 2-D"][place]
    assert sorted(arrays) == sorted(expected)
    assert {"conv2.gradient", "saliency integrated gradients", "conv2.patterns"} <= set(arrays)
    for name, array in arrays.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=2e-5, err_msg=name)
