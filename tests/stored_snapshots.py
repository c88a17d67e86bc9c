"""Snapshots with everything that can be in one, and a comparison that forgives nothing."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace

import numpy as np

from layerviz_callbacks import Layer, Probe, Snapshot
from layerviz_callbacks.cut import KernelCut, OutputCut, cut_kernel, cut_output
from layerviz_callbacks.explaining import FoundPatterns, PatternRecipe, SaliencyRecipe, Score, Target
from layerviz_callbacks.health import LayerHealth, Verdict
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.snapshot import Initial

STEPS = (0, 1, 2, 10)


def floats(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def odd_values(*shape):
    """With NaN, infinities, both zeros and numbers of all sizes."""
    values = floats(*shape)
    values.flat[:7] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3.4e38]
    return values


def found_patterns():
    recipe = PatternRecipe((0, 2), steps=3, step_size=0.1, size=(6, 6))
    return FoundPatterns(
        recipe, "photo", floats(2, 6, 6, 1), floats(2, seed=1), floats(2, seed=2),
        np.array([False, True]), floats(1, seed=3), floats(1, seed=4),
    )  # fmt: skip


def full_snapshot(step=3, *, strongest=2):
    """Every field is in use; the output of "conv" is cut, that of "volume" has five axes."""
    target, other = Target((1, 2)), Target(3, output="classes", region="all")
    kernel, taken = cut_kernel(odd_values(6, 2, 3, 3), KernelCut(strongest=2 * strongest, inputs=1, parts=2))
    output, left = cut_output(odd_values(2, 8, 8, 6) / (1 + step), OutputCut(strongest=strongest, block=2))
    layers = {
        "backbone/conv 1": Layer(
            "backbone/conv 1", "Conv2D", 1, parameters=114, kernel_shape=(6, 2, 3, 3), kernel=kernel,
            weights={"bias": odd_values(8), "a/b%": floats(2, 2), "n": np.array(7), "none": np.zeros((0, 3))},
            output_shape=(2, 8, 8, 6), output=output, kernel_taken=taken, output_taken=left,
            gates=("input", "forget"), gradients={target: floats(2, 8, 8, 6), other: floats(1, 8, 8, 6)},
            patterns=found_patterns(),
        ),
        "volume": Layer(
            "volume", "Conv3D", 2, kernel_shape=(2, 1, 3, 3, 3), kernel=floats(2, 1, 3, 3, 3),
            output_shape=(2, 4, 5, 6, 2), output=odd_values(2, 4, 5, 6, 2),
        ),
        "attention": Layer(
            "attention", "MultiHeadAttention", 3, attention_shape=(2, 2, 4, 4), attention=floats(2, 2, 4, 4),
        ),
        "attention#2": Layer("attention#2", "MultiHeadAttention", 3, part_of="attention"),
        ".": Layer(".", "Séquentiel", 4, container=True, refusal="has\x00odd letters: \ud800 ü"),
        "": Layer("", "Lambda", 5, output_refusal="gives no array", output=np.zeros((2, 0), np.float32)),
    }  # fmt: skip
    photo, ages = floats(2, 1, 8, 8), np.array([[3], [4]])
    probe = Probe({"photo": photo, "ages": ages}, names=["one", "zwölf"], targets=np.array([1, 2]))
    region = np.zeros((2, 8), bool)
    region[1, 3] = True
    scores = {
        target: Score(target, "classes", (1, 2), floats(2), (1, 1), 4),
        other: Score(other, "mask", (3, 3), floats(2, seed=9), (4, 5), 4, (8,), region=region),
    }
    return Snapshot(
        layers,
        probe,
        {"photo": photo.transpose(0, 2, 3, 1), "ages": ages},
        outputs={"mask": odd_values(2, 4, 8), "classes": floats(2, 4).astype(np.float64)},
        step=step,
        when=f"epoch {step}/12",
        metrics={"val_loss": 0.5 / (1 + step), "accuracy/top 1": np.nan},
        chosen=frozenset({"volume", "attention"}),
        input_axes={"photo": (0, 2, 3, 1), "ages": (0, 1)},
        scores=scores,
        saliency={SaliencyRecipe("smoothgrad", target): {"photo": floats(2, 8, 8, 1, seed=5)}},
        unread={"gradients of volume": "the score does not depend on it"},
        best=True,
        ranges={
            "filters/01_conv": HeldRange(2.5, True, since=1, before=1.25),
            "is": HeldRange(0.1, False, 0),
        },
        initial=Initial({"volume": replace(layers["volume"], output=floats(2, 4, 5, 6, 2))}, scores),
        numbers={"health/01_conv/dead": 0.25, "b/ü \ud800": np.nan, "a": -np.inf},
        health={
            "backbone/conv 1": LayerHealth({"weight norm": 1.5, "dead": 1 / 3}),
            "pool": LayerHealth(),
            "": LayerHealth({"gradient norm": np.inf}),
        },
        verdicts=(
            Verdict(
                "volume", "dead channels", "1 of 2", 1, "epoch 1", 0.75, "filters/02_volume", "do \ud800"
            ),
            Verdict("", "not finite", "NaN everywhere", 3),
        ),
    )


def small_snapshot(step=0, *, kernel=None, output=None, **more):
    """Two layers and a probe of two samples."""
    kernel = floats(3, 1, 2, seed=step) if kernel is None else kernel
    output = floats(2, 5, 3, seed=100 + step) if output is None else output
    layers = {
        "conv": Layer(
            "conv", "Conv1D", 1, parameters=9, kernel_shape=(3, 1, 2), kernel=kernel,
            weights={"bias": floats(3, seed=step)}, output_shape=(2, 5, 3), output=output,
        ),
        "pool": Layer("pool", "MaxPooling1D", 2, output_shape=(2, 2, 3), output=floats(2, 2, 3, seed=step)),
    }  # fmt: skip
    batch = np.arange(12.0).reshape(2, 6, 1)
    return Snapshot(layers, Probe(batch), {"input": batch}, step=step, when=f"epoch {step}/12", **more)


def differences(one, other, path="snapshot"):
    """Where two values differ, in words; arrays bit by bit, mappings in their order."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        if type(one) is not type(other) or one.dtype != other.dtype or one.shape != other.shape:
            return [
                f"{path}: {getattr(one, 'dtype', one)} {np.shape(one)} and {getattr(other, 'dtype', other)}"
            ]
        return [] if one.tobytes() == other.tobytes() else [f"{path}: other values"]
    if isinstance(one, Probe):
        return differences(vars_of(one), vars_of(other), path)
    if is_dataclass(one) and is_dataclass(other):
        names = [field.name for field in fields(one)]
        return [
            told
            for name in names
            for told in differences(getattr(one, name), getattr(other, name), f"{path}.{name}")
        ]
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if list(one) != list(other):
            return [f"{path}: {list(one)} and {list(other)}"]
        return [told for name in one for told in differences(one[name], other[name], f"{path}[{name!r}]")]
    if isinstance(one, (list, tuple)) and type(one) is type(other) and len(one) == len(other):
        return [
            told
            for place, (first, second) in enumerate(zip(one, other, strict=True))
            for told in differences(first, second, f"{path}[{place}]")
        ]
    same = type(one) is type(other) and (one == other or (one != one and other != other))
    return [] if same else [f"{path}: {one!r} and {other!r}"]


def vars_of(probe):
    return {
        "inputs": probe.inputs, "arrays": probe.arrays, "names": probe.names, "targets": probe.targets,
        "count": probe.sample_count,
    }  # fmt: skip
