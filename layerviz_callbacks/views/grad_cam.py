"""Class-activation maps: where in the input a layer's output speaks for a class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from layerviz_callbacks.cut import OutputCut, recut_output
from layerviz_callbacks.errors import ArgumentError, DifferentiationError, check_choice, check_count
from layerviz_callbacks.explaining import Target, score_of
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.request import Request
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.activation_maps import (
    METHODS,
    SIGNED,
    WITHOUT_GRADIENT,
    activation_map,
    is_constant_over_space,
)
from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.feature_maps import FeatureMaps
from layerviz_callbacks.views.grad_cam_layers import default_layers, folded, has_space, patch_grid
from layerviz_callbacks.views.grad_cam_sheets import Mapped, draw_maps
from layerviz_callbacks.views.labels import checked_names
from layerviz_callbacks.views.rank_correlation import rank_correlation

_NOT_POOLED = (
    "no class activation map: the gradient differs from place to place, so that more than global average "
    "pooling and one Dense layer follow. Type method='grad-cam', or name the layer that is pooled in layers="
)


class GradCAM(View):
    """Class-activation maps over the input: where a layer's output speaks for a class.

    | tag | what is drawn |
    |---|---|
    | `grad-cam/NN_layer` | a block a sample: the input, the map over it, the map alone; in 1-D the input on the map's colours, and the map as a curve; in 3-D slices |
    | `grad-cam rank correlation/NN_layer` | a scalar: how alike the maps are to those of the untrained model, from -1 to 1, the mean over the samples |

    The group is named for the method and, where another class than the predicted one is explained, or a named
    output, for that: `layercam of class 3/NN_layer`, `grad-cam of P/NN_layer`. So several of these views stand side by side in one callback.

    It shows which places a decision rests on, as coarse as the layer's maps: good for finding a model that
    looks at the wrong thing. It cannot show what is seen there, nor prove that it is needed; a map that stays
    like that of the untrained model shows edges of the input, not what was learnt (Adebayo et al. 2018,
    "Sanity Checks for Saliency Maps", arXiv:1810.03292).

    | method | the map | source |
    |---|---|---|
    | "grad-cam" | channels weighted by their mean gradient, the positive part | Selvaraju et al. 2017, arXiv:1610.02391 |
    | "grad-cam++" | the same with positive gradients, weighted place by place, as in the paper's equation 19; for outputs of a ReLU | Chattopadhay et al. 2018, arXiv:1710.11063 |
    | "hirescam" | gradient x output, summed over channels, with its sign | Draelos and Carin 2020, arXiv:2011.08891 |
    | "layercam" | positive gradient x output, the positive part; sharp in early layers, too | Jiang et al. 2021, doi:10.1109/TIP.2021.3089943 |
    | "eigencam" | the output's leading singular vector; of no class, without a gradient | Muhammad and Yeasin 2020, arXiv:2008.00299 |
    | "cam" | channels weighted as by the last Dense layer, with their sign; only where global average pooling and a Dense layer follow | Zhou et al. 2016, arXiv:1512.04150 |

    The score is taken before the model's last softmax or sigmoid. Of a segmentation, or curves over time, it
    is the sum over a region (Seg-Grad-CAM, Vinogradova et al. 2020, arXiv:2002.11434).

    Args:
        layers: which layers; None: those of the callback, or the last one with a kernel and the input's axes of
            space; where the answer has axes of space, the one with the smallest maps. Where normalization or
            ReLU are layers of their own behind a convolution, name the last of these for sharper maps.
        every_n_epochs: how often; None: as often as the callback records.
        method: see above.
        target: whose score: "predicted", "target" (the probe's), a class number, or a list of one a sample.
        output: which of several outputs; None: the first with scores.
        region: of answers with axes of space, the places that are summed: where the class is "predicted",
            those of the probe's "target", or "all".
        max_samples: at most so many samples are drawn, the first ones.
        labels: the names of the classes, in their order.

    Raises:
        ArgumentError: an argument is not one of these; at train begin, if it does not fit the model.

    Example:
        >>> GradCAM(method="layercam", target=3).family
        'layercam of class 3'
    """  # noqa: E501

    family = "grad-cam"
    needs = frozenset({"outputs", "model outputs", "gradients", "initial"})
    leaves_out: ClassVar[str] = (
        "class-activation maps are of the last layer with axes of space; name others with layers="
    )

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = None,
        method: str = "grad-cam",
        target: str | int | Sequence[int] = "predicted",
        output: str | None = None,
        region: str = "predicted",
        max_samples: int = 4,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        check_choice("method", method, METHODS)
        check_count("max_samples", max_samples)
        self.method = method
        self.target = Target.checked(target, output=output, region=region)
        self.max_samples = max_samples
        self.labels = checked_names("labels", labels) or ()
        of_another = self.target != Target()
        if of_another and method in WITHOUT_GRADIENT:
            raise ArgumentError(
                f"method={method!r} explains no class: its maps are the same for all of them. Leave target=, "
                "output= and region= out, or type method='grad-cam'."
            )
        self.family = f"{method} of {self.target}".replace("/", ".") if of_another else method
        if method in WITHOUT_GRADIENT:
            self.needs = frozenset({"outputs", "model outputs", "initial"})

    def check(self, shapes: Snapshot) -> None:
        """Raise `ArgumentError` where the target does not fit what this model gives, or the probe."""
        if self._explains:
            try:
                score_of(self.target, shapes)
            except DifferentiationError:  # told by `refusals`
                return

    def chosen(self, snapshot: Snapshot) -> list[Layer]:
        """The layers that the user chose and that answer to each sample; or the one drawn by default."""
        return [layer for layer in super().chosen(snapshot) if not _other_rows(layer, snapshot)]

    def by_default(self, snapshot: Snapshot) -> list[Layer]:
        """The last layer whose maps are not too coarse; see `default_layers`."""
        return default_layers(snapshot, self.target)

    def refusal(self, layer: Layer) -> str:
        """Why there is no map of this layer, in words; empty where there is."""
        shape = layer.output_shape if layer.output is None else layer.output.shape
        undrawn = FeatureMaps().refusal(layer)
        if undrawn or shape is None:
            return undrawn
        if len(shape) == 2:
            return "vectors have no axis of space to be mapped on"
        return ""

    def refusals(self, snapshot: Snapshot) -> Mapping[str, str]:
        """What cannot be drawn though it was chosen, or asked for, with the reason in words."""
        found = {}
        if self._explains and snapshot.outputs:
            try:
                score_of(self.target, snapshot)
            except DifferentiationError as error:
                found["the model"] = str(error)
        if self.layers is not None or snapshot.chosen is not None:
            for layer in super().chosen(snapshot):
                why = _other_rows(layer, snapshot)
                found.update({layer.name: why} if why else {})
        elif not default_layers(snapshot, self.target):
            found["any layer"] = "none has a kernel and axes of space; name layers with layers="
        return found

    def request(self, layers: Sequence[Layer], shapes: Snapshot) -> Request:
        """The outputs of the first samples whole, and the gradients in them."""
        names = frozenset(layer.base_name for layer in layers)
        if not names:
            return Request()
        samples = self._samples(len(shapes.probe))
        return Request(
            outputs=names,
            output_cuts={layer.name: OutputCut(samples=samples) for layer in layers},
            model_outputs=True,
            gradients={self.target: names} if self._explains else {},
            gradient_samples=samples if self._explains else None,
        )

    def scalars(self, snapshot: Snapshot) -> Mapping[str, float]:
        """By layer, the mean of the samples' rank correlations with step 0."""
        found = {}
        for layer in self.drawn(snapshot):
            mapped = self._mapped(layer, snapshot)
            known = [] if mapped is None else [one for one in mapped.alike if not np.isnan(one)]
            if known:
                place = self.tag(layer, snapshot).split("/", 1)[1]
                found[f"{self.family} rank correlation/{place}"] = float(np.mean(known))
        return found

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """One sheet; none where the output or its gradient was not read."""
        mapped = self._mapped(layer, snapshot)
        if mapped is None:
            return []
        samples = self._samples(len(mapped.maps))
        tag = self.tag(layer, snapshot)
        return [
            draw_maps(tag, mapped, layer, snapshot, method=self.method, samples=samples, labels=self.labels)
        ]

    @property
    def _explains(self) -> bool:
        return self.method not in WITHOUT_GRADIENT

    def _samples(self, count: int) -> int:
        return self._fewer(min(count, self.max_samples))

    def _parts(self, layer: Layer, snapshot: Snapshot) -> tuple[np.ndarray, np.ndarray | None] | None:
        """The output with its gradient, tokens as maps; None where they were not read, or not whole."""
        if layer.output is None or layer.output_shape is None:
            return None
        output, _ = recut_output(layer.output, layer.output_taken, OutputCut(samples=self.max_samples))
        gradient = layer.gradients.get(self.target) if self._explains else None
        if output.shape[1:] != layer.output_shape[1:] or (self._explains and gradient is None):
            return None
        count = min(len(output), len(output if gradient is None else gradient))
        parts = [output[:count]] + ([] if gradient is None else [gradient[:count]])
        grid = patch_grid(layer, snapshot)
        parts = parts if grid is None else [folded(part, grid) for part in parts]
        return parts[0], None if gradient is None else parts[1]

    def _mapped(self, layer: Layer, snapshot: Snapshot) -> Mapped | None:
        """The maps with all that is known of them; None where they cannot be made."""
        parts = self._parts(layer, snapshot)
        if parts is None:
            return None
        output, gradient = parts
        maps = activation_map(self.method, output, gradient)
        initial = snapshot.initial
        first = None if initial is None else initial.layers.get(layer.name)
        then = None if first is None else self._parts(first, snapshot)
        refusal, alike, notes = "", [], []
        if self.method == "cam" and gradient is not None and not is_constant_over_space(gradient):
            refusal = _NOT_POOLED
        elif then is not None:
            pairs = zip(maps, activation_map(self.method, *then), strict=False)
            alike = [rank_correlation(*pair) for pair in pairs]
        if self.method == "grad-cam++" and (output < 0).any():
            notes = ["Grad-CAM++ is made for outputs of a ReLU, and these are partly negative"]
        return Mapped(
            maps,
            signed=self.method in SIGNED,
            score=snapshot.scores.get(self.target) if self._explains else None,
            before=None if initial is None else initial.scores.get(self.target),
            alike=alike,
            notes=notes,
            refusal=refusal,
        )


def _other_rows(layer: Layer, snapshot: Snapshot) -> str:
    """Why a layer with axes of space has no map for each sample, in words; empty where it has."""
    shape = layer.output_shape
    if shape is None or len(shape) < 3 or has_space(layer, snapshot):
        return ""
    if shape[0] != len(snapshot.probe):
        return f"its rows are not the {len(snapshot.probe)} samples: shape {tuple(shape)}"
    return f"its maps are a single place: shape {tuple(shape)}"
