"""Histograms in sinks: read back with TensorBoard's own reader, and as JSON."""

import json

import numpy as np
import pytest
from tensorboard import data_compat, dataclass_compat
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util import tensor_util

from layerviz_callbacks.errors import SinkError
from layerviz_callbacks.histogram import Histogram
from layerviz_callbacks.sinks import Folder, TensorBoard
from layerviz_callbacks.sinks.base import Sink
from layerviz_callbacks.sinks.events import histogram_event

VALUES = np.float32([-1, -1, 0, 0.5, 1])
HISTOGRAM = Histogram.of(VALUES, bins=4)


def histograms(folder):
    """Tag -> [(step, rows of left edge, right edge, count)]."""
    reader = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {
        tag: [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in reader.Tensors(tag)]
        for tag in reader.PluginTagToContent("histograms")
    }


def as_tensorboard_reads_it(event):
    (whole,) = dataclass_compat.migrate_event(data_compat.migrate_event(event), {})
    (value,) = whole.summary.value
    return value


def test_tensorboard_reads_edges_and_counts_by_tag_and_step(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    sink.write_histograms({"weights/01_conv": HISTOGRAM}, 0)
    sink.write_histograms({"weights/01_conv": HISTOGRAM, "outputs/01_conv": Histogram.of(VALUES, bins=1)}, 3)
    sink.close()
    found = histograms(sink.location)
    assert [step for step, _ in found["weights/01_conv"]] == [0, 3]
    rows = found["weights/01_conv"][1][1]
    assert rows.dtype == np.float64
    assert rows.tolist() == [[-1, -0.5, 2], [-0.5, 0, 0], [0, 0.5, 1], [0.5, 1, 2]]
    assert found["outputs/01_conv"][0][1].tolist() == [[-1, 1, 5]]
    assert sink.written_bytes > 0


def test_a_histogram_event_is_what_tensorboards_own_summary_makes():
    summary = pytest.importorskip("tensorboard.plugins.histogram.summary_v2")
    theirs = as_tensorboard_reads_it(Event(summary=summary.histogram_pb("weights/a", VALUES, buckets=4)))
    ours = as_tensorboard_reads_it(Event.FromString(histogram_event("weights/a", HISTOGRAM, 7)))
    assert tensor_util.make_ndarray(ours.tensor).tolist() == tensor_util.make_ndarray(theirs.tensor).tolist()
    assert ours.metadata.plugin_data.plugin_name == theirs.metadata.plugin_data.plugin_name
    assert ours.metadata.data_class == theirs.metadata.data_class
    assert ours.tag == theirs.tag


def test_a_folder_holds_histograms_as_json_beside_the_numbers(tmp_path):
    sink = Folder(tmp_path / "pictures")
    sink.open(first_step=0)
    sink.write_histograms({"weights/01_conv": HISTOGRAM}, 2)
    sink.write_histograms({"weights/02_conv": Histogram.of(VALUES, bins=1)}, 2)
    sink.write_scalars({"weights/01_conv": 0.5}, 2)
    sink.close()
    (path,) = (tmp_path / "pictures").glob("histograms/*/step_0002.json")
    assert json.loads(path.read_text()) == {
        "weights/01_conv": {"edges": [-1, -0.5, 0, 0.5, 1], "counts": [2, 0, 1, 2]},
        "weights/02_conv": {"edges": [-1, 1], "counts": [5]},
    }
    assert len(list((tmp_path / "pictures").glob("numbers/*/step_0002.json"))) == 1


def test_histograms_to_a_sink_that_is_not_open_say_what_to_call(tmp_path):
    for sink in (TensorBoard(tmp_path), Folder(tmp_path)):
        with pytest.raises(SinkError, match=r"not open. Call open\(first_step=0\)"):
            sink.write_histograms({"weights/01_conv": HISTOGRAM}, 0)


def test_a_sink_that_keeps_no_histograms_need_not_write_any(tmp_path):
    assert Sink.write_histograms(Folder(tmp_path / "pictures"), {}, 0) is None
