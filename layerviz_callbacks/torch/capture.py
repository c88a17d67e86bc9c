"""Listening to one forward pass with hooks, and by operations where no hook is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from layerviz_callbacks.cut import OutputCut, Taken
from layerviz_callbacks.errors import ProbeError
from layerviz_callbacks.torch.attention_listener import AttentionListener
from layerviz_callbacks.torch.copying import has_values, plain_tensor, tensors_in, to_float32
from layerviz_callbacks.torch.cutting import take_output
from layerviz_callbacks.torch.gradients import Points
from layerviz_callbacks.torch.layout import LayoutTracker, fixed_layout
from layerviz_callbacks.torch.operations import OperationListener
from layerviz_callbacks.torch.statistics import Measured, measure_output


@dataclass(frozen=True)
class Call:
    """A layer that is being called: its name, itself and the shape it was given (None: no tensor)."""

    name: str
    module: nn.Module
    given: tuple[int, ...] | None


@dataclass(frozen=True)
class Origin:
    """Where an output came from, so that it can be found again in another pass.

    Attributes:
        call: which call of the layer gave it, from 1 on.
        path: where it stands in what the layer gave back, see `tensors_in`.
        axes: which order of its axes makes it `(sample, *space, channel)`.
        hooked: a hook heard it; else it was heard by the operation that made it.
    """

    call: int
    path: str
    axes: tuple[int, ...]
    hooked: bool


@dataclass
class Heard:
    """What one layer gave back in one forward pass, by output name: `conv1`, `conv1#2`, `lstm.1`.

    Attributes:
        shapes: `(sample, *space, channel)` of every output.
        arrays: the outputs, or what their cuts left of them, where they were wanted.
        taken: what the cuts took, where there were any.
        measured: the first outputs of each call in numbers, where they were wanted.
        calls: the names of the first outputs of each call.
        origins: where every output came from.
        refusal: why an output could not be read; empty where it could.
    """

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    taken: dict[str, Taken] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)
    origins: dict[str, Origin] = field(default_factory=dict)
    refusal: str = ""


class Capture:
    """Copies and measures the outputs of layers while a model runs.

    Each output is cut, copied and measured inside its layer's hook, before a later operation in place, such
    as `ReLU(inplace=True)`, can change it.

    Args:
        layers: all layers of the model by name.
        wanted: the names whose outputs are copied; of the others only shapes are noted.
        measured: the names whose outputs are measured.
        cuts: by full name (`conv#2`, `lstm.1`), the part of an output that is enough.
        probe_ranks: the number of axes of each of the probe's inputs.
        samples: the number of the probe's samples.
        by_operation: the names of the layers that hooks do not hear, to be heard by operations.
        points: makes outputs points of the graph; None: no gradients are wanted.
        attention: hears attention; None: nobody listens to it.

    Attributes:
        heard: by layer name, in the order of the first calls.
        used: of `by_operation`, those whose weights were used, heard or not.
        first: the first layer of fixed layout that was called.
        calling: the layers that are being called now, outermost first; what is left in it after a
            failure is where it failed.
    """

    def __init__(
        self,
        layers: dict[str, nn.Module],
        wanted: frozenset[str],
        *,
        measured: frozenset[str] = frozenset(),
        cuts: Mapping[str, OutputCut],
        probe_ranks: set[int],
        samples: int,
        by_operation: frozenset[str] = frozenset(),
        points: Points | None = None,
        attention: AttentionListener | None = None,
    ) -> None:
        self._layers = layers
        self._wanted = wanted
        self._measured = measured
        self._cuts = cuts
        self._by_operation = by_operation
        self.attention = attention
        self._points = points
        self._probe_ranks = probe_ranks
        self._tracker = LayoutTracker(samples)
        self._counts: Counter[str] = Counter()
        self.heard: dict[str, Heard] = {}
        self.used: set[str] = set()
        self.first: Call | None = None
        self.calling: list[Call] = []

    def forget_arrays(self) -> None:
        """Keep the shapes only; of what listened, nothing."""
        self.attention = self._points = None
        for heard in self.heard.values():
            heard.arrays, heard.taken, heard.measured = {}, {}, {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hooks on every layer, taken off afterwards whatever happens."""
        handles: list[Any] = []
        try:
            for name, module in self._layers.items():
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # it calls no hooks
                handles.append(module.register_forward_pre_hook(self._entering(name), with_kwargs=True))
                handles.append(module.register_forward_hook(self._leaving(name)))
            with self.attention.listening() if self.attention is not None else nullcontext():
                if self._by_operation:
                    silent = {name: self._layers[name] for name in self._by_operation if name in self._layers}
                    with OperationListener(silent, self._hear_operation, self._innermost) as listener:
                        yield
                    self.used = listener.used
                else:
                    yield
        finally:
            for handle in handles:
                handle.remove()

    def _entering(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            given = next((tuple(tensor.shape) for _, tensor in tensors_in([arguments, named])), None)
            call = Call(name, module, given)
            self.calling.append(call)
            if self.attention is not None:
                self.attention.entering(name, module, [arguments, named])
            if self.first is None and fixed_layout(module) is not None:
                self.first = call
                self._refuse_unbatched(call)

        return hook

    def _refuse_unbatched(self, call: Call) -> None:
        """PyTorch takes one axis too few as a single sample without its sample axis, silently."""
        if call.given is None or len(call.given) not in self._probe_ranks:
            return
        if isinstance(call.module, _ConvNd):
            needed = len(call.module.kernel_size) + 2
        elif isinstance(call.module, nn.RNNBase):
            needed = 3
        else:
            return
        if len(call.given) == needed - 1:
            raise ProbeError("An axis is missing")

    def _leaving(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
            self.calling.pop()
            if self.attention is not None:
                self.attention.leaving(name, output)
            key = self._hear(name, module, output, hooked=True)
            if self._points is None or name not in self._points.wanted:
                return None
            origin = self.heard[name].origins.get(key)
            return self._points.pass_on(key, output, origin.axes if origin else None)

        return hook

    def _innermost(self) -> nn.Module | None:
        return self.calling[-1].module if self.calling else None

    def _hear_operation(self, name: str, output: torch.Tensor, given: tuple[int, ...]) -> None:
        module = self._layers[name]
        if self.first is None and fixed_layout(module) is not None:
            self.first = Call(name, module, given)
        self._hear(name, module, output, hooked=False)

    def _hear(self, name: str, module: nn.Module, output: Any, *, hooked: bool) -> str:
        """Note and copy what a layer gives; the name of its first output."""
        self._counts[name] += 1
        count = self._counts[name]
        key = name if count == 1 else f"{name}#{count}"
        heard = self.heard.setdefault(name, Heard())
        try:
            self._note(heard, module, key, output, hooked=hooked)
        except Exception as error:  # noqa: BLE001  a layer that cannot be copied must not stop the others
            heard.refusal = f"its output cannot be copied ({type(error).__name__}: {error})"
        return key

    def _note(self, heard: Heard, module: nn.Module, key: str, output: Any, *, hooked: bool) -> None:
        parts = [(path, part) for path, part in tensors_in(output) if has_values(part)]
        if not parts:
            heard.refusal = f"its output is no tensor of floating-point numbers, but {type(output).__name__}"
        for place, (path, part) in enumerate(parts):
            name = key if place == 0 else self._free_name(key, path)
            if place == 0:
                heard.calls.add(name)
            tensor = plain_tensor(part)
            axes = self._tracker.axes(module, tuple(tensor.shape), further=place > 0)
            heard.shapes[name] = tuple(tensor.shape[axis] for axis in axes)
            layer = key.partition("#")[0]
            heard.origins[name] = Origin(self._counts[layer], path, axes, hooked)
            if layer in self._wanted:
                self._copy(heard, name, tensor, axes)
            if place == 0 and layer in self._measured and not part.is_complex():
                measured = measure_output(tensor, axes)
                if measured is not None:
                    heard.measured[name] = measured

    def _copy(self, heard: Heard, name: str, tensor: torch.Tensor, axes: tuple[int, ...]) -> None:
        cut = self._cuts.get(name, OutputCut())
        if cut == OutputCut() or tensor.ndim < 2:
            heard.arrays[name] = to_float32(tensor, axes)
        else:
            heard.arrays[name], heard.taken[name] = take_output(tensor.permute(axes), cut)

    def _free_name(self, key: str, path: str) -> str:
        """`block.1` is the block's second output, unless the block has an inner layer of that name."""
        name = f"{key}.{path}"
        return f"{key}.output.{path}" if name in self._layers else name
