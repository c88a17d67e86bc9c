"""A film is an animated PNG that a browser plays: each of its frames is seen."""

import io
import time

import numpy as np
import pytest
from browser import CHROMIUM, PATIENCE, Browser
from PIL import Image

from layerviz_callbacks.picture import Animation

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def test_a_browser_plays_each_frame_of_a_film(tmp_path):
    frames = [np.full((60, 80, 3), colour, np.uint8) for colour in COLOURS]
    film = Animation("1 film/01_conv", np.zeros_like(frames[0]), frames=frames, seconds=[0.3] * 3)
    film.save(tmp_path / "film.png")
    (tmp_path / "page.html").write_text('<body style="margin: 0"><img src="film.png">')
    browser = Browser(tmp_path / "profile")
    try:
        page = browser.page()
        page.open((tmp_path / "page.html").as_uri())
        seen, until = set(), time.monotonic() + PATIENCE
        while not seen >= set(COLOURS) and time.monotonic() < until:
            page.photograph(tmp_path / "seen.png")
            shown = Image.open(io.BytesIO((tmp_path / "seen.png").read_bytes())).convert("RGB")
            seen.add(shown.getpixel((40, 30)))
    finally:
        browser.close()
    assert seen >= set(COLOURS)
    assert (0, 0, 0) not in seen, "the still is for those who play none"
