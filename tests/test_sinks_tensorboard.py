"""The TensorBoard sink: read back with TensorBoard's own Python reader."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from layerviz_callbacks.errors import ArgumentError, SinkError
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.sinks import TensorBoard, event_file


def picture(tag: str, seed: int = 0, **words: str) -> Picture:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5), dtype=np.uint8)
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return Picture(tag, pixels, palette, **words)


def pngs(folder: Path) -> dict[str, dict[int, bytes]]:
    """Tag -> step -> PNG, as TensorBoard's Python reader shows them: of several at a step the first."""
    reader = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    found: dict[str, dict[int, bytes]] = {}
    for tag in reader.PluginTagToContent("images"):
        for event in reader.Tensors(tag):
            found.setdefault(tag, {}).setdefault(event.step, event.tensor_proto.string_val[2])
    return found


def write_run(log_dir: Path, first_step: int, steps: dict[int, int]) -> TensorBoard:
    """A run whose picture "f/01_conv" at each step is made from a seed."""
    sink = TensorBoard(log_dir)
    sink.open(first_step=first_step)
    for step, seed in steps.items():
        sink.write([picture("f/01_conv", seed)], step)
    sink.close()
    return sink


def test_pictures_are_read_back_with_their_bytes_steps_and_tags(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    shown = {step: [picture("f/01_a", step), picture("f/02_b", 10 + step)] for step in (0, 1, 2)}
    for step, pictures in shown.items():
        sink.write(pictures, step)
    sink.close()
    assert pngs(tmp_path / "layerviz") == {
        "f/01_a": {step: pictures[0].png() for step, pictures in shown.items()},
        "f/02_b": {step: pictures[1].png() for step, pictures in shown.items()},
    }


def test_the_description_is_read_back_with_the_step_that_it_is_of(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    for step, words in ((0, "**before** training"), (1, "epoch 1")):
        sink.write([picture("f/01_a", caption=words, description=words), picture("f/02_b")], step)
    sink.close()
    reader = EventAccumulator(sink.location).Reload()
    metadata = reader.SummaryMetadata("f/01_a")
    assert metadata.summary_description == "**before** training\n\n*(This text is of step 0.)*"
    assert metadata.display_name == "", "TensorBoard would show the first step's words above all pictures"
    assert reader.SummaryMetadata("f/02_b").summary_description == ""


def test_text_is_read_back(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    sink.write_text("layers pictured", "31 of 34", 0)
    sink.close()
    reader = EventAccumulator(sink.location).Reload()
    assert list(reader.PluginTagToContent("text")) == ["layers pictured"]
    (event,) = reader.Tensors("layers pictured")
    assert list(event.tensor_proto.string_val) == [b"31 of 34"]


def test_the_location_is_a_run_of_its_own_below_the_log_folder(tmp_path):
    sink = TensorBoard(str(tmp_path / "a" / "b"))
    assert sink.location == str(tmp_path / "a" / "b" / "layerviz")
    assert not (tmp_path / "a").exists(), "nothing is made before open"
    sink.open(first_step=0)
    sink.close()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["layerviz"]


def test_a_relative_folder_stays_the_same_after_a_change_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sink = TensorBoard("logs")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sink.open(first_step=0)
    sink.close()
    assert sink.location == str(tmp_path / "logs" / "layerviz")


def test_a_new_run_never_mixes_with_an_earlier_one(tmp_path):
    places = [Path(write_run(tmp_path, 0, {0: seed}).location).name for seed in (1, 2, 3)]
    assert places == ["layerviz", "layerviz-2", "layerviz-3"]
    found = [pngs(tmp_path / place)["f/01_conv"] for place in places]
    assert found == [{0: picture("x", seed).png()} for seed in (1, 2, 3)]


def test_the_same_sink_opened_for_a_second_new_run_takes_the_next_place(tmp_path):
    sink = write_run(tmp_path, 0, {0: 1})
    sink.open(first_step=0)
    sink.write([picture("f/01_conv", 2)], 0)
    sink.close()
    assert sink.location == str(tmp_path / "layerviz-2")


def test_a_folder_without_event_files_of_ours_is_used(tmp_path):
    (tmp_path / "layerviz").mkdir()
    (tmp_path / "layerviz" / "notes.txt").write_text("mine")
    (tmp_path / "layerviz-old").mkdir()
    assert write_run(tmp_path, 0, {0: 1}).location == str(tmp_path / "layerviz")


def test_a_resumed_run_goes_on_in_the_newest_place(tmp_path):
    for seed in range(10):  # up to layerviz-10, which as text sorts before layerviz-2
        write_run(tmp_path, 0, {0: seed, 1: seed})
    sink = write_run(tmp_path, 2, {2: 42})
    assert sink.location == str(tmp_path / "layerviz-10")
    assert sorted(pngs(tmp_path / "layerviz-10")["f/01_conv"]) == [0, 1, 2]


def test_a_resumed_run_without_an_earlier_one_starts_the_first_place(tmp_path):
    assert write_run(tmp_path, 5, {5: 1}).location == str(tmp_path / "layerviz")


def test_steps_that_a_resumed_run_repeats_show_the_new_pictures(tmp_path):
    write_run(tmp_path, 0, {0: 0, 1: 1, 2: 2, 3: 3})
    write_run(tmp_path, 1, {2: 102, 3: 103})  # from the checkpoint of step 1
    expected = {0: 0, 1: 1, 2: 102, 3: 103}
    found = pngs(tmp_path / "layerviz")["f/01_conv"]
    assert found == {step: picture("x", seed).png() for step, seed in expected.items()}


def test_a_run_resumed_twice_shows_the_newest_pictures_and_keeps_the_steps_before(tmp_path):
    write_run(tmp_path, 0, {0: 0, 1: 1, 2: 2})
    write_run(tmp_path, 1, {2: 102, 3: 103})
    write_run(tmp_path, 2, {3: 203})
    expected = {0: 0, 1: 1, 2: 102, 3: 203}
    found = pngs(tmp_path / "layerviz")["f/01_conv"]
    assert found == {step: picture("x", seed).png() for step, seed in expected.items()}


def test_flush_makes_pictures_visible_to_a_reader_that_is_already_reading(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    sink.write([picture("f/01_a")], 0)
    sink.flush()
    reader = EventAccumulator(sink.location).Reload()
    assert [event.step for event in reader.Tensors("f/01_a")] == [0]
    sink.write([picture("f/01_a")], 1)
    sink.flush()
    assert [event.step for event in reader.Reload().Tensors("f/01_a")] == [0, 1]
    sink.close()


def test_close_may_be_called_twice_and_before_open(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.close()
    sink.open(first_step=0)
    sink.close()
    sink.close()
    sink.flush()


def test_writing_to_a_sink_that_is_not_open_says_what_to_call(tmp_path):
    with pytest.raises(SinkError, match=r"not open. Call open\(first_step=0\)"):
        TensorBoard(tmp_path).write([picture("a")], 0)


@pytest.mark.parametrize("below", ["", "below", "far/below"])
def test_a_file_where_a_folder_should_be_is_told(tmp_path, below):
    (tmp_path / "notes.txt").write_text("mine")
    log_dir = tmp_path / "notes.txt" / below
    with pytest.raises(SinkError) as told:
        TensorBoard(log_dir).open(first_step=0)
    assert f"log_dir={str(log_dir)!r} cannot be written" in str(told.value)
    assert f"{str(tmp_path / 'notes.txt')!r} is not a folder" in str(told.value)
    assert "Pass a folder that you can write" in str(told.value)
    assert isinstance(told.value, OSError)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EACCES, "not permitted to write in"),
        (errno.EPERM, "not permitted to write in"),
        (errno.EROFS, "is on a read-only file system"),
        (errno.ENOSPC, "No space left on device"),
        (errno.EDQUOT, "uota exceeded"),
    ],
)
@pytest.mark.parametrize("where", ["folder", "file"])
def test_a_folder_that_cannot_be_written_is_told_with_the_reason(tmp_path, monkeypatch, number, why, where):
    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    if where == "folder":
        monkeypatch.setattr(Path, "mkdir", refuse)
    else:
        monkeypatch.setattr(event_file, "FileIO", refuse)
    sink = TensorBoard(tmp_path)
    with pytest.raises(SinkError, match=why) as told:
        sink.open(first_step=0)
    assert f"log_dir={str(tmp_path)!r}" in str(told.value)
    monkeypatch.undo()
    sink.open(first_step=0)  # nothing was left behind that would make it a second run
    assert sink.location == str(tmp_path / "layerviz")
    sink.close()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux' /proc")
def test_a_folder_of_the_system_that_takes_no_files_is_told():
    with pytest.raises(SinkError, match=r"log_dir='/proc/logs' cannot be written"):
        TensorBoard("/proc/logs").open(first_step=0)


def test_writing_after_the_folder_was_deleted_raises(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    sink.write([picture("f/01_a")], 0)
    shutil.rmtree(sink.location)
    with pytest.raises(SinkError, match="is gone"):
        sink.flush()
    with pytest.raises(SinkError, match="is gone"):
        sink.write([picture("f/01_a")], 1)
    with pytest.raises(SinkError, match="is gone"):
        sink.write_text("a", "b", 1)
    sink.close()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain/01_conv", "plain/01_conv"),
        ("f/con\nv\t\x00\x7f", r"f/con\nv\t\x00\x7f"),
        ("f/Faltung_Größe_畳み込み", "f/Faltung_Größe_畳み込み"),
        ("f/right\u202eleft", r"f/right\u202eleft"),
        ("f/\udc80", r"f/\udc80"),
    ],
)
def test_layer_names_become_printable_tags(tmp_path, name, expected):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    sink.write([picture(name)], 0)
    sink.close()
    assert list(pngs(Path(sink.location))) == [expected]


def test_names_of_500_characters_are_shortened_and_stay_apart(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    sink.write([picture("f/" + "x" * 500 + end) for end in "ab"], 0)
    sink.close()
    first, second = pngs(Path(sink.location))
    assert first != second
    assert len(first) == len(second) == 200
    assert first.startswith("f/xxx")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (3, "of type int is not a folder"),
        (b"logs", "of type bytes is not a folder"),
        ("gs://bucket/logs", "address of the network"),
        ("a\0b", "NUL"),
    ],
)
def test_a_log_dir_that_is_no_folder_is_refused_at_once(given, why):
    with pytest.raises(ArgumentError, match=why) as told:
        TensorBoard(given)
    assert f"log_dir={given!r}" in str(told.value)
    assert 'log_dir="logs"' in str(told.value)
