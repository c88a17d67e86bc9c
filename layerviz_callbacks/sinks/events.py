"""TensorBoard's events as bytes, built with its own protobuf messages.

Importing this module imports `tensorboard.compat.proto` (about 40 ms; no TensorFlow), so it is imported
only where an event file is really written.

The layouts are those of TensorBoard's own plugins: an image is a string tensor
`[width, height, PNG, ...]` of the plugin "images", a text a scalar string tensor of the plugin "text", a
histogram a tensor of rows (left edge, right edge, count) of the plugin "histograms".
"""

from __future__ import annotations

import time

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import (
    DATA_CLASS_BLOB_SEQUENCE,
    DATA_CLASS_SCALAR,
    DATA_CLASS_TENSOR,
    Summary,
    SummaryMetadata,
)
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_FLOAT, DT_STRING

from layerviz_callbacks.histogram import Histogram

FILE_VERSION = "brain.Event:2"


def version_event() -> bytes:
    """The event that every event file begins with."""
    return _serialized(
        Event(file_version=FILE_VERSION, source_metadata=SourceMetadata(writer="layerviz_callbacks"))
    )


def session_event(step: int) -> bytes:
    """The event that stands before the first picture or number of every file: what the folder's earlier
    files hold from `step` on no longer counts.

    TensorBoard's Python reader takes the first such event of a folder as its beginning and obeys the
    later ones; without them it would show the oldest picture of a step that a resumed run repeats. The
    data server ignores them and lets the newest picture win.
    """
    return _serialized(Event(step=int(step), session_log=SessionLog(status=SessionLog.START)))


def image_event(tag: str, png: bytes, size: tuple[int, int], step: int, *, description: str = "") -> bytes:
    """The event of one picture.

    Args:
        tag: where it stands; the part before the first "/" is its group.
        png: the encoded picture.
        size: width and height in pixels.
        step: the step it belongs to.
        description: Markdown for the (i) pop-up. TensorBoard shows that of a tag's first event at all
            its steps.
    """
    width, height = size
    tensor = TensorProto(
        dtype=DT_STRING,
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=3)]),
        string_val=[str(width).encode(), str(height).encode(), png],
    )
    metadata = SummaryMetadata(
        summary_description=_valid_unicode(description),
        plugin_data=SummaryMetadata.PluginData(plugin_name="images"),
        data_class=DATA_CLASS_BLOB_SEQUENCE,
    )
    return _summary_event(tag, tensor, metadata, step)


def text_event(tag: str, text: str, step: int) -> bytes:
    """The event of one piece of Markdown text."""
    tensor = TensorProto(
        dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[_valid_unicode(text).encode()]
    )
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="text"), data_class=DATA_CLASS_TENSOR
    )
    return _summary_event(tag, tensor, metadata, step)


def scalar_event(tag: str, value: float, step: int) -> bytes:
    """The event of one number, for TensorBoard's scalars."""
    tensor = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(), float_val=[float(value)])
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"), data_class=DATA_CLASS_SCALAR
    )
    return _summary_event(tag, tensor, metadata, step)


def histogram_event(tag: str, histogram: Histogram, step: int) -> bytes:
    """The event of one histogram, for TensorBoard's histograms and distributions."""
    edges, counts = histogram.edges, histogram.counts
    rows = np.stack([edges[:-1], edges[1:], counts], axis=1).astype("<f8")
    sizes = [TensorShapeProto.Dim(size=size) for size in rows.shape]
    tensor = TensorProto(
        dtype=DT_DOUBLE, tensor_shape=TensorShapeProto(dim=sizes), tensor_content=rows.tobytes()
    )
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="histograms"), data_class=DATA_CLASS_TENSOR
    )
    return _summary_event(tag, tensor, metadata, step)


def _summary_event(tag: str, tensor: TensorProto, metadata: SummaryMetadata, step: int) -> bytes:
    value = Summary.Value(tag=tag, tensor=tensor, metadata=metadata)
    return _serialized(Event(step=int(step), summary=Summary(value=[value])))


def _serialized(event: Event) -> bytes:
    event.wall_time = time.time()
    data: bytes = event.SerializeToString()
    return data


def _valid_unicode(text: str) -> str:
    """The text with "?" for lone surrogates, which no UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
