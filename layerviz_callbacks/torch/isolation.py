"""Running a model so that training never notices."""

from __future__ import annotations

import copy
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from layerviz_callbacks.messages import logger

_MEMBERS = ("_parameters", "_buffers", "_modules")
_COLLECTIONS = (dict, OrderedDict, list, set, deque, Counter)
_LARGEST_KEPT = 1 << 22  # elements of a tensor held as a plain attribute; larger ones are not copied
_SEED = 0

Restore = Callable[[], None]


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside; afterwards model and process are as before, bit for bit.

    Inside, every module is in evaluation mode, compiled models run eagerly, the fused attention path that
    hides inner layers is off, and each random generator starts from the same seed, so that a model that is
    random at inference shows the same draw at every step.

    Put back afterwards: each module's own train/eval flag (a frozen BatchNorm stays frozen), buffers, the
    attributes of modules and what lists, dicts, tensors and generators in them held, and the random
    generators of PyTorch (CPU, and the accelerator where it is in use), Python and NumPy. `.grad` is not
    touched. Train/eval is set by attribute: `train()` and `eval()` may be overridden by the user.
    """
    restore: list[Restore] = [_remember_random_state()]
    restore += [_remember_buffers(model), _remember_modules(model), _remember_backends()]
    versions = [(tensor, tensor._version) for tensor in model.parameters() if _is_plain(tensor)]
    try:
        _seed()
        for module in model.modules():
            module.training = False
        torch.backends.mha.set_fastpath_enabled(False)
        torch.set_autocast_cache_enabled(False)  # a cast cached without a graph would cut gradients
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield
    finally:
        for module in model.modules():
            if any(kind.__name__ == "FSDPModule" for kind in type(module).__mro__):
                cast(Any, module).reshard()  # a forward without a backward leaves the root gathered
        for action in reversed(restore):
            action()
        if any(tensor._version != version for tensor, version in versions):
            logger().warning(
                "This model changes its parameters in its forward pass, in evaluation mode too: "
                "showing it the probe takes part in its training."
            )


def _remember_random_state() -> Restore:
    cpu, python, numpy_state = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if _cuda_in_use() else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def restore() -> None:
        torch.set_rng_state(cpu)
        random.setstate(python)
        np.random.set_state(numpy_state)  # noqa: NPY002
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)

    return restore


def _seed() -> None:
    torch.default_generator.manual_seed(_SEED)  # torch.manual_seed would wake unused accelerators
    if _cuda_in_use():
        torch.cuda.manual_seed_all(_SEED)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(_SEED)
    random.seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002


def _remember_backends() -> Restore:
    fastpath, dtype = torch.backends.mha.get_fastpath_enabled(), torch.get_default_dtype()
    autocast_cache = torch.is_autocast_cache_enabled()

    def restore() -> None:
        torch.backends.mha.set_fastpath_enabled(fastpath)
        torch.set_default_dtype(dtype)
        torch.set_autocast_cache_enabled(autocast_cache)

    return restore


def _remember_buffers(model: nn.Module) -> Restore:
    buffers = {id(buffer): buffer for buffer in model.buffers() if _is_plain(buffer)}
    kept = [(buffer, buffer.detach().clone()) for buffer in buffers.values()]

    def restore() -> None:
        for buffer, values in kept:  # batch normalisation changes its statistics without a new version
            buffer.data.copy_(values)

    return restore


def _remember_modules(model: nn.Module) -> Restore:
    modules = list(model.modules())
    flags = [(module, module.training) for module in modules]
    restores: list[Restore] = []
    if not any(type(module).__name__ == "FullyShardedDataParallel" for module in modules):
        # A sharded model swaps its parameters by itself; the attributes of an FSDP1 model view freed memory.
        members = _MEMBERS[1:] if any(is_sharded(module) for module in modules) else _MEMBERS
        restores = [
            _remember_module(module, members)
            for module in modules
            if not is_sharded(module) and not isinstance(module, torch.jit.ScriptModule)
        ]

    def restore() -> None:
        for action in restores:
            action()
        for module, training in flags:
            module.training = training

    return restore


def _remember_module(module: nn.Module, member_names: tuple[str, ...]) -> Restore:
    attributes = vars(module)
    plain = {name: value for name, value in attributes.items() if name not in _MEMBERS}
    contents = [action for value in plain.values() if (action := _remember_content(value)) is not None]
    members = {name: dict(attributes[name]) for name in member_names if name in attributes}

    def restore() -> None:
        for name in [name for name in attributes if name not in plain and name not in _MEMBERS]:
            del attributes[name]
        attributes.update(plain)
        for action in contents:
            action()
        for name, before in members.items():
            if not _same_items(attributes[name], before):
                attributes[name].clear()
                attributes[name].update(before)

    return restore


def _remember_content(value: Any) -> Restore | None:
    if value is None or isinstance(value, (bool, int, float, str)):
        return None
    if isinstance(value, torch.Tensor):
        if not _is_plain(value) or value.numel() > _LARGEST_KEPT:
            return None
        values = value.detach().clone()
        return lambda: _write_back(value, values)
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: _no_result(value.set_state(state))
    if isinstance(value, random.Random):
        python_state = value.getstate()
        return lambda: value.setstate(python_state)
    if isinstance(value, np.random.Generator):
        bits = copy.deepcopy(value.bit_generator.state)
        return lambda: setattr(value.bit_generator, "state", bits)
    if type(value) in _COLLECTIONS:
        if not value:  # most of a module's own, such as those of its hooks
            return lambda: value.clear()
        before = copy.copy(value)
        return lambda: _refill(value, before)
    return None


def _refill(value: Any, before: Any) -> None:
    """Put a collection's content back, where it changed."""
    if isinstance(value, (dict, set)):
        if isinstance(value, set) or not _same_items(value, before):
            value.clear()
            value.update(before)
    elif len(value) != len(before) or any(one is not other for one, other in zip(value, before, strict=True)):
        value.clear()
        value.extend(before)


def _same_items(now: dict[Any, Any], before: dict[Any, Any]) -> bool:
    """Whether both hold the very same objects under the same keys, in the same order."""
    return list(now) == list(before) and all(now[key] is before[key] for key in before)


def _write_back(tensor: torch.Tensor, values: torch.Tensor) -> None:
    tensor.data.copy_(values)


def _no_result(_: Any) -> None:
    return None


def _is_plain(tensor: torch.Tensor) -> bool:
    return not nn.parameter.is_lazy(tensor) and not tensor.is_inference()


def is_sharded(module: nn.Module) -> bool:
    """Whether each process holds only a part of this module's weights (FSDP, FSDP2)."""
    return any(kind.__name__ in ("FullyShardedDataParallel", "FSDPModule") for kind in type(module).__mro__)


def _cuda_in_use() -> bool:
    """Asking for the generators of an accelerator that is not in use would wake it."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
