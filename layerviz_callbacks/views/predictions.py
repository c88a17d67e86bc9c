"""Predictions: what the model itself answers to the probe, beside what it should."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from layerviz_callbacks.errors import ArgumentError, SelectionError, check_choice, check_count, did_you_mean
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.base import ModelView, View
from layerviz_callbacks.views.labels import checked_names
from layerviz_callbacks.views.prediction_classes import draw_classes, draw_numbers
from layerviz_callbacks.views.prediction_curves import draw_answers_over_time
from layerviz_callbacks.views.prediction_kinds import KINDS, SCORES, Answer, Reading, Refusal, answer_of
from layerviz_callbacks.views.prediction_masks import draw_masks
from layerviz_callbacks.views.prediction_sheets import Drawn
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.steady import steady

_DRAWINGS: Mapping[str, Callable[[Answer, Snapshot, int, Sequence[str]], Drawn]] = {
    "classes": draw_classes,
    "segmentation": draw_masks,
    "curves": draw_answers_over_time,
    "numbers": draw_numbers,
}


class Predictions(ModelView):
    """What the model answers to each sample: classes, a segmentation, curves over time, or numbers.

    | tag | what is drawn |
    |---|---|
    | `predictions/NAME` | one of the model's own outputs: "output" where there is only one |

    It shows on a few samples that one knows what a loss hides: which of them are wrong, and how sure the model
    is. It cannot tell how good the model is on others; a probability is no more to be trusted than its
    calibration (Guo et al. 2017, arXiv:1706.04599).

    The kind of an output is found from its shape, the inputs and the probe's targets, or said by `kind`:

    | kind | output | drawn |
    |---|---|---|
    | "classes" | `(sample, class)`, or `(sample, 1)` for two | a bar for each of the likeliest classes, the target, right or wrong and by how much |
    | "segmentation" | `(sample, *space, class)`, or one number a pixel for two | input, truth, prediction, errors; the IoU of each class, over all samples |
    | "curves" | `(sample, time, curve)` | the input, and the answer on the same axis over the target, a light area of its colour |
    | "numbers" | `(sample, number)` | a bar a number with its target and the difference |

    The class axis is last or, in PyTorch, second. Which, is told by the shape: what is left of it is the space
    of the inputs or of the targets; where that tells nothing, the classes stand where the inputs have their
    channels. `class_axis` overrides it. Where classes are scores and no distribution, softmax (for one number,
    or where several classes can be right: sigmoid) makes probabilities of them, and the sheet says so.

    Targets are those of the probe: class numbers, the shape of the output (one-hot, masks, curves, numbers), or,
    for several outputs of one class each, an axis with a target for each of them. Class numbers outside the
    classes, such as -1 or 255, are left out of segmentations.

    Args:
        every_n_epochs: how often; None: as often as the callback records.
        labels: the names of the classes, curves or numbers, in their order.
        outputs: the name of an output, or a list of them; None: all of the model's.
        kind: see above; None: found.
        class_axis: the axis of the classes in the model's own layout, 1 for `(sample, class, height, width)`.
        scores: "probabilities" or "logits"; None: found, from whether they are a distribution (for one number:
            from 0 to 1). Curves are drawn as they are, but for "logits".
        max_samples: at most so many samples are drawn, the first ones.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> Predictions(labels=["noise", "event"]).family
        'predictions'
    """  # noqa: E501

    family = "predictions"
    needs = frozenset({"model outputs"})
    told_apart_by = "outputs="

    def __init__(
        self,
        *,
        every_n_epochs: int | None = None,
        labels: Sequence[str] | None = None,
        outputs: str | Sequence[str] | None = None,
        kind: str | None = None,
        class_axis: int | None = None,
        scores: str | None = None,
        max_samples: int = 8,
    ) -> None:
        super().__init__(every_n_epochs=every_n_epochs)
        check_choice("kind", kind, [*KINDS, None])
        check_choice("scores", scores, [*SCORES, None])
        check_count("max_samples", max_samples)
        if class_axis is not None and (isinstance(class_axis, bool) or not isinstance(class_axis, int)):
            raise ArgumentError(
                f"class_axis={class_axis!r} is no axis. Allowed: a whole number, such as class_axis=1 for "
                "(sample, class, height, width)."
            )
        self.outputs = (outputs,) if isinstance(outputs, str) else checked_names("outputs", outputs)
        self.max_samples = max_samples
        self._reading = Reading(kind, class_axis, scores, checked_names("labels", labels) or ())

    def repeats(self, other: View) -> bool:
        """Whether both draw one of the outputs."""
        if not isinstance(other, Predictions):
            return False
        return self.outputs is None or other.outputs is None or bool({*self.outputs} & {*other.outputs})

    def refusals(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The outputs that cannot be drawn, with the reason in words.

        Raises:
            SelectionError: the model has no output of that name.
        """
        answers = {name: answer_of(snapshot, name, self._reading) for name in self._chosen_outputs(snapshot)}
        return {name: str(answer) for name, answer in answers.items() if isinstance(answer, Refusal)}

    def draw(self, snapshot: Snapshot) -> list[Picture]:
        """A sheet for each output that can be drawn."""
        pictures = []
        for name in self._chosen_outputs(snapshot):
            answer = answer_of(snapshot, name, self._reading)
            if isinstance(answer, Answer):
                pictures.append(self._sheet(name, answer, snapshot))
        return pictures

    def _chosen_outputs(self, snapshot: Snapshot) -> list[str]:
        there = list(snapshot.outputs)
        if self.outputs is None or not there:
            return there
        for name in self.outputs:
            if name not in there:
                raise SelectionError(
                    f"outputs: the model has no output {name!r}. It has {there}.{did_you_mean(name, there)}"
                )
        return [name for name in there if name in self.outputs]

    def _sheet(self, name: str, answer: Answer, snapshot: Snapshot) -> Picture:
        samples = self._fewer(min(len(answer.values), self.max_samples))
        single = len(snapshot.outputs) == 1
        labels: Sequence[str] = self._reading.labels
        if not single and answer.values.shape[-1] == 1:  # one curve or number: a name an output
            whole = len(labels) == len(snapshot.outputs)
            labels = [labels[list(snapshot.outputs).index(name)] if whole else name]
        tag = f"{self.family}/{name}"
        draw = _DRAWINGS[answer.kind]
        if draw is draw_answers_over_time:  # on a range of their own, not on shares
            draw = partial(draw_answers_over_time, hold=partial(steady, tag=tag, snapshot=snapshot))
        drawn = draw(answer, snapshot, samples, labels)
        return make_sheet(
            tag,
            drawn.body,
            name="prediction" if single else f"prediction: {name}",
            when=snapshot.when,
            facts=drawn.facts,
            key=drawn.key,
            notes=[*drawn.notes, *answer.notes],
            details="What the model itself answers to the probe.",
            colours=drawn.colours,
            held=drawn.held,
        )
