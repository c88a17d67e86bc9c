"""Where the channels are: the rule that brings every output to `(sample, *space, channel)`.

PyTorch's tensors do not say which axis holds the channels, so the layers have to:

1. Layers of fixed layout speak for themselves. Convolution, pooling, batch, instance and group
   normalisation, padding and upsampling are channel-first; Linear, LayerNorm, Embedding, attention and
   recurrent layers are channel-last.
   A layer that PyTorch does not know, but that has a kernel, has its channels where its output has as many
   places as the kernel has output channels.
2. An output of a layer of no fixed layout (activation, dropout, identity, container) is laid out like that of
   the latest layer of fixed layout that was called before it, where that had as many axes. Otherwise, four
   and five axes are channel-first; three axes are channel-last after more axes (maps that were made a
   sequence of tokens), and as the latest layer's after fewer; before any, channel-first.
3. Sizes are believed before rule 2: where one axis alone has the number of channels of that latest layer,
   the channels are there. So are told a transposed sequence, and a container that ends in a channel-last
   layer but gives back channel-first maps, as ConvNeXt's blocks do.
4. Recurrent, attention and transformer layers with `batch_first=False` have their samples on axis 1; so has
   a channel-last output whose axis 1 alone has the number of samples.
5. The model's input is laid out as the first layer of fixed layout that is called takes it; four and five
   axes that this layer does not take as they are, are channel-first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import nn
from torch.nn.modules import batchnorm, conv, instancenorm, padding, pooling

from layerviz_callbacks.torch.kernels import kernel_names
from layerviz_callbacks.torch.names import class_of, is_container
from layerviz_callbacks.torch.weights import weight_shapes

Shape = tuple[int, ...]


class Layout(Enum):
    """Where a layer's channels are."""

    CHANNEL_FIRST = "channel-first"
    CHANNEL_LAST = "channel-last"


_CHANNEL_FIRST = (
    conv._ConvNd,
    batchnorm._NormBase,
    instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    pooling._MaxPoolNd,
    pooling._AvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._LPPoolNd,
    pooling._MaxUnpoolNd,
    padding._ConstantPadNd,
    padding._ReflectionPadNd,
    padding._ReplicationPadNd,
    nn.Upsample,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.ChannelShuffle,
)
_TRANSFORMERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_CHANNEL_LAST = (
    nn.Linear,
    nn.Bilinear,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.RNNCellBase,
    *_TRANSFORMERS,
)


def fixed_layout(module: nn.Module) -> Layout | None:
    """The layout that the layer's kind prescribes, or None."""
    kind = class_of(module)
    if issubclass(kind, _CHANNEL_FIRST):
        return Layout.CHANNEL_FIRST
    if issubclass(kind, _CHANNEL_LAST) or hasattr(module, "nf"):  # nf: the transposed Linear of GPT-2
        return Layout.CHANNEL_LAST
    return None


def _told_by_kernel(module: nn.Module, shape: Shape) -> Layout | None:
    """The layout of an unknown layer's output of three or more axes, by the size of its kernel."""
    names = kernel_names(module) if len(shape) > 2 else []
    if not names:
        return None
    kernel = weight_shapes(module)[names[0]]
    sizes = kernel if len(kernel) == 2 else kernel[:1]  # a matrix may be stored either way round
    first, last = shape[1] in sizes, shape[-1] in sizes
    if first and (len(kernel) > 2 or not last):  # where both would do, as a convolution has them
        return Layout.CHANNEL_FIRST
    return Layout.CHANNEL_LAST if last and not first else None


@dataclass(frozen=True)
class _Latest:
    layout: Layout
    rank: int
    channels: int


class LayoutTracker:
    """Follows one forward pass and tells each output's layout, see the module's docstring.

    Args:
        samples: the number of the probe's samples.
    """

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._latest: _Latest | None = None

    def axes(self, module: nn.Module, shape: Shape, *, further: bool = False) -> tuple[int, ...]:
        """The order of axes that makes a layer's output `(sample, *space, channel)`.

        Args:
            module: the layer, in the order of the calls.
            shape: the shape of its output.
            further: an output beside the first, such as a recurrent layer's last state.

        Example:
            >>> LayoutTracker(samples=4).axes(nn.Conv2d(3, 8, 3), (4, 8, 30, 30))
            (0, 2, 3, 1)
        """
        layout = fixed_layout(module) or _told_by_kernel(module, shape)
        if layout is None:
            layout = self._inherited(module, shape)
        elif not further and len(shape) >= 2:
            channels = shape[1] if layout is Layout.CHANNEL_FIRST else shape[-1]
            self._latest = _Latest(layout, len(shape), channels)
        if layout is Layout.CHANNEL_FIRST:
            return move_channels_last(len(shape))
        if self._samples_second(module, shape, further=further):
            return (1, 0, *range(2, len(shape)))
        return tuple(range(len(shape)))

    def _inherited(self, module: nn.Module, shape: Shape) -> Layout:
        rank, latest = len(shape), self._latest
        if latest is None or (rank != latest.rank and rank != 3):
            return Layout.CHANNEL_FIRST
        if shape[1:].count(latest.channels) == 1 and rank > 2:
            if shape[1] == latest.channels and (is_container(module) or rank == 3):
                return Layout.CHANNEL_FIRST
            if shape[-1] == latest.channels:
                return Layout.CHANNEL_LAST
        return Layout.CHANNEL_LAST if rank < latest.rank else latest.layout

    def _samples_second(self, module: nn.Module, shape: Shape, *, further: bool) -> bool:
        if len(shape) < 3:
            return False
        if isinstance(module, nn.RNNBase):
            return further or not module.batch_first  # a last state is (layer, sample, channel), always
        if isinstance(module, nn.MultiheadAttention):
            return not further and not module.batch_first
        if isinstance(module, _TRANSFORMERS):
            return not module.self_attn.batch_first
        return shape[1] == self._samples != shape[0]


def input_axes(rank: int, first: Layout | None, first_rank: int | None) -> tuple[int, ...]:
    """The order of axes that makes the model's input `(sample, *space, channel)`.

    Args:
        rank: the number of the input's axes.
        first: the layout of the first layer of fixed layout that is called; None: there is none.
        first_rank: the number of axes which that layer was given; None: it was not called.

    Example:
        >>> input_axes(4, Layout.CHANNEL_FIRST, 4)
        (0, 2, 3, 1)
    """
    if first is Layout.CHANNEL_LAST and (rank <= 3 or rank == first_rank):
        return tuple(range(rank))
    return move_channels_last(rank)


def move_channels_last(rank: int) -> tuple[int, ...]:
    """The order of axes that moves axis 1 to the end; fewer than three axes stay.

    Example:
        >>> move_channels_last(3)
        (0, 2, 1)
    """
    return tuple(range(rank)) if rank < 3 else (0, *range(2, rank), 1)
