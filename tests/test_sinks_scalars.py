"""Numbers in sinks: read back with TensorBoard's own reader, and as JSON."""

import json

import pytest
from tensorboard import data_compat, dataclass_compat
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util import tensor_util

from layerviz_callbacks.errors import SinkError
from layerviz_callbacks.sinks import Folder, TensorBoard
from layerviz_callbacks.sinks.base import Sink
from layerviz_callbacks.sinks.events import scalar_event

NUMBERS = {"attention entropy/03_attn/head 0": 0.25, "attention distance/03_attn/head 0": 3.5}


def as_tensorboard_reads_it(event):
    (whole,) = dataclass_compat.migrate_event(data_compat.migrate_event(event), {})
    (value,) = whole.summary.value
    return value


def scalars(folder):
    """Tag -> [(step, value)]."""
    reader = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {
        tag: [
            (event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in reader.Tensors(tag)
        ]
        for tag in reader.PluginTagToContent("scalars")
    }


def test_a_scalar_event_is_what_pytorch_writes_after_the_migration_of_its_old_format():
    torch_summary = pytest.importorskip("torch.utils.tensorboard.summary")
    theirs = as_tensorboard_reads_it(Event(step=7, summary=torch_summary.scalar("loss/conv", 0.125)))
    ours = as_tensorboard_reads_it(Event.FromString(scalar_event("loss/conv", 0.125, 7)))
    assert ours.metadata.plugin_data.plugin_name == theirs.metadata.plugin_data.plugin_name == "scalars"
    assert ours.metadata.data_class == theirs.metadata.data_class
    assert tensor_util.make_ndarray(ours.tensor) == tensor_util.make_ndarray(theirs.tensor) == 0.125
    assert ours.tag == theirs.tag == "loss/conv"


def test_numbers_are_read_back_by_tag_and_step(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    for step in (0, 1, 5):
        sink.write_scalars({tag: value + step for tag, value in NUMBERS.items()}, step)
    sink.close()
    expected = {tag: [(step, value + step) for step in (0, 1, 5)] for tag, value in NUMBERS.items()}
    assert scalars(sink.location) == expected
    assert sink.written_bytes > 0


def test_numbers_that_are_none_are_written_as_they_are(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    sink.write_scalars({"a/nan": float("nan"), "a/inf": float("inf")}, 0)
    sink.close()
    found = scalars(sink.location)
    assert found["a/nan"][0][1] != found["a/nan"][0][1]
    assert found["a/inf"] == [(0, float("inf"))]


def test_tags_with_letters_that_cannot_be_printed_are_made_printable(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    sink.write_scalars({"f/con\nv": 1.0}, 0)
    sink.close()
    assert list(scalars(sink.location)) == [r"f/con\nv"]


def test_numbers_to_a_sink_that_is_not_open_say_what_to_call(tmp_path):
    for sink in (TensorBoard(tmp_path), Folder(tmp_path)):
        with pytest.raises(SinkError, match=r"not open. Call open\(first_step=0\)"):
            sink.write_scalars(NUMBERS, 0)


def numbers_of(folder):
    """Step -> tag -> value, whatever files they stand in."""
    found = {}
    for path in folder.rglob("*.json"):
        step = int(path.stem.removeprefix("step_"))
        found.setdefault(step, {}).update(json.loads(path.read_text()))
    return found


def test_a_folder_holds_the_numbers_of_each_step_as_json(tmp_path):
    sink = Folder(tmp_path / "pictures")
    sink.open(first_step=0)
    expected = {step: {tag: value + step for tag, value in NUMBERS.items()} for step in (0, 12)}
    for step, numbers in expected.items():
        sink.write_scalars(numbers, step)
    sink.close()
    assert numbers_of(tmp_path / "pictures") == expected
    files = [path for path in (tmp_path / "pictures").rglob("*") if path.is_file()]
    assert sink.written_bytes == sum(path.stat().st_size for path in files)
    assert {path.name for path in files} == {"step_0000.json", "step_0012.json"}


def test_numbers_of_two_views_of_a_family_stand_beside_each_other(tmp_path):
    sink = Folder(tmp_path / "pictures")
    sink.open(first_step=0)
    sink.write_scalars({"attention entropy/03_a/head 0": 0.5}, 1)
    sink.write_scalars({"attention entropy/04_b/head 0": 0.25}, 1)
    sink.close()
    assert numbers_of(tmp_path / "pictures") == {
        1: {"attention entropy/03_a/head 0": 0.5, "attention entropy/04_b/head 0": 0.25}
    }


def test_numbers_alone_make_a_folder_one_of_a_run(tmp_path):
    for _ in range(2):
        sink = Folder(tmp_path / "pictures")
        sink.open(first_step=0)
        sink.write_scalars(NUMBERS, 0)
        sink.close()
    assert sink.location == str(tmp_path / "pictures-2")


def test_no_numbers_leave_nothing_behind(tmp_path):
    sink = Folder(tmp_path / "pictures")
    sink.open(first_step=0)
    sink.write_scalars({}, 0)
    sink.close()
    assert not list((tmp_path / "pictures").rglob("*"))


def test_a_sink_that_keeps_no_numbers_need_not_write_any():
    class Pictures(Sink):
        location = "nowhere"

        def open(self, *, first_step): ...
        def write(self, pictures, step): ...
        def write_text(self, tag, text, step): ...
        def flush(self): ...
        def close(self): ...

    assert Pictures().write_scalars(NUMBERS, 0) is None
