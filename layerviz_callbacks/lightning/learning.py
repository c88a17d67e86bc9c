"""How a batch enters a LightningModule: learnt from a dry run of the module's own step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.lightning.batches import copied
from layerviz_callbacks.lightning.installed import silent_logger
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.torch.copying import tensors_in
from layerviz_callbacks.torch.isolation import undisturbed

_NOT_THE_MODEL = ("torchmetrics", "torch.nn.modules.loss")


@dataclass(frozen=True)
class Entry:
    """How a batch enters the module.

    Attributes:
        probe: what is shown: the inputs of that call, with the batch's targets.
        run: runs the module with the probe and gives back its output.
    """

    probe: Probe
    run: Callable[[], Any]


def entry_of_batch(trainer: Any, module: Any, batch: Any, *, from_validation: bool) -> Entry:
    """Find out how the module is called with such a batch.

    1. A dry run of its own `validation_step` (`training_step` where the batch is a training batch), with
       logging switched off and everything put back, shows the one outermost call that the step makes,
       with its arguments. That call is what is repeated.
    2. A step that makes several calls side by side is repeated itself.
    3. Where the step cannot be repeated (manual optimisation, or it fails), `module(x)` with the batch's
       first part is tried.

    Raises:
        ArgumentError: none of this works; the message says to pass `probe=`.
    """
    reason = ""
    if from_validation or module.automatic_optimization:
        step = module.validation_step if from_validation else module.training_step
        try:
            calls = _calls_of(trainer, module, lambda: _dry_step(trainer, module, step, batch))
            return _entry_of_calls(trainer, module, step, batch, calls)
        except Exception as error:  # noqa: BLE001  the step is the user's: whatever it raises, there is a second way
            reason = f"a dry run of its {step.__name__} gave {type(error).__name__}: {error}"
    else:
        reason = "its training_step optimises by hand, which cannot be repeated"
    try:
        entry = _entry_of_forward(trainer, module, batch)
        with undisturbed(module):
            entry.run()
        return entry
    except Exception as error:
        raise ArgumentError(
            f"How a batch enters {type(module).__name__} cannot be found out: {reason}; and calling it with "
            f"the batch's first part gave {type(error).__name__}: {error}. Pass what the model is called "
            "with: LayerVizCallback(probe=x_val[:4])."
        ) from error


def forward_call(trainer: Any, module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Call the module with these arguments in the precision that the trainer uses.

    Raises:
        ArgumentError: the module has no `forward`.
    """
    try:
        with trainer.precision_plugin.forward_context():
            return module(*arguments, **named)
    except NotImplementedError as error:
        if _has_forward(module):
            raise
        raise ArgumentError(
            f"{type(module).__name__} has no forward(), so it cannot be called with probe=. Define "
            "forward(self, x) in it, or leave probe= out: then the probe is taken from the data, and is "
            "shown the way validation_step does it."
        ) from error


def _has_forward(module: nn.Module) -> bool:
    library = ("lightning.", "pytorch_lightning.", "torch.")
    return not type(module).forward.__module__.startswith(library)


@dataclass(frozen=True)
class _Call:
    name: str  # "" is the module itself
    arguments: tuple[Any, ...]
    named: dict[str, Any]


def _entry_of_calls(trainer: Any, module: Any, step: Any, batch: Any, calls: list[_Call]) -> Entry:
    targets = _targets_of(batch)
    if calls and (calls[0].name == "" or len(calls) == 1):
        call = calls[0]
        called = module.get_submodule(call.name) if call.name else module

        def repeat_call() -> Any:
            arguments, named = copied([call.arguments, call.named], module.device)
            with trainer.precision_plugin.forward_context():
                return called(*arguments, **named)

        return Entry(_probe_of(call.arguments, call.named, targets), repeat_call)
    if not calls:
        raise ArgumentError("the step calls no layer")

    def repeat_step() -> Any:
        return _dry_step(trainer, module, step, batch)

    return Entry(_probe_of((_input_of(batch),), {}, targets), repeat_step)


