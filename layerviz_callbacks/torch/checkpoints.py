"""Checkpoints of PyTorch and Lightning: read without unpickling, unless somebody says they are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from layerviz_callbacks.errors import CheckpointError

_PLACES = ("state_dict", "model_state_dict", "model_state", "model", "weights", "net", "network")
"""Where the weights stand in a checkpoint, by custom."""


@dataclass(frozen=True, eq=False)
class TorchCheckpoint:
    """What a checkpoint holds.

    Attributes:
        weights: tensors by name.
        epochs: the epochs that were done, where Lightning says so; None within an epoch, and elsewhere.
        steps: the optimizer steps that were done, where Lightning says so.
        hyper_parameters: what the module was made with, where Lightning kept it.
        number: what a hand-written checkpoint calls its epoch, as it stands there.
    """

    weights: Mapping[str, torch.Tensor]
    epochs: int | None = None
    steps: int | None = None
    hyper_parameters: Mapping[str, Any] = field(default_factory=dict)
    number: int | None = None


def read_checkpoint(path: Path, *, trust: bool = False) -> TorchCheckpoint:
    """Read a checkpoint; tensors stay on disk until they are used, where the format allows it.

    Args:
        path: what `torch.save`, Lightning or safetensors wrote.
        trust: Python objects in it may be unpickled, which can run any code.

    Raises:
        CheckpointError: it holds Python objects and is not trusted, holds no weights, or cannot be read.
    """
    if path.suffix == ".safetensors":
        return TorchCheckpoint(_safe_tensors(path))
    content = _content(path, trust=trust)
    if isinstance(content, nn.Module):  # only where it is trusted
        return TorchCheckpoint(content.state_dict())
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path.name} holds a {type(content).__name__}. Allowed: a state dict, or a dict with one."
        )
    weights = _weights(path, content)
    epochs, steps = _progress(content)
    number = content.get("epoch") if epochs is None and steps is None else None
    return TorchCheckpoint(
        weights,
        epochs,
        steps,
        dict(content.get("hyper_parameters") or {}),
        number if isinstance(number, int) and not isinstance(number, bool) else None,
    )


def load_weights(model: nn.Module, checkpoint: TorchCheckpoint, name: str) -> None:
    """Load weights into a model, all of its weights or none of them being named by the checkpoint.

    The names may begin with something more or less than the model's own (`module.`, `_orig_mod.`, or
    `model.` where the model is a part of what was trained), as long as there is one way to match them.

    Args:
        model: is changed in place.
        checkpoint: whose weights.
        name: of the file, for messages.

    Raises:
        CheckpointError: the weights are of another model.
    """
    weights = {key.replace("_orig_mod.", ""): value for key, value in checkpoint.weights.items()}
    try:
        model.load_state_dict(weights)
        return
    except (RuntimeError, ValueError) as error:
        refusal = error
    renamed = [found for found in _renamed(list(model.state_dict()), weights).values() if found]
    if len(renamed) != 1:
        raise CheckpointError(_why_not(model, weights, name, refusal, ways=len(renamed))) from refusal
    try:
        model.load_state_dict(renamed[0])
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(_why_not(model, renamed[0], name, error, ways=1)) from error


def _renamed(wanted: list[str], weights: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By prefix, the weights under the model's own names, where all and no others stand under it."""
    found: dict[str, dict[str, Any]] = {}
    ends = {key[: place + 1] for key in weights for place, letter in enumerate(key) if letter == "."}
    for prefix in sorted(ends):
        under = {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}
        if set(under) == set(wanted):
            found[prefix] = under
    for prefix in sorted({key.partition(".")[0] + "." for key in wanted}):
        longer = {prefix + key: value for key, value in weights.items()}
        if set(longer) == set(wanted):
            found["+" + prefix] = longer
    return found


