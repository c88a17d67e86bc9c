"""A picture's PNG: every reader decodes exactly its pixels, with and without Intel's library."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, png
from layerviz_callbacks.sinks import Folder, TensorBoard

RANDOM = np.random.default_rng(0)
SHEET = np.repeat(np.repeat(RANDOM.integers(0, 256, (9, 14)).astype(np.uint8), 5, axis=0), 3, axis=1)
PICTURES = {
    "palette": Picture("a", SHEET, palette.diverging()),
    "RGB": Picture("a", RANDOM.integers(0, 256, (17, 23, 3)).astype(np.uint8)),
    "one pixel": Picture("a", np.array([[7]], np.uint8), palette.sequential()),
    "one column": Picture("a", np.arange(200, dtype=np.uint8)[:, None], palette.sequential()),
    "not contiguous": Picture("a", SHEET.T[::2, 1::3], palette.sequential()),
    "short palette": Picture("a", SHEET % 3, palette.sequential()[:3]),
    "RGB, not contiguous": Picture(
        "a", RANDOM.integers(0, 256, (3, 9, 8)).astype(np.uint8).transpose(1, 2, 0)
    ),
}


@pytest.fixture(params=["isal", "zlib"])
def deflate(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setattr(png, "deflater", lambda: png.deflate)
    else:
        pytest.importorskip("isal")
        assert png.deflater() is not png.deflate
    return request.param


def encoded(picture):
    """A fresh PNG: the pictures above are shared by the tests, and keep theirs."""
    return Picture(picture.tag, picture.pixels, picture.palette).png()


def chunks_of(data):
    """(name, data) of each chunk, its checksum compared."""
    place = 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        name, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length) == (zlib.crc32(name + content),)
        yield name, content
        place += length + 12


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES.keys())
def test_pillow_decodes_the_same_pixels(picture, deflate):
    image = Image.open(io.BytesIO(encoded(picture)))
    image.load()
    assert image.mode == ("RGB" if picture.palette is None else "P")
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), picture.rgb())
    if picture.palette is not None:
        np.testing.assert_array_equal(np.asarray(image), picture.pixels)  # the indices themselves


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES.keys())
def test_tensorflow_decodes_the_same_pixels(picture, deflate):
    tensorflow = pytest.importorskip("tensorflow")  # libpng, as browsers have it
    decoded = tensorflow.io.decode_png(encoded(picture), channels=3).numpy()
    np.testing.assert_array_equal(decoded, picture.rgb())


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES.keys())
def test_matplotlib_decodes_the_same_pixels(picture, deflate):
    image = pytest.importorskip("matplotlib.image")
    decoded = image.imread(io.BytesIO(encoded(picture)), format="png")
    np.testing.assert_array_equal(np.rint(decoded[..., :3] * 255).astype(np.uint8), picture.rgb())


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES.keys())
def test_the_file_is_what_the_specification_says(picture, deflate):
    data = encoded(picture)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks = dict(chunks_of(data))
    expected = ["IHDR", "PLTE", "IDAT", "IEND"] if picture.palette is not None else ["IHDR", "IDAT", "IEND"]
    assert [name.decode() for name in chunks] == expected
    kind = 2 if picture.palette is None else 3
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (*picture.size, 8, kind, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(picture.size[1], -1)
    assert set(rows[:, 0]) == {2}  # every row is the difference from the one above
    undone = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8)
    np.testing.assert_array_equal(undone.reshape(picture.pixels.shape), picture.pixels)


@pytest.mark.parametrize("mode", ["grey", "opacity", "16 bits"])
def test_pictures_of_other_kinds_are_encoded_by_pillow(mode):
    pixels = {
        "grey": SHEET,
        "opacity": RANDOM.integers(0, 256, (5, 6, 4)).astype(np.uint8),
        "16 bits": np.arange(0, 60000, 1000, dtype=np.uint16).reshape(6, 10),
    }[mode]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(Picture("a", pixels).png()))), pixels)


def test_a_palette_sheet_is_smaller_than_the_same_in_colours(deflate):
    sheet = PICTURES["palette"]
    assert len(encoded(sheet)) - 3 * 256 < len(encoded(Picture("a", sheet.rgb())))


def test_a_picture_is_encoded_once_however_many_sinks_write_it(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "layerviz_callbacks.picture.encode_png", lambda *given: calls.append(1) or png.encode_png(*given)
    )
    picture = Picture("a/b", SHEET, palette.diverging())
    for sink in (TensorBoard(tmp_path), Folder(tmp_path / "one"), Folder(tmp_path / "two")):
        sink.open(first_step=0)
        sink.write([picture], 0)
        sink.close()
    assert calls == [1]
    files = list(tmp_path.glob("*/a/b/*.png"))
    assert len(files) == 2 and {file.read_bytes() for file in files} == {picture.png()}


def test_a_saved_picture_and_that_of_a_notebook_are_the_png(tmp_path):
    picture = PICTURES["RGB"]
    picture.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == picture.png() == picture._repr_png_()


def test_tensorboard_and_tensorflow_read_the_pixels_back_from_an_event_file(tmp_path, deflate):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    picture = Picture("filters/01_conv", SHEET, palette.diverging())
    sink = TensorBoard(tmp_path)
    sink.open(first_step=0)
    sink.write([picture], 5)
    sink.close()
    (path,) = tmp_path.glob("layerviz/events.*")
    (event,) = [event for event in EventFileLoader(str(path)).Load() if event.summary.value]
    width, height, data = event.summary.value[0].tensor.string_val
    assert (int(width), int(height)) == picture.size
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), SHEET)
    tensorflow = pytest.importorskip("tensorflow")
    records = [record.numpy() for record in tensorflow.data.TFRecordDataset(str(path))]  # compares checksums
    assert sum(data in record for record in records) == 1
