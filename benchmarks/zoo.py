"""Which layers of the well-known models are pictured: every convolution of every one should be.

    python benchmarks/zoo.py [--family keras|huggingface|own] [--only NAME]
    python benchmarks/zoo.py --views                # which views draw which model, and why not

Builds every class of keras.applications (no weights, 96 x 96 pixels), transformers' models from their
configurations, and two networks over waveforms of our own (own_networks.py); reads each as a training does
(two samples, default views, no more than what is drawn) and draws. Columns: layers of the model, those with
a kernel, pictured ones, convolutions with both filters and feature maps of all convolutions (counted by
plain framework code), seconds of one read and of drawing, and the MB of kernels and outputs that are copied
for it, with and without cutting them on the device. Fresh processes; the whole table takes some minutes.
"""

import argparse
import logging
import math
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

FAMILIES = ["keras", "huggingface", "own"]
SIDE, SAMPLES, MODELS_A_PROCESS = 96, 2, 8
HUGGING_FACE = ["ResNet", "ViT", "ConvNext", "Swin", "Segformer", "Bert", "GPT2", "Wav2Vec2", "Whisper"]
OWN = ["keras_unet_1d", "keras_eqtransformer", "torch_unet_1d", "torch_eqtransformer"]
SMALL = {"hidden_size": 96, "num_attention_heads": 4, "num_hidden_layers": 4, "intermediate_size": 192}
CONFIGURATIONS = {
    "ViT": {**SMALL, "image_size": SIDE},
    "Swin": {"depths": (2, 2, 2, 2)},
    "Bert": SMALL,
    "GPT2": {"n_embd": 96, "n_head": 4, "n_layer": 4},
    "Wav2Vec2": {**SMALL, "conv_dim": (64,) * 7},
    "Whisper": {
        "d_model": 96, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 192, "decoder_ffn_dim": 192,
    },
}  # fmt: skip


def keras_names():
    """Every class of keras.applications."""
    import keras

    found = vars(keras.applications).items()
    return sorted(name for name, value in found if callable(value) and name[0].isupper())


def keras_model(name):
    """A class of keras.applications without weights, and a batch."""
    import keras

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(SIDE, SIDE, 3))
    return model, np.random.default_rng(0).uniform(0, 255, (SAMPLES, SIDE, SIDE, 3)).astype("float32")


def hugging_face_model(name):
    """A model of transformers from its configuration, and a batch."""
    import torch
    import transformers

    torch.manual_seed(0)
    configuration = getattr(transformers, f"{name}Config")(**CONFIGURATIONS.get(name, {}))
    model = getattr(transformers, f"{name}Model")(configuration)
    random = np.random.default_rng(0)
    words = random.integers(0, 1000, (SAMPLES, 32))
    if name in ("Bert", "GPT2"):
        return model, {"input_ids": words}
    if name == "Wav2Vec2":
        return model, {"input_values": random.normal(size=(SAMPLES, 8000)).astype("float32")}
    if name == "Whisper":
        spectrum = random.normal(size=(SAMPLES, 80, 3000)).astype("float32")
        return model, {"input_features": spectrum, "decoder_input_ids": words}
    side = 224 if name == "Swin" else SIDE
    return model, {"pixel_values": random.normal(size=(SAMPLES, 3, side, side)).astype("float32")}


def own_model(name):
    """A network of own_networks.py, and a batch."""
    import own_networks

    shape = (1024, 3) if "unet" in name else (6000, 3)
    waves = np.random.default_rng(0).normal(size=(SAMPLES, *shape)).astype("float32")
    model = getattr(own_networks, name)()
    return model, waves if name.startswith("keras") else np.moveaxis(waves, 1, 2).copy()


def convolutions(model):
    """The identities of a model's convolutions, by the framework's own means."""
    if hasattr(model, "named_modules") and not hasattr(model, "_flatten_layers"):
        from torch.nn.modules.conv import _ConvNd

        return {id(module) for module in model.modules() if isinstance(module, _ConvNd)}
    import keras

    names = [name for name in dir(keras.layers) if "Conv" in name and not name.startswith("ConvLSTM")]
    classes = tuple(getattr(keras.layers, name) for name in names)
    return {id(layer) for layer in model._flatten_layers() if isinstance(layer, classes)}


def reader_of(model, batch):
    """The package's reader for the model."""
    from layerviz_callbacks import Probe

    if hasattr(model, "_flatten_layers"):
        from layerviz_callbacks.keras.reader import KerasReader as Reader
    else:
        from layerviz_callbacks.torch.reader import TorchReader as Reader
    return Reader(model, Probe(batch))


def copied_bytes(snapshot):
    """The bytes of all kernels and outputs that a snapshot holds."""
    arrays = [array for layer in snapshot for array in (layer.kernel, layer.output) if array is not None]
    return sum(array.nbytes for array in arrays)


