"""Reading a model whose weights `FullyShardedDataParallel` keeps in parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.torch.differentiable import SHARDED
from layerviz_callbacks.torch.reader import TorchReader
from layerviz_callbacks.torch.showing import ShowCall


def reader_of(trainer: Any, module: nn.Module, probe: Any, call: ShowCall) -> TorchReader:
    """The reader for a module under this trainer's strategy."""
    wrapper = trainer.strategy.model
    if any(type(part).__name__ == "FullyShardedDataParallel" for part in wrapper.modules()):
        return GatheringReader(wrapper, module, probe, call=call)
    return TorchReader(module, probe, call=call)


class GatheringReader(TorchReader):
    """Reads outputs in one pass and weights in another, while they are gathered from all processes.

    Gathered weights cannot be used in a forward pass, and what each process holds of them otherwise is a
    flat piece.

    Args:
        wrapper: the outermost module, which knows the shards of all others.
        model: the module that is read.
        probe: see `TorchReader`.
        call: see `TorchReader`.
    """

    def __init__(self, wrapper: nn.Module, model: nn.Module, probe: Any, *, call: ShowCall) -> None:
        super().__init__(model, probe, call=call)
        self._wrapper = wrapper

    def read(self, request: Request) -> Snapshot:
        """See `TorchReader.read`."""
        from torch.distributed.fsdp import FullyShardedDataParallel  # by need: not on every platform

        ran = super().read(replace(request, kernels=frozenset(), weights=frozenset(), kernel_cuts={}))
        weights = Request(request.kernels, request.weights, kernel_cuts=request.kernel_cuts)
        with FullyShardedDataParallel.summon_full_params(self._wrapper, writeback=False):
            whole = super().read(weights)
        layers = {
            name: _with_output(layer, ran.layers[name]) if name in ran.layers else layer
            for name, layer in whole.layers.items()
        }
        return replace(ran, layers=layers)

    def _refusal(self) -> str:
        return SHARDED  # the module need not show it: its wrapper is outside it


def _with_output(layer: Layer, ran: Layer) -> Layer:
    return replace(
        layer, output_shape=ran.output_shape, output=ran.output, output_taken=ran.output_taken,
        attention_shape=ran.attention_shape, attention=ran.attention,
    )  # fmt: skip
