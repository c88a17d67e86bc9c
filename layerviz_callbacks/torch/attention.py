"""A model's attention from one forward pass to the next: what was found, and who listens.

PyTorch has no one layer of attention: its functions are heard wherever a model calls them.

1. `scaled_dot_product_attention` hides its weights: they are computed again from its arguments, of the
   samples that are asked for. So are those of `multi_head_attention_forward`, the function behind
   `nn.MultiheadAttention` and the transformer layers, where it was not asked for them.
2. Attention written by hand is a product (`matmul`, `bmm`, `baddbmm`, `einsum`) one side of which is weights
   that sum to one, or values multiplied by such weights; see `layerviz_callbacks.torch.attention_products`
   and, for what is no attention, `layerviz_callbacks.torch.attention_origins`.
3. Of a layer in whose call nothing of this was heard: weights that it gives back beside its output, or keeps
   as an attribute; see `layerviz_callbacks.torch.attention_kept`.

Only the first pass searches. Later ones copy what it found; where it found nothing, or nothing is asked for,
nobody listens.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from layerviz_callbacks.request import Request
from layerviz_callbacks.torch.attention_listener import AttentionListener
from layerviz_callbacks.torch.attention_places import Attention, Place, ReadAttention
from layerviz_callbacks.torch.names import kind_of, unwrapped


class AttentionSearch:
    """What is known of the attention of one model.

    Args:
        model: the model, wrapped or not.
        samples: the number of the probe's samples.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        self._model = model
        self._samples = samples
        self._found: dict[Place, Attention] | None = None  # None: no pass was made yet
        self._latest: AttentionListener | None = None

    def listener(self, layers: Mapping[str, nn.Module], request: Request) -> AttentionListener | None:
        """Who listens to the next pass; None: nobody need.

        Args:
            layers: the model's layers by name.
            request: what is asked for.
        """
        wanted = request.attention
        if wanted.issuperset(layers):  # of everything: it is no layer of its own
            wanted |= {self.own_name(layers)}
        if self._found is not None and not any(one.layer in wanted for one in self._found.values()):
            return None
        asked = request.attention_samples
        return AttentionListener(
            unwrapped(self._model), self.own_name(layers), wanted,
            samples=self._samples, taken=self._samples if asked is None else min(asked, self._samples),
            known=self._found,
        )  # fmt: skip

    def remember(self, listener: AttentionListener | None) -> None:
        """A pass is done; what the first one found is known from now on."""
        self._latest = listener
        if self._found is None and listener is not None:
            self._found = listener.found

    def forget_weights(self) -> None:
        """Keep what was found, and nothing that was read."""
        self._latest = None

    def own_name(self, layers: Mapping[str, nn.Module]) -> str:
        """The name of attention that the model computes in its own `forward`, outside of its layers."""
        name = kind_of(unwrapped(self._model))
        while name in layers:
            name += " itself"
        return name

    def of_layer(self, layer: str) -> dict[str, ReadAttention]:
        """The attentions of a layer by `Layer.name`; with weights where the latest pass read them."""
        read = {} if self._latest is None else self._latest.read
        return {
            one.name: read.get(one.name, ReadAttention(one.shape))
            for one in (self._found or {}).values()
            if one.layer == layer and one.shape is not None
        }

    def unread(self) -> dict[str, str]:
        """See `Snapshot.unread`; in the first pass, of everything that cannot be read, asked for or not."""
        unread = {} if self._latest is None else self._latest.unread
        return {f"attention of {name}": why for name, why in unread.items()}
