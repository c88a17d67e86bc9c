"""`verify` for LightningModules: is a training with the callback, bit for bit, the one without?"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.lightning.callback import LayerVizCallback
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.torch.verifying import module_state, optimizer_state, torch_random_states
from layerviz_callbacks.verification import (
    RANDOM,
    SEED,
    State,
    Verification,
    checked_batches,
    frozen,
    leaves,
    process_random_states,
    seed_process,
    verified,
)
from layerviz_callbacks.views import View

_NAMESPACES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}
_SILENT = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def verify(
    make_module: Callable[[], Any],
    batches: Iterable[Any],
    *,
    steps: int | None = None,
    probe: Any = None,
    views: Sequence[View] | None = None,
    forward: Callable[[nn.Module, Any], Any] | None = None,
    trainer: Mapping[str, Any] | None = None,
) -> Verification:
    """Prove on a LightningModule of your own that the callback leaves its training as it is.

    Two fresh modules are trained by a Trainer each, from the same seeds on the same batches, one of them
    with a callback that records every layer at every step. Compared bit for bit are parameters, buffers,
    gradients, optimizers, learning-rate schedules, logged metrics, modes, and the random states of Python,
    NumPy and PyTorch. Where something differs, a third training tells what is not repeatable anyway. The
    process' random seeds are set anew.

    Args:
        make_module: makes a new LightningModule each time it is called.
        batches: a few batches, as `training_step` takes them.
        steps: how many optimizer steps to train, going through the batches again where needed; None: as
            many as two times the batches.
        probe: what the callback shows to the module; None: what it takes from the batches by itself.
        views: what the callback draws; None: filters, feature maps, attention, film strips, health.
        forward: how the module is shown the probe, as in `LayerVizCallback`.
        trainer: further arguments of the Trainer, such as `{"precision": "bf16-mixed"}`.

    Returns:
        A `Verification`: `.untouched`, `.differences`, and a report to print.

    Raises:
        ArgumentError: `make_module` gives no LightningModule, or the same one twice.
        ProbeError: the module cannot be called with the probe.

    Example:
        >>> print(verify(lambda: LitNet(), list(itertools.islice(loader, 3))))    # doctest: +SKIP
    """
    listed, count = checked_batches(batches, steps)
    modules: list[Any] = []

    def train(sink: Sink | None) -> State:
        seed_process(SEED)
        torch.manual_seed(SEED)
        module = make_module()
        lightning = importlib.import_module(_namespace_of(module))
        if any(module is other for other in modules):
            raise ArgumentError(
                "make_module() gave the same module twice, but each training needs a new one. "
                "Build the module inside make_module."
            )
        modules[:] = [module]
        callbacks = []
        if sink is not None:
            callback = LayerVizCallback(
                probe,
                forward=forward,
                log_dir=sink,
                layers="*",
                views=views,
                every_n_steps=1,
                on_error="raise",
                worker=None,
                budget=None,
            )
            callbacks = [callback]
        with _quiet():
            run = lightning.Trainer(
                **{**_SILENT, "devices": 1, **(trainer or {}), "max_steps": count, "callbacks": callbacks}
            )
            run.fit(module, train_dataloaders=_Loader(listed))
        return frozen(_state(run, module))

    return verified(train, steps=count)


class _Loader:
    """The batches as one loader: Lightning takes a plain list as several loaders."""

    def __init__(self, batches: Sequence[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


def _namespace_of(module: Any) -> str:
    for kind in type(module).__mro__:
        root = kind.__module__.partition(".")[0]
        if kind.__name__ == "LightningModule" and root in _NAMESPACES:
            return _NAMESPACES[root]
    raise ArgumentError(
        f"make_module() gave a {type(module).__module__}.{type(module).__qualname__}. "
        "Allowed: a function that makes a LightningModule; for plain ones layerviz_callbacks.torch.verify."
    )


def _state(run: Any, module: nn.Module) -> dict[str, dict[str, Any]]:
    schedules = [config.scheduler.state_dict() for config in run.lr_scheduler_configs]
    return {
        **module_state(module),
        "optimizer entries": optimizer_state(run.optimizers),
        "schedule entries": dict(leaves(schedules)),
        "metrics": dict(run.callback_metrics),
        "counters": {"global_step": run.global_step, "current_epoch": run.current_epoch},
        RANDOM: process_random_states() | torch_random_states(),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice on loaders and loggers is for real trainings."""
    names = ("lightning.pytorch.utilities.rank_zero", "pytorch_lightning.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
