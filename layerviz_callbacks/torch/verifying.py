"""`verify` for PyTorch loops: is a training with pictures, bit for bit, the one without?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.torch.attachment import attach
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
    seed_process,
    verified,
)
from layerviz_callbacks.views import View

Step = Callable[[Any], Any]


def verify(
    make_training: Callable[[], Any],
    batches: Iterable[Any],
    *,
    steps: int | None = None,
    probe: Any = None,
    views: Sequence[View] | None = None,
    forward: Callable[[nn.Module, Any], Any] | None = None,
) -> Verification:
    """Prove on a training of your own that `attach` leaves it as it is.

    Two fresh models are trained from the same seeds on the same batches, one of them pictured: every layer
    at every step. Compared bit for bit are parameters, buffers, gradients, the optimizers that stepped, what
    the steps gave back, modes, and the random states of Python, NumPy and PyTorch. Where something differs,
    a third training tells what is not repeatable anyway. The process' random seeds are set anew.

    Args:
        make_training: makes everything new each time it is called, and gives either `(model, step)`, where
            `step(batch)` trains one batch and may give back the loss; or `(model, optimizer, loss)`, for
            batches `(x, y)` and `loss(model(x), y)`.
        batches: a few batches, as the loop takes them.
        steps: how many optimizer steps to train, going through the batches again where needed; None: each
            batch twice.
        probe: what the model is shown; None: the first 4 samples of the first batch's inputs.
        views: what is drawn; None: filters, feature maps, attention, film strips, health.
        forward: how the model is shown the probe, as in `attach`.

    Returns:
        A `Verification`: `.untouched`, `.differences`, and a report to print.

    Raises:
        ArgumentError: `make_training` gives something else, or the same model twice.
        ProbeError: the model cannot be called with the probe.

    Example:
        >>> def make_training():                                               # doctest: +SKIP
        ...     model = Net()
        ...     return model, torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
        >>> print(verify(make_training, list(itertools.islice(loader, 3))))    # doctest: +SKIP
    """
    listed, count = checked_batches(batches, steps)
    shown = probe_of(probe, listed[0])
    models: list[nn.Module] = []

    def train(sink: Sink | None) -> State:
        seed_process(SEED)
        torch.manual_seed(SEED)
        model, step = _training_of(make_training())
        if any(model is other for other in models):
            raise ArgumentError(
                "make_training() gave the same model twice, but each training needs a new one. "
                "Build the model and its optimizer inside make_training."
            )
        models[:] = [model]
        given = itertools.islice(itertools.cycle(listed), count)
        with stepping_optimizers() as optimizers:
            if sink is None:
                results = [step(batch) for batch in given]
            else:
                results = []
                attachment = attach(
                    model, shown, log_dir=sink, layers="*", views=views, every_n_steps=1, on_error="raise",
                    worker=None, budget=None,
                    forward=forward,
                )  # fmt: skip
                with attachment as record:
                    for number, batch in enumerate(given, start=1):
                        results.append(step(batch))
                        record(number)
        return frozen(
            {
                **module_state(model),
                "optimizer entries": optimizer_state(optimizers),
                "results of steps": {f"step {place}": one for place, one in enumerate(results, start=1)},
                RANDOM: process_random_states() | torch_random_states(),
            }
        )

    return verified(train, steps=count)


@contextmanager
def stepping_optimizers() -> Iterator[list[torch.optim.Optimizer]]:
    """The optimizers that take a step while this scope is open, in the order of their first steps."""
    found: list[torch.optim.Optimizer] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if not any(optimizer is other for other in found):
            found.append(optimizer)

    handle = register_optimizer_step_post_hook(note)
    try:
        yield found
    finally:
        handle.remove()


def module_state(model: nn.Module) -> dict[str, dict[str, Any]]:
    """The parameters, buffers, gradients and modes of a model, by their dotted names."""
    parameters = dict(model.named_parameters())
    modes = {f"{name or 'model'}.training": module.training for name, module in model.named_modules()}
    modes |= {f"{name}.requires_grad": parameter.requires_grad for name, parameter in parameters.items()}
    gradients = {name: one.grad for name, one in parameters.items() if one.grad is not None}
    return {
        "weights": parameters,
        "buffers": dict(model.named_buffers()),
        "gradients": gradients,
        "modes": modes,
    }


def optimizer_state(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Any]:
    """Everything that optimizers hold, by path."""
    prefix = "" if len(optimizers) == 1 else "optimizer {} "
    return {
        prefix.format(place) + path: value
        for place, optimizer in enumerate(optimizers)
        for path, value in leaves(optimizer.state_dict())
    }


def torch_random_states() -> dict[str, Any]:
    """The states of PyTorch's generators, that of each device among them."""
    states = {"PyTorch": torch.random.get_rng_state()}
    for place in range(torch.cuda.device_count()):
        states[f"PyTorch on cuda:{place}"] = torch.cuda.get_rng_state(place)
    return states


def _training_of(given: Any) -> tuple[nn.Module, Step]:
    parts = given if isinstance(given, tuple) else (given,)
    if isinstance(parts[0], nn.Module):
        model = parts[0]
        if len(parts) == 2 and callable(parts[1]):
            return model, parts[1]
        if len(parts) == 3 and hasattr(parts[1], "zero_grad") and callable(parts[2]):
            return model, _plain_step(model, parts[1], parts[2])
    told = ", ".join(type(part).__name__ for part in parts)
    raise ArgumentError(
        f"make_training() gave ({told}). Allowed: (model, step), where step(batch) trains one batch, or "
        "(model, optimizer, loss), for example Net(), torch.optim.Adam(...), nn.CrossEntropyLoss()."
    )


def _plain_step(model: nn.Module, optimizer: Any, loss: Callable[[Any, Any], Any]) -> Step:
    def step(batch: Any) -> Any:
        x, y = batch
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return step