def measure(family, name):
    """Build, read and draw one model; the row of the table, and the reason of each miss."""
    from layerviz_callbacks.coverage import coverage
    from layerviz_callbacks.plan import checked_views, plan_of, request_of
    from layerviz_callbacks.request import Request

    logging.getLogger("layerviz_callbacks").setLevel(logging.ERROR)
    make = {"keras": keras_model, "huggingface": hugging_face_model, "own": own_model}[family]
    model, batch = make(name)
    reader = reader_of(model, batch)
    entries = reader.entries()
    plan = plan_of(checked_views(None), None, entries)
    shapes = reader.read(Request())
    covered = coverage(shapes, [(one.view, one.names) for one in plan])
    request = request_of(plan, shapes)
    reader.read(request)  # a compiled pass is traced once
    began = time.perf_counter()
    snapshot = reader.read(request)
    read = time.perf_counter() - began
    pictures = [one for one in plan if one.view.family in ("filters", "feature maps")]
    drawn = [{layer.base_name for layer in one.view.drawn(snapshot)} for one in pictures]
    for one in plan:
        one.view.draw(snapshot)
    seconds = time.perf_counter() - began
    whole = [shape for layer in shapes if layer.base_name in request.outputs
             for shape in (layer.kernel_shape, layer.output_shape) if shape]  # fmt: skip
    wanted = convolutions(model)
    listed = {id(entry.module): entry.name for entry in entries}
    pictured = {one for one in wanted if all(listed.get(one) in names for names in drawn)}
    misses = {listed.get(one, "a convolution that is not listed"): "convolution without both pictures"
              for one in wanted - pictured}  # fmt: skip
    kernels = {entry.name for entry in entries if entry.has_kernel}
    misses |= {layer: why for layer, why in covered.missing.items() if layer in kernels}
    misses |= {f"{layer} ({view})": why for (layer, view), why in covered.partial.items()}
    row = [
        name, f"{len(entries)}", f"{len(kernels)}", f"{len(covered.pictured)}",
        f"{len(pictured)}/{len(wanted)}",
        f"{read:.2f}", f"{seconds - read:.2f}", f"{copied_bytes(snapshot) / 1e6:.1f}",
        f"{4 * sum(map(math.prod, whole)) / 1e6:.1f}",
    ]  # fmt: skip
    return row, misses, len(pictured), len(wanted)


def measure_views(family, name):
    """The row of the table of views, and why a view draws nothing."""
    from zoo_views import pictured

    logging.getLogger("layerviz_callbacks").setLevel(logging.ERROR)
    make = {"keras": keras_model, "huggingface": hugging_face_model, "own": own_model}[family]
    return pictured(reader_of(*make(name)), name)


def chosen_models(families, only):
    """(family, name) of the models to read."""
    lists = {"keras": keras_names, "huggingface": lambda: HUGGING_FACE, "own": lambda: OWN}
    pairs = [(family, name) for family in families for name in lists[family]()]
    return [pair for pair in pairs if not only or pair[1] in only]


def each_in_a_process(work, models):
    """Yield the name of each model and what `work` gives of it, or its error; fresh processes."""
    context = multiprocessing.get_context("spawn")
    for begin in range(0, len(models), MODELS_A_PROCESS):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            for family, name in models[begin : begin + MODELS_A_PROCESS]:
                try:
                    yield name, pool.submit(work, family, name).result()
                except (Exception, BrokenProcessPool) as error:  # noqa: BLE001  the table goes on
                    yield name, error


def print_views(models):
    """Print the table of views; the exit status is that of failures."""
    from zoo_views import HEADER

    widths, failed, reasons = [24, *[10] * (len(HEADER) - 1)], 0, []
    print(*(cell.rjust(width) for cell, width in zip(HEADER, widths, strict=True)))
    for name, found in each_in_a_process(measure_views, models):
        if isinstance(found, Exception):
            failed += 1
            print(f"{name.rjust(widths[0])} FAILED {type(found).__name__}: {found}", flush=True)
            continue
        row, why = found
        print(*(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), flush=True)
        reasons += [f"{name}: no {view}: {reason}" for view, reason in why.items()]
    print("", *reasons, sep="\n")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--family", choices=FAMILIES, action="append", help="may be given again; default: all"
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="this model alone; may be given again"
    )
    parser.add_argument("--views", action="store_true", help="the table of views")
    parser.add_argument("--quick", action="store_true", help="the smallest model of each family")
    options = parser.parse_args()
    only = ["MobileNet", "ViT", "torch_unet_1d"] if options.quick else options.only
    models = chosen_models(options.family or FAMILIES, only)
    if not models:
        parser.error(f"no model is named {only}")
    if options.views:
        return print_views(models)
    widths = [24, 7, 12, 9, 13, 7, 7, 8, 9]
    header = [
        "model",
        "layers",
        "with kernel",
        "pictured",
        "convolutions",
        "read s",
        "draw s",
        "MB cut",
        "MB whole",
    ]
    print(*(cell.rjust(width) for cell, width in zip(header, widths, strict=True)))
    reasons, found, wanted = [], 0, 0
    for name, measured in each_in_a_process(measure, models):
        if isinstance(measured, Exception):
            reasons.append(f"{name}: {type(measured).__name__}: {measured}")
            print(f"{name.rjust(widths[0])} FAILED", flush=True)
            continue
        row, misses, pictured, total = measured
        print(*(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), flush=True)
        reasons += [f"{name}: {layer}: {why}" for layer, why in misses.items()]
        found, wanted = found + pictured, wanted + total
    print(f"\n{found} of {wanted} convolutions pictured in {len(models)} models; {len(reasons)} misses")
    print(*reasons, sep="\n")
    return 0 if found == wanted and not any("Error" in reason for reason in reasons) else 1


if __name__ == "__main__":
    sys.exit(main())
