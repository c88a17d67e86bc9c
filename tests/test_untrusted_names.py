"""Names of layers and samples come from anywhere: they never lead out of the folder, nor into the page."""

import html
import re
from string import punctuation as PUNCTUATION

import numpy as np
import pytest
from tensorboard import plugin_util
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from layerviz_callbacks import Probe
from layerviz_callbacks.sinks import Folder, TensorBoard
from layerviz_callbacks.torch import attach
from layerviz_callbacks.views.words import escape_markdown

NAMES = [
    "../../../up", "..", "a/b", "two\nlines", "tab\there", "é漢字🙂", "nul\0byte", "C:\\windows", "con",
    "x" * 500, "<img src=x onerror=alert(1)>", "[link](javascript:alert(1))", "**bold** `code` | cell",
    "&lt;", "%s {0}", " ",
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outer") / "a" / "b" / "c"
    network = nn.Sequential()
    for name in NAMES:
        network.add_module(
            name.replace(".", "\u2024") if name != "../../../up" else "/up", nn.Conv1d(1, 1, 3, padding=1)
        )
    probe = Probe(np.ones((len(NAMES), 1, 8), np.float32), names=NAMES)
    sinks = [TensorBoard(folder / "logs"), Folder(folder / "pictures")]
    with attach(network, probe, log_dir=sinks, on_error="raise") as record:
        record(1)
    return folder


def test_every_file_lies_inside_the_folder(written):
    outer = written.parents[2]
    files = [path for path in outer.rglob("*") if path.is_file()]
    assert files
    assert all(path.is_relative_to(written) for path in files)
    pngs = [path for path in files if path.suffix == ".png"]
    assert len({str(path).casefold() for path in pngs}) == len(pngs)
    folders = {path.parent for path in pngs if path.is_relative_to(written / "pictures" / "filters")}
    assert len(folders) == len(NAMES)


def test_tensorboard_shows_every_tag_and_no_markup_of_a_name(written):
    events = EventAccumulator(str(written / "logs" / "layerviz"), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    assert len([tag for tag in tags if tag.startswith("filters/")]) == len(NAMES)
    assert all(tag.isprintable() and len(tag) <= 200 for tag in tags)
    pictured = [tag for tag in tags if "pictured" in tag]
    assert pictured
    for tag in set(tags) - set(pictured):
        shown = plugin_util.markdown_to_safe_html(events.SummaryMetadata(tag).summary_description)
        assert "<img" not in shown and "<a " not in shown and "<code>" not in shown
    for tag in pictured:
        for event in events.Tensors(tag):
            text = plugin_util.markdown_to_safe_html(event.tensor_proto.string_val[0].decode())
            assert "<table>" in text
            assert not any(markup in text for markup in ("<img", "<a ", "<code>", "<strong>bold"))


def test_tensorboard_shows_escaped_words_letter_by_letter():
    for word in [
        "3 not: pool",
        "~~a~~ and ~",
        *(f"a{letter}b {letter}c{letter} d" for letter in PUNCTUATION),
    ]:
        shown = plugin_util.markdown_to_safe_html(escape_markdown(word))
        assert html.unescape(re.sub(r"^<p>|</p>$", "", shown)) == word
