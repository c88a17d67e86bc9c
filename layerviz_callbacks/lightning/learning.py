"""How a batch enters a LightningModule: learnt from a dry run of the module's own step."""

from __future__ import annotations

from typing import Any

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.lightning.advice import forward_for_batch
from layerviz_callbacks.lightning.batches import copied, input_of, targets_of
from layerviz_callbacks.lightning.calls import OuterCall, outer_calls, probe_of_call, with_inputs
from layerviz_callbacks.lightning.entry import (
    Entry,
    Forward,
    Inputs,
    call_forward,
    entry_of_given_forward,
    entry_of_input,
    entry_of_probe,
    has_forward,
)
from layerviz_callbacks.lightning.fitting import Taken
from layerviz_callbacks.lightning.running import run_as_trained
from layerviz_callbacks.lightning.steps import dry_step
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.torch.isolation import undisturbed


def entry_of(
    trainer: Any, module: Any, probe: Probe | None, taken: Taken | None, forward: Forward | None
) -> Entry:
    """How the module is shown the given probe, or else the samples that were taken from the data.

    Raises:
        ArgumentError: it cannot be found out, or `forward` failed; the message says what to type.
    """
    if probe is not None:
        return entry_of_probe(trainer, module, probe, forward)
    taken = taken or Taken(None, from_validation=False)
    if forward is not None:
        return entry_of_given_forward(trainer, module, taken.batch, forward)
    return entry_of_batch(trainer, module, taken.batch, from_validation=taken.from_validation)


def entry_of_batch(trainer: Any, module: Any, batch: Any, *, from_validation: bool) -> Entry:
    """Find out how the module is called with such a batch.

    1. A dry run of its own `validation_step` (`training_step` where the batch is a training batch), with
       logging switched off and everything put back, shows the one outermost call that the step makes,
       with its arguments. That call is what is repeated.
    2. A step that makes several calls side by side is repeated itself.
    3. Where the step cannot be repeated (manual optimisation, or it fails), `module(x)` with the batch's
       first part is tried.

    Raises:
        ArgumentError: none of this works; the message says what to type.
    """
    reason = ""
    if from_validation or module.automatic_optimization:
        step = module.validation_step if from_validation else module.training_step
        try:
            own = copied(batch, module.device)
            calls = outer_calls(trainer, module, lambda: dry_step(trainer, module, step, own))
            return _entry_of_calls(trainer, module, step, batch, calls)
        except Exception as error:  # noqa: BLE001  the step is the user's: whatever it raises, there is a second way
            reason = f"a dry run of its {step.__name__} gave {type(error).__name__}: {error}"
    else:
        reason = "its training_step optimises by hand, which cannot be repeated"
    try:
        entry = _entry_of_first_part(trainer, module, batch)
        with undisturbed(module):
            entry.run()
        return entry
    except Exception as error:
        second = (
            f"calling it with the batch's first part gave {type(error).__name__}: {error}"
            if has_forward(module)
            else "it has no forward()"
        )
        probe = "; or pass what its forward() takes: LayerVizCallback(probe=x_val[:4])" * has_forward(module)
        raise ArgumentError(
            f"How a batch enters {type(module).__name__} cannot be found out: {reason}; and {second}. "
            f"Say it: {forward_for_batch(module, batch)}{probe}."
        ) from error


def _entry_of_calls(trainer: Any, module: Any, step: Any, batch: Any, calls: list[OuterCall]) -> Entry:
    targets = targets_of(batch)
    if calls and (calls[0].name == "" or len(calls) == 1):
        call = calls[0]
        called = module.get_submodule(call.name) if call.name else module

        def repeat_call(inputs: Inputs = None) -> Any:
            arguments, named = copied((call.arguments, call.named), module.device)
            arguments, named = with_inputs(arguments, named, inputs)
            return run_as_trained(trainer, module, lambda: called(*arguments, **named))

        way = f"{call.name or 'the module'} is called as {step.__name__} does it"
        return Entry(probe_of_call(call.arguments, call.named, targets), repeat_call, way)
    if not calls:
        raise ArgumentError("the step calls no layer")

    def repeat_step(shown: Any) -> Any:
        return run_as_trained(trainer, module, lambda: dry_step(trainer, module, step, shown))

    return entry_of_input(module, batch, repeat_step, f"{step.__name__} is repeated")


def _entry_of_first_part(trainer: Any, module: Any, batch: Any) -> Entry:
    value = input_of(batch)

    def call(inputs: Inputs = None) -> Any:
        arguments, named = with_inputs((copied(value, module.device),), {}, inputs)
        return call_forward(trainer, module, arguments, named, inputs=value)

    probe = probe_of_call((value,), {}, targets_of(batch))
    return Entry(probe, call, "the module is called with the batch's first part")
