"""The pictures of a training that is over, from the checkpoints it left."""

from layerviz_callbacks.replaying.checkpoint_files import find_checkpoints
from layerviz_callbacks.replaying.loaders import Loader, loader_of
from layerviz_callbacks.replaying.model_building import build_model, function_named
from layerviz_callbacks.replaying.numbering import Numbered, Numbering, numbered
from layerviz_callbacks.replaying.replay import Replay, Replayed, replay

__all__ = [
    "Loader",
    "Numbered",
    "Numbering",
    "Replay",
    "Replayed",
    "build_model",
    "find_checkpoints",
    "function_named",
    "loader_of",
    "numbered",
    "replay",
]
