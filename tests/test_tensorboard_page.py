"""A running TensorBoard, asked over HTTP on this machine alone: it shows what was written, and what comes."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest

from layerviz_callbacks.picture import Animation, Picture
from layerviz_callbacks.sinks import TensorBoard

PATIENCE = 120  # seconds, for a machine that is busy; usually it takes 5 to 10


def picture(seed: int) -> Picture:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Picture("filters/01_conv", pixels, caption="conv, 8 filters", description="**8** filters of 3 x 3")


def film() -> Animation:
    frames = [np.full((40, 60, 3), value, np.uint8) for value in (0, 120, 240)]
    return Animation("1 film/01_conv", frames[-1], frames=frames, seconds=[0.2, 0.2, 0.2])


def wait_for(ask, what: str):
    """What `ask` returns as soon as it is true; refused connections count as not yet."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            answer = ask()
        except urllib.error.URLError:
            answer = None
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"TensorBoard did not show {what} within {PATIENCE} s")


class Page:
    """The HTTP interface of a running TensorBoard."""

    def __init__(self, url: str):
        self.url = url

    def get(self, path: str, **query: object) -> bytes:
        address = f"{self.url}/data/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.read()

    def tags(self) -> dict:
        return json.loads(self.get("plugin/images/tags"))

    def animation(self) -> tuple[str, bytes]:
        """As what kind of file the film is served, and the file."""
        listed = json.loads(self.get("plugin/images/images", tag=film().tag, run="layerviz", sample=0))
        address = f"{self.url}/data/plugin/images/individualImage?{listed[0]['query']}"
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.headers["Content-Type"], answer.read()

    def pictures(self) -> dict[int, bytes]:
        """Step -> PNG of the picture's tag; empty while TensorBoard does not know it."""
        if "filters/01_conv" not in self.tags().get("layerviz", {}):
            return {}
        listed = json.loads(self.get("plugin/images/images", tag="filters/01_conv", run="layerviz", sample=0))
        return {
            entry["step"]: self.get(f"plugin/images/individualImage?{entry['query']}") for entry in listed
        }


@pytest.fixture(params=["auto", "false"])
def page(request, tmp_path):
    """A TensorBoard on `tmp_path / "logs"`, with its default reader and with the Python reader."""
    output = tmp_path / "tensorboard.txt"
    (tmp_path / "logs").mkdir()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path / "logs"),
                "--host", "127.0.0.1", "--port", "0", "--reload_interval", "1",
                f"--load_fast={request.param}",
            ],
            stdout=stream,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def address():
        assert process.poll() is None, output.read_text()
        return re.search(r"http://127\.0\.0\.1:\d+", output.read_text())

    try:
        found = wait_for(address, "its address")
        yield Page(found[0])
    finally:
        process.kill()
        process.wait()


def test_a_running_tensorboard_shows_the_written_pictures_and_then_a_new_step(page, tmp_path):
    wait_for(lambda: page.get("plugins_listing"), "its plugins")
    sink = TensorBoard(tmp_path / "logs")
    sink.open(first_step=0)
    sink.write([picture(0), film()], 0)
    sink.write_text("layers pictured", "31 of 34", 0)
    sink.flush()
    shown = wait_for(page.pictures, "the first picture")
    assert shown == {0: picture(0).png()}
    assert page.tags()["layerviz"]["filters/01_conv"] == {
        "displayName": "",
        "description": "<p><strong>8</strong> filters of 3 x 3</p>\n"
        "<p><em>(This text is of step 0.)</em></p>",
        "samples": 1,
    }
    assert page.animation() == ("image/png", film().png())
    assert json.loads(page.get("plugin/text/tags")) == {"layerviz": ["layers pictured"]}

    sink.write([picture(1)], 1)  # the sink stays open, as while training goes on
    sink.flush()
    shown = wait_for(lambda: len(pictures := page.pictures()) == 2 and pictures, "the second picture")
    assert shown == {0: picture(0).png(), 1: picture(1).png()}
    sink.close()


def test_a_running_tensorboard_shows_the_steps_that_a_resumed_run_repeats(page, tmp_path):
    for first_step, steps in ((0, {0: 0, 1: 1, 2: 2}), (1, {2: 102, 3: 103})):
        sink = TensorBoard(tmp_path / "logs")
        sink.open(first_step=first_step)
        for step, seed in steps.items():
            sink.write([picture(seed)], step)
        sink.close()
    shown = wait_for(lambda: 3 in (pictures := page.pictures()) and pictures, "the last picture")
    assert shown == {step: picture(seed).png() for step, seed in {0: 0, 1: 1, 2: 102, 3: 103}.items()}