def _entry_of_forward(trainer: Any, module: Any, batch: Any) -> Entry:
    value = _input_of(batch)
    probe = _probe_of((value,), {}, _targets_of(batch))
    return Entry(probe, lambda: forward_call(trainer, module, (copied(value, module.device),), {}))


def _calls_of(trainer: Any, module: Any, run: Callable[[], Any]) -> list[_Call]:
    """The outermost calls of layers that a run makes, without losses and metrics."""
    calls: list[_Call] = []
    depth = 0
    handles: list[Any] = []

    def entering(name: str) -> Callable[..., None]:
        def hook(called: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            nonlocal depth
            if depth == 0 and not type(called).__module__.startswith(_NOT_THE_MODEL):
                calls.append(_Call(name, copied(arguments), copied(named)))
            depth += 1

        return hook

    def leaving(*_: Any) -> None:
        nonlocal depth
        depth -= 1

    with undisturbed(module):
        try:
            for name, part in module.named_modules():
                if not isinstance(part, torch.jit.ScriptModule):
                    handles.append(part.register_forward_pre_hook(entering(name), with_kwargs=True))
                    handles.append(part.register_forward_hook(leaving, always_call=True))
            run()
        finally:
            for handle in handles:
                handle.remove()
    return calls


def _dry_step(trainer: Any, module: Any, step: Any, batch: Any) -> Any:
    """Run `validation_step` or `training_step` without logging; call it inside `undisturbed`."""
    parameters = inspect.signature(step).parameters.values()
    named = sum(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
    variable = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    indices = [0, 0][: max(named - 1, 1 if variable else 0)]  # of the batch, and of the loader
    with _no_logging(trainer, module), trainer.precision_plugin.forward_context():
        return step(copied(batch, module.device), *indices)


@contextmanager
def _no_logging(trainer: Any, module: Any) -> Iterator[None]:
    def nothing(*_: Any, **__: Any) -> None:
        return None

    loggers = trainer.loggers
    replaced = {"log": nothing, "log_dict": nothing}
    before = {name: vars(module).get(name) for name in replaced}
    vars(module).update(replaced)
    trainer.loggers = [silent_logger()] if loggers else []
    try:
        yield
    finally:
        trainer.loggers = loggers
        for name, value in before.items():
            vars(module).pop(name)
            if value is not None:
                vars(module)[name] = value


def _input_of(batch: Any) -> Any:
    """The x of (x, y, ...); any other batch as a whole."""
    return batch[0] if isinstance(batch, (list, tuple)) and batch else batch


def _targets_of(batch: Any) -> torch.Tensor | None:
    """The y of (x, y, ...), where it is a tensor with one entry a sample."""
    if isinstance(batch, (list, tuple)) and len(batch) > 1:
        x, y = next((tensor for _, tensor in tensors_in(batch[0])), None), batch[1]
        if x is not None and isinstance(y, torch.Tensor) and y.ndim and y.shape[0] == x.shape[0]:
            return y
    return None


def _probe_of(arguments: tuple[Any, ...], named: dict[str, Any], targets: torch.Tensor | None) -> Probe:
    """The tensors of a call that have the samples as their first axis."""
    batched = {path: tensor for path, tensor in tensors_in([*arguments, named]) if tensor.ndim}
    lengths = [tensor.shape[0] for tensor in batched.values()]
    if not lengths:
        raise ArgumentError("the model is called without a tensor")
    tensors = {path: tensor for path, tensor in batched.items() if tensor.shape[0] == lengths[0]}
    fitting = targets if targets is not None and targets.shape[0] == lengths[0] else None
    inputs = next(iter(tensors.values())) if len(tensors) == 1 else _named_inputs(tensors)
    return Probe(inputs, targets=fitting)


def _named_inputs(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`0` and `1.mask` become "input 1" and "mask"."""
    inputs: dict[str, torch.Tensor] = {}
    for place, (path, tensor) in enumerate(tensors.items(), start=1):
        last = path.rpartition(".")[2]
        name = f"input {place}" if last.isdigit() or last in inputs else last
        inputs[name] = tensor
    return inputs
