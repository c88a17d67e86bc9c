"""Make the pictures of the README anew: run the demo and trainings, copy sheets, photograph pages.

    python tools/make_readme_images.py                      # all of them
    python tools/make_readme_images.py film report health   # these

Needs Keras with a backend, and the `chromium` program (Debian package of that name).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("tools", "examples", "tests")]

from photograph_tensorboard import photograph, tensorboard  # noqa: E402

from layerviz_callbacks import SnapshotFile, views, write_report  # noqa: E402
from layerviz_callbacks.report.films import films_of  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SHEETS = {
    "filters.png": "keras/filters/01_conv1/step_0008.png",
    "feature_maps.png": "keras/feature maps/02_conv2/step_0008.png",
    "grad_cam.png": "keras/grad-cam/02_conv2/step_0008.png",
}
EPOCHS = 30


def make_demo(folder):
    """Three sheets of the demo, and TensorBoard's page of it."""
    demo = folder / "demo"
    subprocess.run([sys.executable, "-m", "layerviz_callbacks", "demo", "--out", str(demo)], check=True)
    for name, sheet in SHEETS.items():
        shutil.copy(demo / "pictures" / sheet, IMAGES / name)
    with tensorboard(demo / "logs" / "keras") as address:
        photograph(f"{address}#images", IMAGES / "tensorboard.png")


def learned(folder):
    """The file of snapshots of a convnet that learned digits in Keras."""
    from watch_it_learn import load_digits, train_keras

    path = folder / "digits.h5"
    if not path.exists():
        train_keras(load_digits(), EPOCHS, folder / "logs", path)
    return path


def make_film(folder):
    """The film strip of its first layer, at the last epoch."""
    with SnapshotFile(learned(folder)) as file:
        steps = file.steps
        strip = views.FilmStrip(layers="conv1")
        for film in films_of(strip, lambda: [file[step] for step in steps], raise_again):
            film.pictures[steps[-1]].save(IMAGES / "film.png")


def raise_again(what, error):
    raise RuntimeError(f"{what} cannot be drawn") from error


def make_report(folder):
    """The page of the same training, as it opens."""
    from browser import Browser

    page = write_report(learned(folder), folder / "report.html", title="Digits in Keras", overwrite=True)
    (folder / "profile").mkdir()
    browser = Browser(folder / "profile")
    try:
        shown = browser.page()
        shown.resize(1200, 750)
        shown.open(page.as_uri())
        shown.wait("document.querySelector('figure[data-painted]')")
        time.sleep(1)
        shown.photograph(IMAGES / "report.png")
    finally:
        browser.close()


def make_health(folder):
    """The health sheet of a convnet that learns with a rate that is far too high."""
    import keras
    from watch_it_learn import keras_network, load_digits, probe_of

    from layerviz_callbacks.keras import LayerVizCallback
    from layerviz_callbacks.sinks import Folder

    digits = load_digits()
    keras.utils.set_random_seed(0)
    model = keras_network(digits)
    model.compile(keras.optimizers.SGD(0.2, momentum=0.9), "sparse_categorical_crossentropy")
    pictures = LayerVizCallback(
        probe_of(digits, channels_first=False), log_dir=Folder(folder / "sick"), views=[views.Health()]
    )
    model.fit(
        digits.train_images[..., None], digits.train_labels, batch_size=32, epochs=8, verbose=0,
        callbacks=[pictures],
    )  # fmt: skip
    if not pictures.report():
        raise RuntimeError("no verdict: choose another learning rate")
    sheets = sorted((folder / "sick").rglob("health/look here first/*.png"))
    shutil.copy(sheets[-1], IMAGES / "health.png")


def main():
    """Make what is asked for."""
    made = {"demo": make_demo, "film": make_film, "report": make_report, "health": make_health}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("which", nargs="*", metavar="|".join(made), help="default: all")
    which = parser.parse_args().which or [*made]
    if unknown := {*which} - {*made}:
        parser.error(f"{', '.join(sorted(unknown))}: allowed are {', '.join(made)}")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name in which:
            made[name](Path(folder))
    for path in sorted(IMAGES.glob("*.png")):
        print(path)


if __name__ == "__main__":
    main()
