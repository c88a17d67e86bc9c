"""Which layer of one model is which of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from layerviz_callbacks.kinds import kind_names
from layerviz_callbacks.snapshot import Layer


@dataclass(frozen=True)
class Paired:
    """The layers of two models.

    Attributes:
        pairs: in the order of the first model.
        unmatched: by model, of layers that the other one lacks, the reason by name.
    """

    pairs: tuple[tuple[Layer, Layer], ...]
    unmatched: tuple[Mapping[str, str], Mapping[str, str]]


def pair_layers(one: Sequence[Layer], other: Sequence[Layer]) -> Paired:
    """Pair the layers of two models.

    First those of the same name, kind and kernel shape; then of the same kind and shape, in their order; then
    of the same name and kind, whatever their kernels' shapes.

    The kind is that of any framework: "Conv2D" of Keras is "Conv2d" of PyTorch.
    """
    found: dict[str, Layer] = {}
    left = {layer.name: layer for layer in other}

    def take(first: Layer, second: Layer) -> None:
        found[first.name] = second
        del left[second.name]

    for layer in one:
        known = left.get(layer.name)
        if known is not None and _key(known) == _key(layer):
            take(layer, known)
    rest, others = [layer for layer in one if layer.name not in found], list(left.values())
    alike = SequenceMatcher(None, [_place_key(x) for x in rest], [_place_key(x) for x in others], False)
    for block in alike.get_matching_blocks():
        for offset in range(block.size):
            take(rest[block.a + offset], others[block.b + offset])
    for layer in rest:
        known = left.get(layer.name)
        if layer.name not in found and known is not None and _kind(known) == _kind(layer):
            take(layer, known)
    missing = [layer for layer in one if layer.name not in found]
    return Paired(
        tuple((layer, found[layer.name]) for layer in one if layer.name in found),
        (_reasons(missing, other, "b"), _reasons(list(left.values()), one, "a")),
    )


def _kind(layer: Layer) -> str:
    return kind_names([layer.kind], container=layer.container)[0] if layer.kind else ""


def _key(layer: Layer) -> tuple[str, tuple[int, ...] | None]:
    return _kind(layer), None if layer.kernel_shape is None else tuple(layer.kernel_shape)


def _place_key(layer: Layer) -> tuple[str, tuple[int, ...] | None, tuple[int, ...] | None]:
    """Layers without a kernel are told by their outputs, without the samples."""
    kind, shape = _key(layer)
    return kind, shape, tuple((layer.output_shape or ())[1:]) if shape is None else None


def _reasons(missing: Sequence[Layer], others: Sequence[Layer], model: str) -> dict[str, str]:
    names = {layer.name: layer for layer in others}
    reasons = {}
    for layer in missing:
        what = f"a {layer.kind}"
        if layer.kernel_shape is not None:
            what += f" with a kernel {tuple(layer.kernel_shape)}"
        known = names.get(layer.name)
        reasons[layer.name] = f"{what}; {model} has " + (
            f"a {known.kind} of that name" if known is not None else "no layer of that name"
        )
        reasons[layer.name] += ", and no other of its kind and shape is left"
    return reasons
