"""What `log_dir=` may be."""

from pathlib import Path

import pytest

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.sinks import Folder, TensorBoard, sink_of


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_a_tensorboard_in_that_folder(tmp_path, kind):
    (sink,) = sink_of(kind(tmp_path / "logs"))
    assert isinstance(sink, TensorBoard)
    assert sink.location == str(tmp_path / "logs" / "layerviz")


def test_a_sink_is_itself():
    folder = Folder("pictures")
    assert sink_of(folder) == [folder]


def test_a_list_of_paths_and_sinks_is_all_of_them(tmp_path):
    folder = Folder("pictures")
    first, second, third = sink_of([str(tmp_path), folder, tmp_path / "b"])
    assert isinstance(first, TensorBoard)
    assert second is folder
    assert isinstance(third, TensorBoard)


def test_the_home_folder_may_be_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert sink_of("~/logs")[0].location == str(tmp_path / "logs" / "layerviz")


@pytest.mark.parametrize(
    "given", [None, 3, b"logs", object, {"a": "logs"}, {"logs"}, "", [], ["logs", None], ["logs", ""], Folder]
)
def test_anything_else_is_refused_with_what_was_given_and_what_to_type(given):
    with pytest.raises(ArgumentError, match="log_dir=") as told:
        sink_of(given)
    assert 'log_dir="logs"' in str(told.value)
