"""The Folder sink: the tree that it writes."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from layerviz_callbacks.errors import ArgumentError, SinkError
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.safe_names import file_name
from layerviz_callbacks.sinks import Folder


def picture(tag: str, value: int = 0) -> Picture:
    return Picture(tag, np.full((2, 3, 3), value, np.uint8))


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def write_run(path: Path, first_step: int, steps: list[int], value: int = 0) -> Folder:
    sink = Folder(path)
    sink.open(first_step=first_step)
    for step in steps:
        sink.write([picture("filters/03_conv2", value)], step)
    sink.close()
    return sink


def test_pictures_stand_in_a_readable_tree(tmp_path):
    sink = Folder(tmp_path / "pictures")
    sink.open(first_step=0)
    for step in (0, 12, 123_456):
        sink.write([picture("filters/03_conv2", 7), picture("feature maps/03_conv2")], step)
    sink.write_text("layers pictured", "**31** of 34", 0)
    sink.flush()
    sink.close()
    assert tree(tmp_path) == [
        "pictures/feature maps/03_conv2/step_0000.png",
        "pictures/feature maps/03_conv2/step_0012.png",
        "pictures/feature maps/03_conv2/step_123456.png",
        "pictures/filters/03_conv2/step_0000.png",
        "pictures/filters/03_conv2/step_0012.png",
        "pictures/filters/03_conv2/step_123456.png",
        "pictures/layers pictured/step_0000.md",
    ]
    place = tmp_path / "pictures"
    assert (place / "layers pictured" / "step_0000.md").read_text() == "**31** of 34"
    with Image.open(place / "filters" / "03_conv2" / "step_0012.png") as image:
        assert (np.asarray(image) == 7).all()
        assert image.size == (3, 2)
    assert sink.location == str(place)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("f/01_backbone/block1_conv1", "f/01_backbone.block1_conv1"),
        ("f/..", "f/_"),
        ("../../etc/passwd", "_/_etc.passwd"),
        ("f/.hidden", "f/_hidden"),
        ("/absolute", "_/absolute"),
        ('f/a\\b:c*d?"<>|', "f/a_b_c_d_____"),
        ("f/con\nv", "f/con_nv"),
        ("f/Größe_畳み込み", "f/Größe_畳み込み"),
        ("f/nul", "f/_nul"),
        ("f/ends. ", "f/ends"),
        ("", "_"),
    ],
)
def test_any_tag_becomes_a_safe_path_below_the_folder(tmp_path, tag, expected):
    sink = Folder(tmp_path / "pictures")
    sink.open(first_step=0)
    sink.write([picture(tag)], 0)
    sink.close()
    assert tree(tmp_path) == [f"pictures/{expected}/step_0000.png"]


def test_long_names_are_bounded_in_bytes_and_stay_apart(tmp_path):
    sink = Folder(tmp_path / "pictures")
    sink.open(first_step=0)
    sink.write([picture("f/" + "畳" * 500 + end) for end in "ab"], 0)
    sink.close()
    first, second = (tmp_path / "pictures" / "f").iterdir()
    assert first.name != second.name
    assert max(len(os.fsencode(first.name)), len(os.fsencode(second.name))) <= 120


def test_two_tags_never_share_a_file(tmp_path):
    sink = Folder(tmp_path)
    sink.open(first_step=0)
    tags = ["f/a/b", "f/a.b", "f/a:b", "f/a_b"]
    for step in (0, 1):
        sink.write([picture(tag, value) for value, tag in enumerate(tags)], step)
    sink.close()
    assert len(tree(tmp_path)) == 2 * len(tags)
    values = set()
    for path in tmp_path.rglob("step_0001.png"):
        with Image.open(path) as image:
            values.add(int(np.asarray(image)[0, 0, 0]))
    assert values == {0, 1, 2, 3}


def test_a_new_run_takes_the_next_folder_and_leaves_the_earlier_one_as_it_is(tmp_path):
    first = write_run(tmp_path / "p", 0, [0, 1], value=1)
    before = {path: path.read_bytes() for path in Path(first.location).rglob("*.png")}
    second = write_run(tmp_path / "p", 0, [0], value=2)
    third = write_run(tmp_path / "p", 0, [0], value=3)
    assert [Path(sink.location).name for sink in (first, second, third)] == ["p", "p-2", "p-3"]
    assert {path: path.read_bytes() for path in Path(first.location).rglob("*.png")} == before
    assert tree(tmp_path / "p-2") == ["filters/03_conv2/step_0000.png"]


def test_a_resumed_run_goes_on_in_the_newest_folder(tmp_path):
    write_run(tmp_path / "p", 0, [0, 1])
    write_run(tmp_path / "p", 0, [0, 1])
    resumed = write_run(tmp_path / "p", 2, [2])
    assert resumed.location == str(tmp_path / "p-2")
    assert tree(tmp_path / "p-2") == [f"filters/03_conv2/step_000{step}.png" for step in (0, 1, 2)]
    assert tree(tmp_path / "p") == [f"filters/03_conv2/step_000{step}.png" for step in (0, 1)]


def test_a_folder_with_other_files_is_used_and_they_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "loss.png").write_bytes(b"mine too")
    assert write_run(tmp_path, 0, [0]).location == str(tmp_path)
    assert tree(tmp_path) == ["filters/03_conv2/step_0000.png", "notes.txt", "plots/loss.png"]


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SinkError, match="is not a folder") as told:
        Folder(tmp_path / "notes.txt" / "pictures").open(first_step=0)
    assert f"Folder({str(tmp_path / 'notes.txt' / 'pictures')!r}) cannot be written" in str(told.value)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EACCES, "not permitted to write in"),
        (errno.EROFS, "read-only"),
        (errno.ENOSPC, "No space left"),
    ],
)
def test_a_folder_that_takes_no_files_is_told_at_open(tmp_path, monkeypatch, number, why):
    def refuse(path, content):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(SinkError, match=why):
        Folder(tmp_path).open(first_step=0)


def test_a_full_disk_leaves_no_half_picture(tmp_path, monkeypatch):
    sink = Folder(tmp_path)
    sink.open(first_step=0)
    sink.write([picture("f/a", 1)], 0)
    whole = (tmp_path / "f" / "a" / "step_0000.png").read_bytes()
    write_bytes = Path.write_bytes

    def write_half(path, content):
        write_bytes(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(SinkError, match="No space left"):
        sink.write([picture("f/a", 2)], 0)
    assert (tmp_path / "f" / "a" / "step_0000.png").read_bytes() == whole


def test_writing_after_the_folder_was_deleted_raises_and_does_not_make_it_again(tmp_path):
    sink = Folder(tmp_path / "p")
    sink.open(first_step=0)
    shutil.rmtree(tmp_path / "p")
    with pytest.raises(SinkError, match="is gone"):
        sink.write([picture("f/a")], 0)
    with pytest.raises(SinkError, match="is gone"):
        sink.flush()
    assert not (tmp_path / "p").exists()
    sink.close()
    sink.close()


def test_writing_to_a_folder_that_is_not_open_says_what_to_call(tmp_path):
    with pytest.raises(SinkError, match=r"not open. Call open\(first_step=0\)"):
        Folder(tmp_path).write([picture("a")], 0)


def test_an_empty_path_is_refused():
    with pytest.raises(ArgumentError, match=r"path='' is empty.*Folder\(\"pictures\"\)"):
        Folder("")


def test_file_names_are_the_same_each_time():
    assert file_name("x" * 500) == file_name("x" * 500)
    assert file_name("03_conv2") == "03_conv2"
