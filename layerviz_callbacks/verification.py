"""The proof that a training is untouched: train with the callback and without, and compare."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from layerviz_callbacks.errors import ArgumentError, check_count
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.probe import Probe, to_numpy
from layerviz_callbacks.sinks import Sink

State = Mapping[str, Mapping[str, Any]]
"""What a training leaves behind: by group, such as "weights", the arrays by name."""

RANDOM = "random states"
_DRIVING = frozenset({"weights", "buffers", "optimizer variables", "optimizer entries"})  # all else follows
SEED = 20_011
_SAMPLES = 4
_SHOWN = 12


@dataclass(frozen=True)
class Difference:
    """Something that is not the same after two trainings.

    Attributes:
        group: what it is one of, such as "weights".
        name: which of them, such as "conv1/kernel".
        largest: the largest absolute difference of its numbers; None where there is no such number.
        note: what else is to be said, such as "only with the callback"; may be empty.
    """

    group: str
    name: str
    largest: float | None = None
    note: str = ""

    def __str__(self) -> str:
        told = [self.note] if self.note else []
        if self.largest is not None:
            told.append(f"largest difference {self.largest:.3g}")
        return f"{self.group}: {self.name} ({', '.join(told)})"


@dataclass(frozen=True)
class Verification:
    """What came out of a training with the callback and one without it.

    Attributes:
        steps: the optimizer steps of each training.
        pictures: how many pictures were drawn in the one with the callback.
        compared: how many of each group were compared, such as `{"weights": 14}`.
        differences: what is not the same with the callback, though it is in two trainings without it.
        unrepeatable: what is not the same even in two trainings without the callback, from the same seeds:
            of that, nothing can be told; with weights or an optimizer among it, of nothing else either.

    Example:
        >>> print(verify(make_model, batches))                         # doctest: +SKIP
        Training is untouched: after 6 steps and 28 pictures it is, bit for bit, what it is without.
        Identical: 14 weights, 29 optimizer variables, 2 metrics, 9 modes, 4 random states.
    """

    steps: int
    pictures: int
    compared: Mapping[str, int] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    unrepeatable: tuple[Difference, ...] = ()

    @property
    def untouched(self) -> bool:
        """Whether the training was proved to be the same, bit for bit; not where nothing can be told."""
        return not self.differences and not self.unrepeatable

    def __str__(self) -> str:
        after = f"after {self.steps} steps and {self.pictures} pictures"
        lines = []
        if self.untouched:
            lines.append(f"Training is untouched: {after} it is, bit for bit, what it is without.")
        if self.differences:
            lines.append(f"Training is changed by the callback: {after} these are not what they are without:")
            lines += _listed(self.differences)
        if self.unrepeatable:
            lines.append(
                "Nothing can be told of what follows: it is not the same even in two trainings without "
                "the callback, from the same seeds. Something in the model or its batches is random in a way "
                "that no seed reaches (a generator of its own, threads, operations in no fixed order):"
            )
            lines += _listed(self.unrepeatable)
        same = self._identical()
        if same:
            counts = ", ".join(f"{count} {group}" for group, count in same.items())
            lines.append(f"Identical: {counts}.")
        return "\n".join(lines)

    def _identical(self) -> dict[str, int]:
        different = [difference.group for difference in (*self.differences, *self.unrepeatable)]
        same = {group: count - different.count(group) for group, count in self.compared.items()}
        return {group: count for group, count in same.items() if count > 0}


def verified(train: Callable[[Sink | None], State], *, steps: int) -> Verification:
    """Train with and without the callback, and compare what is left behind.

    Args:
        train: trains anew from the same seeds: with a callback that records every step into the given
            sink, or, given None, without one.
        steps: how many optimizer steps it takes.
    """
    sink = CountingSink()
    without, with_callback = train(None), train(sink)
    differences = list(_differences(without, with_callback))
    unrepeatable: list[Difference] = []
    if differences:
        unrepeatable = list(_differences(without, train(None), absent="only in one of the two"))
        never_the_same = {(one.group, one.name) for one in unrepeatable}
        if any(one.group in _DRIVING for one in unrepeatable):
            differences = []
        differences = [one for one in differences if (one.group, one.name) not in never_the_same]
    return Verification(
        steps=steps,
        pictures=sink.pictures,
        compared=_counted(without, with_callback),
        differences=tuple(differences),
        unrepeatable=tuple(unrepeatable),
    )


class CountingSink(Sink):
    """Counts pictures and keeps none.

    Attributes:
        pictures: how many were written.
    """

    def __init__(self) -> None:
        self.pictures = 0

    def open(self, *, first_step: int) -> None:
        """There is nothing to be made ready."""

    def write(self, pictures: Sequence[Picture], step: int) -> None:
        """Count the pictures, encoded as they would be written."""
        self.pictures += sum(bool(picture.png()) for picture in pictures)

    def write_text(self, tag: str, text: str, step: int) -> None:
        """Texts are not counted."""

    def flush(self) -> None:
        """There is nothing to be flushed."""

    def close(self) -> None:
        """There is nothing to be closed."""

    @property
    def location(self) -> str:
        """Nowhere."""
        return "nowhere (verify)"


def checked_batches(batches: Any, steps: int | None) -> tuple[list[Any], int]:
    """The batches as a list, and the number of steps: that given, or each batch twice.

    Raises:
        ArgumentError: there are no batches, or `steps` is not a count.
    """
    check_count("steps", steps, optional=True)
    if isinstance(batches, (str, bytes, Mapping)) or hasattr(batches, "dtype"):
        raise ArgumentError(
            f"batches is a {type(batches).__name__}. Pass a list of batches as training gets them, for "
            "example batches=[(x[:8], y[:8]), (x[8:16], y[8:16])]."
        )
    listed = list(batches)
    if not listed:
        raise ArgumentError("batches is empty. Pass a few batches, for example [(x[:8], y[:8])].")
    return listed, 2 * len(listed) if steps is None else steps


def probe_of(probe: Any, batch: Any) -> Probe:
    """The given probe, or the first samples of the inputs of a batch `(inputs, ...)`.

    Raises:
        ProbeError: it cannot be a probe.
    """
    if probe is not None:
        return Probe.of(probe)
    inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
    return Probe(_first_samples(inputs))


def process_random_states() -> dict[str, np.ndarray]:
    """The states of the generators of Python and NumPy."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002  the user's global one
    return {
        "Python": np.array(repr(random.getstate())),
        "NumPy": np.array(repr((name, np.asarray(keys).tolist(), *rest))),
    }


