"""The events' contents: against what TensorFlow and PyTorch write for the same picture and text."""

import numpy as np
import pytest
from tensorboard import data_compat, dataclass_compat
from tensorboard.compat.proto.event_pb2 import Event

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.sinks.events import image_event, session_event, text_event

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def as_tensorboard_reads_it(event: Event):
    """The event's only value after the migrations that TensorBoard puts every event through."""
    migrated = data_compat.migrate_event(event)
    (whole,) = dataclass_compat.migrate_event(migrated, {})
    (value,) = whole.summary.value
    return value


def written_by_tensorflow(folder, write) -> Event:
    import tensorflow as tf

    with tf.summary.create_file_writer(str(folder)).as_default():
        write(tf.summary)
    (path,) = folder.iterdir()
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    return Event.FromString(records[-1])


def test_an_image_event_equals_that_of_tf_summary_image(tmp_path):
    theirs = written_by_tensorflow(
        tmp_path,
        lambda summary: summary.image("filters/01_conv", PIXELS[None], step=7, description="**bold**"),
    )
    png = theirs.summary.value[0].tensor.string_val[2]
    ours = Event.FromString(image_event("filters/01_conv", png, (3, 2), 7, description="**bold**"))
    assert ours.step == theirs.step == 7
    assert as_tensorboard_reads_it(ours) == as_tensorboard_reads_it(theirs)


def test_an_image_event_equals_that_of_pytorch_after_the_migration_of_its_old_format():
    torch_summary = pytest.importorskip("torch.utils.tensorboard.summary")
    theirs = Event(step=7, summary=torch_summary.image("filters/01_conv", PIXELS, dataformats="HWC"))
    png = theirs.summary.value[0].image.encoded_image_string
    ours = Event.FromString(image_event("filters/01_conv", png, (3, 2), 7))
    migrated = as_tensorboard_reads_it(theirs)
    assert migrated.metadata.plugin_data.content == b"\x10\x01"  # the mark "was migrated", and nothing else
    migrated.metadata.plugin_data.content = b""
    assert migrated.metadata.display_name == migrated.tag  # shown where it is empty, too
    migrated.metadata.display_name = ""
    assert as_tensorboard_reads_it(ours) == migrated


def test_a_text_event_equals_that_of_tf_summary_text(tmp_path):
    theirs = written_by_tensorflow(tmp_path, lambda summary: summary.text("notes", "# Über\n*x*", step=3))
    ours = Event.FromString(text_event("notes", "# Über\n*x*", 3))
    assert ours.step == theirs.step == 3
    assert as_tensorboard_reads_it(ours) == as_tensorboard_reads_it(theirs)


def test_the_images_plugin_accepts_the_metadata():
    from tensorboard.plugins.image import metadata

    event = Event.FromString(image_event("a", b"png", (1, 1), 0, description="D"))
    stored = event.summary.value[0].metadata
    assert metadata.parse_plugin_metadata(stored.plugin_data.content).version == 0
    assert stored.summary_description == "D"


def test_steps_of_numpy_and_of_great_size_are_kept():
    assert Event.FromString(text_event("a", "b", np.int64(5))).step == 5
    assert Event.FromString(text_event("a", "b", 10**12)).step == 10**12


def test_text_that_no_utf8_can_hold_is_written_with_question_marks():
    event = Event.FromString(text_event("a", "x\udc80y", 0))
    assert event.summary.value[0].tensor.string_val[0] == b"x?y"
    event = Event.FromString(image_event("a", b"", (1, 1), 0, description="\ud800!"))
    assert event.summary.value[0].metadata.summary_description == "?!"


def test_a_session_event_is_a_start_at_its_step():
    event = Event.FromString(session_event(4))
    assert (event.step, event.session_log.status) == (4, event.session_log.START)


def test_the_size_in_the_event_is_width_then_height():
    picture = Picture("a", PIXELS)
    event = Event.FromString(image_event(picture.tag, picture.png(), picture.size, 0))
    assert list(event.summary.value[0].tensor.string_val)[:2] == [b"3", b"2"]
