"""What was read of a model at one step, as NumPy arrays."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerviz_callbacks.cut import Taken
from layerviz_callbacks.errors import ArgumentError, SelectionError, did_you_mean
from layerviz_callbacks.export import export_arrays
from layerviz_callbacks.history import Frame
from layerviz_callbacks.probe import Probe

if TYPE_CHECKING:
    from layerviz_callbacks.explaining import FoundPatterns, SaliencyRecipe, Score, Target
    from layerviz_callbacks.health import LayerHealth, LayerStatistics, Verdict
    from layerviz_callbacks.picture import Picture
    from layerviz_callbacks.render.held_range import HeldRange
    from layerviz_callbacks.views import View


@dataclass(frozen=True, eq=False)
class Layer:
    """What was read of one layer.

    Attributes:
        name: unique in the model; a second call in one forward pass is `name#2`, a further output `name.1`.
        kind: the layer's class name, such as "Conv2D".
        place: the layer's place in the model, from 1 on.
        parameters: the number of its own parameters (those of inner layers not counted).
        kernel_shape: `(out, in, *space)` in full, or None where the layer has no kernel.
        kernel: the kernel as `(out, in, *space)`; None where it has none or none was asked for.
            Depthwise and grouped kernels hold the channels of their group only: `(out, in/groups, *space)`.
        weights: the layer's other weights under their own names, such as "bias".
        output_shape: the output's full shape `(sample, *space, channel)`, or None where it was not called.
        output: the output `(sample, *space, channel)`, float32; None where none was asked for.
        kernel_taken: which part of it `kernel` is; None: all of it.
        output_taken: which part of it `output` is; None: all of it.
        gates: the names of the equal parts of the kernel's output axis, in their order, such as
            `("input", "forget", "cell", "output")` of an LSTM; empty where it has one meaning.
        container: the layer only holds other layers (a block, a nested model).
        refusal: why nothing could be read of it, in words; empty where it could.
        output_refusal: why it has no output of its own, in words, though it has a kernel.
        part_of: the layer's own name, where this is a further call (`name#2`), a further output
            (`name.1`) or a further kernel (`name.recurrent_kernel`) or attention (`name.attention 2`) of it;
            empty for the first ones.
        attention_shape: `(sample, head, query, key)` in full, or None where it attends to nothing.
        attention: the weights with which queries attend to keys, `(sample, head, query, key)`, float32, of
            the first samples; None where none were asked for. Without heads, there is one head; where one
            vector attends for all, one query.
        gradients: by target, the gradient of its score with respect to the output, whole
            `(sample, *space, channel)` of the first samples, float32; only where asked for.
        patterns: the inputs that its channels answer to most; None where none were asked for.
        statistics: numbers of all its channels and an even part of its weights; None where none were asked
            for.
    """

    name: str
    kind: str
    place: int
    parameters: int = 0
    kernel_shape: tuple[int, ...] | None = None
    kernel: np.ndarray | None = None
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    output_shape: tuple[int, ...] | None = None
    output: np.ndarray | None = None
    container: bool = False
    refusal: str = ""
    part_of: str = ""
    kernel_taken: Taken | None = None
    output_taken: Taken | None = None
    gates: tuple[str, ...] = ()
    output_refusal: str = ""
    attention_shape: tuple[int, ...] | None = None
    attention: np.ndarray | None = None
    gradients: Mapping[Target, np.ndarray] = field(default_factory=dict)
    patterns: FoundPatterns | None = None
    statistics: LayerStatistics | None = None

    @property
    def base_name(self) -> str:
        """The layer's own name, without the number of a call or the key of an output."""
        return self.part_of or self.name