def seed_process(seed: int) -> None:
    """Seed the generators of Python and NumPy."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in a nest of dicts, lists and tuples, with its path: "0", "state/3/exp_avg".

    Example:
        >>> dict(leaves({"a": [1, 2], "b": {"c": 3}}))
        {'a/0': 1, 'a/1': 2, 'b/c': 3}
    """
    if isinstance(value, Mapping):
        inner: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, (list, tuple)):
        inner = list(enumerate(value))
    else:
        yield path, value
        return
    for key, part in inner:
        yield from leaves(part, f"{path}/{key}" if path else str(key))


def frozen(state: State) -> dict[str, dict[str, np.ndarray]]:
    """Copies of everything as NumPy arrays, so that a later training does not change them."""
    return {group: {name: _array(value) for name, value in one.items()} for group, one in state.items()}


def _array(value: Any) -> np.ndarray:
    try:
        array = to_numpy(value)
    except (TypeError, ValueError):
        return np.array(repr(value))
    return np.array(repr(value)) if array.dtype == object else array


def _first_samples(inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _first_samples(value) for name, value in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        return type(inputs)(_first_samples(value) for value in inputs)
    return inputs[:_SAMPLES]


def _counted(left: State, right: State) -> dict[str, int]:
    names = {group: {*left.get(group, {}), *right.get(group, {})} for group in (*left, *right)}
    return {group: len(found) for group, found in names.items() if found}


def _differences(left: State, right: State, *, absent: str = "only {} the callback") -> Iterator[Difference]:
    for group in dict.fromkeys([*left, *right]):
        one, other = left.get(group, {}), right.get(group, {})
        for name in dict.fromkeys([*one, *other]):
            if name not in one or name not in other:
                yield Difference(group, name, note=absent.format("without" if name in one else "with"))
            elif not _same(one[name], other[name]):
                yield _difference(group, name, one[name], other[name])


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()


def _difference(group: str, name: str, left: np.ndarray, right: np.ndarray) -> Difference:
    if left.shape != right.shape:
        return Difference(group, name, note=f"shape {left.shape} without, {right.shape} with")
    if group == RANDOM:
        return Difference(group, name, note="another state")
    if left.dtype.kind not in "iuf" or right.dtype.kind not in "iuf":
        note = f"{left} without, {right} with" if left.ndim == 0 else "other values"
        return Difference(group, name, note=note)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(left.astype(np.float64) - right.astype(np.float64))
    known = gaps[~np.isnan(gaps)]
    note = "" if known.size == gaps.size else "other NaN"
    return Difference(group, name, float(known.max(initial=0.0)), note)


def _listed(differences: Sequence[Difference]) -> list[str]:
    lines = [f"  {difference}" for difference in differences[:_SHOWN]]
    more = len(differences) - _SHOWN
    return [*lines, f"  and {more} more: see .differences and .unrepeatable"] if more > 0 else lines
