"""One model object that takes the weights of one checkpoint after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from layerviz_callbacks.errors import ArgumentError, CheckpointError
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.reader import Reader
from layerviz_callbacks.replaying.checkpoint_files import framework_of
from layerviz_callbacks.replaying.model_building import build_model
from layerviz_callbacks.replaying.numbering import Inside

if TYPE_CHECKING:
    from layerviz_callbacks.torch.checkpoints import TorchCheckpoint


class Loader(Protocol):
    """A model, and how weights come into it.

    Attributes:
        model: of Keras or PyTorch; the same object all the time.
    """

    model: Any

    def reader(self, probe: Probe) -> Reader:
        """What reads the model. Raises `ProbeError` where the model cannot be called with the probe."""

    def load(self, path: Path) -> None:
        """Load the weights of a file. Raises `CheckpointError` where they cannot be."""

    def inside(self, path: Path) -> Inside | None:
        """What a file says of its place in the training; None where it says nothing, or cannot be read."""


class KerasLoader:
    """See `Loader`.

    Args:
        model: of Keras 3 or `tf_keras`.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def reader(self, probe: Probe) -> Reader:
        """See `Loader`."""
        from layerviz_callbacks.keras.reading import reader_of
        from layerviz_callbacks.keras.saved_models import make_built

        reader = reader_of(self.model, probe)
        make_built(self.model, probe)
        return reader

    def load(self, path: Path) -> None:
        """See `Loader`."""
        from layerviz_callbacks.keras.saved_models import load_weights

        load_weights(self.model, path)

    def inside(self, path: Path) -> Inside | None:
        """Files of Keras say nothing."""
        return None


class TorchLoader:
    """See `Loader`.

    Args:
        model: a `torch.nn.Module`.
        trust: Python objects in checkpoints may be unpickled.
    """

    def __init__(self, model: Any, *, trust: bool) -> None:
        self.model = model
        self._trust = trust

    def reader(self, probe: Probe) -> Reader:
        """See `Loader`."""
        from layerviz_callbacks.torch.reader import TorchReader

        return TorchReader(self.model, probe)

    def load(self, path: Path) -> None:
        """See `Loader`."""
        from layerviz_callbacks.torch.checkpoints import load_weights

        load_weights(self.model, _torch_checkpoint(path, trust=self._trust), path.name)

    def inside(self, path: Path) -> Inside | None:
        """See `Loader`."""
        if path.suffix == ".safetensors":
            return None
        try:
            read = _torch_checkpoint(path, trust=self._trust)
        except CheckpointError:  # told when its turn comes
            return None
        return Inside(read.epochs, read.steps, read.number)


def loader_of(files: Sequence[Path], build: Any = None, *, trust: bool = False) -> Loader:
    """The model that these checkpoints are of.

    Args:
        files: of one framework; a whole Keras model is opened from the first that can be.
        build: a function or class that gives the model, or the model itself; needed where the files hold
            weights alone.
        trust: code in the files may be run.

    Raises:
        ArgumentError: `build` is needed, fails, or gives no model of the files' framework.
        CheckpointError: none of the files can be opened.
    """
    if build is None:
        return KerasLoader(_first_keras_model(files, trust=trust))
    of_torch = bool(files) and framework_of(files[0]) == "torch"
    model = build_model(build, _hyper_parameters(files, trust=trust) if of_torch else {})
    roots = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    is_keras = bool(roots & {"keras", "tf_keras"})  # on PyTorch it is a torch module too
    if is_keras and not of_torch:
        return KerasLoader(model)
    if "torch" in roots and not is_keras and (of_torch or not files):
        return TorchLoader(model, trust=trust)
    wanted = "a torch.nn.Module" if of_torch else "a Keras model" if files else "a Keras or PyTorch model"
    raise ArgumentError(
        f"--model gave a {type(model).__module__}.{type(model).__qualname__}. Allowed"
        + (f" for {files[0].name}" if files else "")
        + f": {wanted}."
    )


def _first_keras_model(files: Sequence[Path], *, trust: bool) -> Any:
    if not files:
        raise ArgumentError("No model was given. Give a saved model, or --model package.module:build.")
    of_torch = framework_of(files[0]) == "torch"
    if of_torch or files[0].name.endswith(".weights.h5"):
        why = "is of PyTorch, whose weights are put into a model that your code builds" if of_torch else ""
        raise ArgumentError(
            f"{files[0].name} {why or 'holds weights alone'}. Type --model package.module:build, a function "
            "(or the class) that builds the model."
        )
    from layerviz_callbacks.keras.saved_models import load_model
    from layerviz_callbacks.store.header import is_snapshot_file

    first: CheckpointError | None = None
    for path in files:
        if is_snapshot_file(path):
            raise ArgumentError(f"{path.name} holds snapshots, and no model. Type: layerviz show {path}")
        try:
            return load_model(path, trust=trust)
        except CheckpointError as error:
            first = first or error
    raise first or CheckpointError("no file")


def _hyper_parameters(files: Sequence[Path], *, trust: bool) -> dict[str, Any]:
    """What Lightning wrote down of how the module was made, in the first file that can be read."""
    for path in files:
        try:
            return dict(_torch_checkpoint(path, trust=trust).hyper_parameters)
        except CheckpointError:  # told when its turn comes
            continue
    return {}


def _torch_checkpoint(path: Path, *, trust: bool) -> TorchCheckpoint:
    from layerviz_callbacks.torch.checkpoints import read_checkpoint

    return read_checkpoint(path, trust=trust)
