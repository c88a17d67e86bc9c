"""Reading a model whose weights `FullyShardedDataParallel` keeps in parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from layerviz_callbacks.health import LayerStatistics
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.torch.differentiable import SHARDED
from layerviz_callbacks.torch.reader import TorchReader
from layerviz_callbacks.torch.showing import ShowCall
from layerviz_callbacks.torch.updates import OptimizerSteps


def reader_of(
    trainer: Any, module: nn.Module, probe: Any, call: ShowCall, steps: OptimizerSteps | None = None
) -> TorchReader:
    """The reader for a module under this trainer's strategy; `steps` as in `TorchReader`."""
    wrapper = trainer.strategy.model
    if any(type(part).__name__ == "FullyShardedDataParallel" for part in wrapper.modules()):
        return GatheringReader(wrapper, module, probe, call=call, steps=steps)
    return TorchReader(module, probe, call=call, steps=steps)


class GatheringReader(TorchReader):
    """Reads outputs in one pass and weights in another, while they are gathered from all processes.

    Gathered weights cannot be used in a forward pass, and what each process holds of them otherwise is a
    flat piece.

    Args:
        wrapper: the outermost module, which knows the shards of all others.
        model: the module that is read.
        probe: see `TorchReader`.
        call: see `TorchReader`.
        steps: see `TorchReader`.
    """

    def __init__(
        self,
        wrapper: nn.Module,
        model: nn.Module,
        probe: Any,
        *,
        call: ShowCall,
        steps: OptimizerSteps | None = None,
    ) -> None:
        super().__init__(model, probe, call=call, steps=steps)
        self._wrapper = wrapper

    def read(self, request: Request) -> Snapshot:
        """See `TorchReader.read`."""
        from torch.distributed.fsdp import FullyShardedDataParallel  # by need: not on every platform

        outputs = replace(request, kernels=frozenset(), weights=frozenset(), kernel_cuts={})
        ran = self._read(outputs, sampled=frozenset())
        weights = Request(request.kernels, request.weights, kernel_cuts=request.kernel_cuts)
        with FullyShardedDataParallel.summon_full_params(self._wrapper, writeback=False):
            whole = self._read(weights, sampled=request.statistics)
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
        statistics=_joined(layer.statistics, ran.statistics),
    )  # fmt: skip


def _joined(weights: LayerStatistics | None, output: LayerStatistics | None) -> LayerStatistics | None:
    if weights is None or output is None:
        return weights or output
    return replace(weights, output=output.output)