@dataclass(frozen=True, eq=False)
class Initial:
    """What a later step is compared with: the model before training.

    Attributes:
        layers: by name, those that a view compares, with the arrays it needs.
        scores: see `Snapshot.scores`.
    """

    layers: Mapping[str, Layer]
    scores: Mapping[Target, Score] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The layers of a model at one step, with the probe and the model's own outputs. Frozen.

    Attributes:
        layers: every layer of the model by name, in the model's order; arrays only where they were read.
        probe: the batch that was shown.
        inputs: the probe's inputs as NumPy `(sample, *space, channel)`, as they are displayed.
        outputs: the model's own outputs by name, in the model's own layout.
        step: 0 before training, k after epoch k (or the optimizer step).
        when: the step in words, such as "epoch 3/12"; empty for an inspected model.
        metrics: what training reported at that step.
        chosen: the names of the layers that were chosen; None: whatever a view draws by default.
        input_axes: by input, how the probe's array is transposed to `(sample, *space, channel)`.
        scores: by target, what is explained of each sample.
        saliency: by recipe, what was found of each input, `(sample, *space, channel)`; float32.
        unread: what was asked for and could not be read, such as "gradients of conv1", with the reason.
        ranges: by tag of a picture, the range it was drawn with at the step before (out of a file of a
            training: at this step); None: each picture takes the range of its own values.
        history: what the view that draws kept of earlier steps, see `View.keep`.
        best: it is the best step so far, by what is monitored.
        numbers: what the views found in numbers, by tag, as TensorBoard shows them.
        health: by layer, what its statistics mean; only where a view asks for it.
        verdicts: what is wrong with layers, the worst first.
        initial: the model before training, where a view compares with it; None at step 0, and where it is
            not known.

    Example:
        >>> snapshot = inspect(model, x_val[:4])                       # doctest: +SKIP
        >>> snapshot["conv1"].kernel.shape                             # doctest: +SKIP
        (8, 1, 3, 3)
    """

    layers: Mapping[str, Layer]
    probe: Probe
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    step: int = 0
    when: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    chosen: frozenset[str] | None = None
    input_axes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    scores: Mapping[Target, Score] = field(default_factory=dict)
    saliency: Mapping[SaliencyRecipe, Mapping[str, np.ndarray]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, HeldRange] | None = None
    history: tuple[Frame, ...] = ()
    best: bool = False
    initial: Initial | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    health: Mapping[str, LayerHealth] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()

    def __getitem__(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            SelectionError: no layer has that name; the nearest name is told.
        """
        if name not in self.layers:
            listed = ", ".join(repr(known) for known in self.layers)
            raise SelectionError(
                f"snapshot[{name!r}]: no such layer. This model has [{listed}]."
                + did_you_mean(name, self.layers)
            )
        return self.layers[name]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers.values())

    def __len__(self) -> int:
        return len(self.layers)

    def choose(self, names: frozenset[str] | None) -> Snapshot:
        """The same snapshot with these layers (by `base_name`) chosen for drawing."""
        return replace(self, chosen=names)

    def pictures(self, *views: View) -> list[Picture]:
        """Draw the snapshot with these views; without any, with the default ones that draw a single step.

        Those are filters, feature maps, attention and health, as far as the snapshot holds what they draw.

        Returns:
            The pictures in the model's order, view by view.

        Raises:
            ArgumentError: a view needs what was not read, such as gradients, or all channels for health.

        Example:
            >>> snapshot.pictures(views.FeatureMaps())[0].save("conv1.png")    # doctest: +SKIP
        """
        if not views:
            from layerviz_callbacks.views import default_views  # the one import upwards, by need

            return [
                picture
                for view in default_views()
                if "history" not in view.needs
                for picture in view.draw(self)
            ]
        drawn = []
        for view in views:
            pictures = view.draw(self)
            if not pictures and view.needs & {"gradients", "saliency", "patterns", "statistics"}:
                name = type(view).__name__
                raise ArgumentError(
                    f"{name} needs what was not read of this model"
                    + "".join(f"; no {what}: {why}" for what, why in self.unread.items())
                    + f". Ask for it: inspect(model, probe, views=[views.{name}()])."
                )
            drawn += pictures
        return drawn

    def export(self, folder: str | Path) -> list[Path]:
        """Write the arrays as `.npy` files, one a sample where they have samples.

        ```text
        folder/inputs/input/event 1.npy       an input, (*space, channel)
        folder/targets.npy
        folder/outputs/output/event 1.npy     the model's own answer
        folder/03_conv2/kernel.npy            (out, in, *space)
        folder/03_conv2/weight bias.npy
        folder/03_conv2/output/event 1.npy    (*space, channel)
        ```

        Files of those names are written over; others are left alone. A snapshot that a callback read for
        its pictures holds the parts that are drawn, see `Layer.output_taken`; one of `inspect` holds all.

        Returns:
            The files that were written.

        Raises:
            SinkError: the folder cannot be written.

        Example:
            >>> inspect(model, Probe(x, names=["event", "noise"])).export("arrays")   # doctest: +SKIP
        """
        return export_arrays(self, folder)

    def save(self, path: str | os.PathLike[str], *, precision: str = "float32") -> Path:
        """Write the snapshot to a new HDF5 file, which any HDF5 library reads; see `docs/snapshots.md`.

        Args:
            path: the file; there must be none of that name yet.
            precision: of kernels, outputs, attention and gradients: "float32", "float16" or "uint8".

        Returns:
            The file.

        Raises:
            ArgumentError: `path` is none, or there is no such precision.
            MissingLibraryError: h5py is not installed.
            SnapshotFileError: the file is there already, or cannot be written.

        Example:
            >>> inspect(model, x_val[:4]).save("model.h5")             # doctest: +SKIP
        """
        from layerviz_callbacks.store.writer import save_snapshot  # upwards, by need

        return save_snapshot(self, path, precision=precision)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, step: int | None = None) -> Snapshot:
        """Read a snapshot from a file that `save` or a callback wrote; no framework is needed for it.

        Args:
            path: the file.
            step: which step; None: the last one.

        Raises:
            ArgumentError: the file does not hold that step.
            MissingLibraryError: h5py is not installed.
            SnapshotFileError: the file is not there, is damaged, or holds something else.

        Example:
            >>> Snapshot.load("run.h5", step=5)["conv1"].output.shape  # doctest: +SKIP
            (4, 28, 28, 8)
        """
        from layerviz_callbacks.store.file import load_snapshot  # upwards, by need

        return load_snapshot(path, step=step)

    def summary(self) -> str:
        """A table of the layers: name, kind, kernel shape, output shape, parameters."""
        rows = _summary_rows(self)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
            lines.append("  ".join([*cells, row[-1].rjust(widths[-1])]).rstrip())
        rule = "-" * max(len(line) for line in lines)
        total = sum(layer.parameters for layer in self)
        return "\n".join([lines[0], rule, *lines[1:], rule, f"{total:,} parameters"])

    def _repr_html_(self) -> str:
        header, *rows = _summary_rows(self)
        head = "".join(f"<th style='text-align:left'>{cell}</th>" for cell in header)
        body = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row)
            + "</tr>"
            for row in rows
        )
        caption = html.escape(self.when or "model") + f", {len(self.probe)} probe samples"
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def __repr__(self) -> str:
        when = f", {self.when}" if self.when else ""
        return f"Snapshot({len(self)} layers, {len(self.probe)} samples{when})"


def _output_words(layer: Layer) -> str:
    if layer.output_shape is not None:
        return str(layer.output_shape)
    return "" if layer.part_of or layer.output_refusal or layer.kind == "Parameter" else "not called"


def _summary_rows(snapshot: Snapshot) -> list[tuple[str, str, str, str, str]]:
    rows = [("layer", "kind", "kernel (out, in, *space)", "output (sample, *space, channel)", "parameters")]
    for layer in snapshot:
        rows.append(
            (
                layer.name,
                layer.kind,
                "" if layer.kernel_shape is None else str(layer.kernel_shape),
                _output_words(layer),
                f"{layer.parameters:,}",
            )
        )
    return rows
