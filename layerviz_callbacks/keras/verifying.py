"""`verify` for Keras models: is a training with the callback, bit for bit, the one without?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.keras.callback import LayerVizCallback
from layerviz_callbacks.keras.reading import is_legacy, reader_of
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.verification import (
    RANDOM,
    SEED,
    State,
    Verification,
    checked_batches,
    frozen,
    leaves,
    probe_of,
    process_random_states,
    verified,
)
from layerviz_callbacks.views import View


def verify(
    make_model: Callable[[], Any],
    batches: Iterable[Any],
    *,
    steps: int | None = None,
    probe: Any = None,
    views: Sequence[View] | None = None,
) -> Verification:
    """Prove on a model of your own that the callback leaves its training as it is.

    Two fresh models are trained from the same seeds on the same batches, one of them with a callback that
    records every layer at every step. Compared bit for bit are weights and other variables, optimizer,
    metrics, history, modes, and the random states of Python, NumPy and the framework. Where something
    differs, a third training tells what is not repeatable anyway. The process' random seeds are set anew.

    Args:
        make_model: makes a new, compiled model each time it is called.
        batches: a few batches as `fit` takes them from a generator: `(x, y)` or `(x, y, sample_weight)`.
        steps: how many optimizer steps to train, going through the batches again where needed; None: each
            batch twice.
        probe: what the callback shows to the model; None: the first 4 samples of the first batch.
        views: what the callback draws; None: filters, feature maps, attention, film strips, health.

    Returns:
        A `Verification`: `.untouched`, `.differences`, and a report to print.

    Raises:
        ArgumentError: `make_model` gives no compiled Keras model, or the same one twice.
        ProbeError: the model cannot be called with the probe.

    Example:
        >>> print(verify(make_model, [(x[:8], y[:8]), (x[8:16], y[8:16])]))    # doctest: +SKIP
    """
    listed, count = checked_batches(batches, steps)
    shown = probe_of(probe, listed[0])
    first = _checked(make_model())

    def train(sink: Sink | None) -> State:
        keras.utils.set_random_seed(SEED)
        if is_legacy(first):
            import tf_keras

            tf_keras.utils.set_random_seed(SEED)
        model = _checked(make_model())
        if model is first:
            raise ArgumentError(
                "make_model() gave the same model twice, but each training needs a new one. "
                "Build and compile the model inside make_model."
            )
        callbacks = []
        if sink is not None:
            callback = LayerVizCallback(
                shown,
                log_dir=sink,
                layers="*",
                views=views,
                every_n_steps=1,
                on_error="raise",
                worker=None,
                budget=None,
            )
            callbacks = [callback]
        endless = itertools.cycle(listed)
        history = model.fit(
            _tuples(endless), steps_per_epoch=count, shuffle=False, verbose=0, callbacks=callbacks
        )
        return frozen(_state(model, history, shown))

    return verified(train, steps=count)


def _tuples(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        yield tuple(batch) if isinstance(batch, list) else batch


def _checked(model: Any) -> Any:
    if not isinstance(model, keras.Model) and not is_legacy(model):
        raise ArgumentError(
            f"make_model() gave a {type(model).__module__}.{type(model).__qualname__}. "
            "Allowed: a function that makes a compiled keras.Model, for example "
            "def make_model(): model = keras.Sequential([...]); model.compile(...); return model."
        )
    if not (model._is_compiled if is_legacy(model) else model.compiled):
        raise ArgumentError(
            f"make_model() gave {model.name!r}, which is not compiled. Call model.compile(...) in make_model."
        )
    return model


def _state(model: Any, history: Any, probe: Probe) -> dict[str, dict[str, Any]]:
    entries = [(entry.name, entry.module) for entry in reader_of(model, probe).entries()]
    layers = [(name, module) for name, module in entries if hasattr(module, "trainable_variables")]
    weights: dict[str, Any] = {}
    claimed: set[int] = set()
    # What stands in a container belongs to what it holds: the innermost first.
    for name, layer in sorted(layers, key=lambda pair: -pair[0].count("/")):
        _claim(weights, claimed, name, layer.variables)
    for name, module in entries:
        if not hasattr(module, "trainable_variables"):
            _claim(weights, claimed, name, [module])
    _claim(weights, claimed, "model", model.variables)
    if is_legacy(model):
        from layerviz_callbacks.keras.legacy.isolation import held_by

        held = held_by(list(model._flatten_modules()))
        states = [*held.variables.values(), *(generator.state for generator in held.generators)]
        _claim(weights, claimed, "state", states)
    modes: dict[str, Any] = {f"{name}.trainable": layer.trainable for name, layer in layers}
    modes |= {f"{name}.training": layer.training for name, layer in layers if hasattr(layer, "training")}
    optimizer = getattr(model.optimizer, "variables", [])
    return {
        "weights": weights,
        "optimizer variables": dict(_numbered(optimizer() if callable(optimizer) else optimizer)),
        "metrics": dict(_numbered([variable for metric in model.metrics for variable in metric.variables])),
        "history entries": dict(leaves(history.history)),
        "modes": modes,
        RANDOM: process_random_states() | _framework_random_states(model),
    }


def _claim(weights: dict[str, Any], claimed: set[int], layer: str, variables: Sequence[Any]) -> None:
    for place, variable in enumerate(variables):
        if id(variable) not in claimed:
            claimed.add(id(variable))
            wanted = f"{layer}/{variable.name.rpartition('/')[2].partition(':')[0]}"
            weights[f"{wanted} ({place})" if wanted in weights else wanted] = variable


def _numbered(variables: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Named by place: the variables' own names count through the whole process."""
    for place, variable in enumerate(variables):
        yield f"variable {place} {tuple(variable.shape)}", variable


def _framework_random_states(model: Any) -> dict[str, Any]:
    """What the generators of the framework give next; all else has been compared by then."""
    backend = "tensorflow" if is_legacy(model) else keras.backend.backend()
    states = {"Keras": keras.random.normal((4,))}
    if backend == "tensorflow":
        import tensorflow

        states["TensorFlow"] = tensorflow.random.normal((4,))
    if backend == "torch":
        import torch

        states["PyTorch"] = torch.random.get_rng_state()
    return states