def _why_not(
    model: nn.Module, weights: Mapping[str, torch.Tensor], name: str, error: Exception, *, ways: int
) -> str:
    kind, own = type(model).__name__, model.state_dict()
    if ways > 1:
        return (
            f"{name} holds the weights of {kind} {ways} times, under different names. Let the function "
            "behind --model build the whole module that was saved."
        )
    missing, further = [key for key in own if key not in weights], [key for key in weights if key not in own]
    if missing or further:
        words = [f"lacks {len(missing)} of its {len(own)} weights ({_listed(missing)})"] if missing else []
        words += [f"has {len(further)} that it has not ({_listed(further)})"] if further else []
        return f"{name} does not fit {kind}: it {', and '.join(words)}."
    shapes = [
        f"{key} is {tuple(value.shape)} and should be {tuple(own[key].shape)}"
        for key, value in weights.items()
        if getattr(value, "shape", None) != getattr(own[key], "shape", None)
    ]
    reason = _listed(shapes) if shapes else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return f"{name} does not fit {kind}: {reason}."


def _listed(words: list[str]) -> str:
    return ", ".join(words[:3]) + (", ..." if len(words) > 3 else "")


def _content(path: Path, *, trust: bool) -> Any:
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=not trust, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            return torch.load(path, map_location="cpu", weights_only=not trust)  # an older format
    except Exception as error:  # whatever comes of a damaged or strange file
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if not trust and type(error).__name__ == "UnpicklingError" and "eights only" in str(error):
            certain = "nsupported global" in str(error) or "nsupported class" in str(error)
            raise CheckpointError(
                f"{path.name} {'holds' if certain else 'is damaged, or holds'} Python objects"
                f"{_objects_in(path)}, and reading these can run any code. Type --trust if you trust who "
                "wrote the file, or save the weights alone: torch.save(model.state_dict(), ...)."
            ) from error
        raise CheckpointError(f"{path.name} cannot be read. What PyTorch said: {said}") from error


def _objects_in(path: Path) -> str:
    """The classes and functions that a file would call, found without calling them."""
    try:
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001  an addition to a message: an older format, or an older PyTorch
        return ""
    return f" ({_listed(names)})" if names else ""


def _safe_tensors(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise CheckpointError(
            f"{path.name} needs safetensors, which is not installed. Type: pip install safetensors"
        ) from error
    try:
        tensors: Mapping[str, torch.Tensor] = load_file(path, device="cpu")
    except Exception as error:
        raise CheckpointError(f"{path.name} cannot be read: {type(error).__name__}: {error}") from error
    return tensors


def _weights(path: Path, content: Mapping[Any, Any]) -> Mapping[str, torch.Tensor]:
    for place in _PLACES:
        inner = content.get(place)
        if isinstance(inner, nn.Module):  # only where it is trusted
            return inner.state_dict()
        if isinstance(inner, Mapping) and _is_state(inner):
            return inner
    if _is_state(content):
        return content
    keys = ", ".join(repr(key) for key in list(content)[:8])
    raise CheckpointError(
        f"{path.name} holds no weights where they are looked for: it has [{keys}]. Allowed: a state dict, "
        f"or a dict with one under {', '.join(repr(place) for place in _PLACES)}."
    )


def _is_state(content: Mapping[Any, Any]) -> bool:
    """Whether it maps names to tensors; a module may add a state of its own under `..._extra_state`."""
    return bool(content) and all(
        isinstance(key, str) and (isinstance(value, torch.Tensor) or key.endswith("_extra_state"))
        for key, value in content.items()
    )


def _progress(content: Mapping[Any, Any]) -> tuple[int | None, int | None]:
    """The epochs and optimizer steps that Lightning says were done; of epochs None within one."""
    epoch, steps = content.get("epoch"), content.get("global_step")
    if "pytorch-lightning_version" not in content or not isinstance(epoch, int) or not isinstance(steps, int):
        return None, None
    try:
        loop = content["loops"]["fit_loop"]
        epochs = {name: int(count) for name, count in loop["epoch_progress"]["current"].items()}
        done, between = epochs["processed"], epochs["started"] == epochs["completed"]
        whole = bool(loop["epoch_loop.batch_progress"]["is_last_batch"])
    except (AttributeError, KeyError, TypeError, ValueError):  # of another version: it counts from 0
        return epoch + 1, steps
    if done > epoch or between:
        return done, steps
    return (epoch + 1 if whole else None), steps
