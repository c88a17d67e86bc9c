"""Make the pictures of the README anew: run the demo, photograph TensorBoard, copy two sheets.

    python tools/make_readme_images.py

Needs the `chromium` program (Debian package of that name).
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from photograph_tensorboard import photograph, tensorboard

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SHEETS = {
    "filters.png": "keras/filters/01_conv1/step_0008.png",
    "feature_maps.png": "keras/feature maps/02_conv2/step_0008.png",
    "grad_cam.png": "keras/grad-cam/02_conv2/step_0008.png",
}


def main():
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo"
        subprocess.run([sys.executable, "-m", "layerviz_callbacks", "demo", "--out", str(demo)], check=True)
        for name, sheet in SHEETS.items():
            shutil.copy(demo / "pictures" / sheet, IMAGES / name)
        with tensorboard(demo / "logs" / "keras") as address:
            photograph(f"{address}#images", IMAGES / "tensorboard.png")
    for path in sorted(IMAGES.glob("*.png")):
        print(path)


if __name__ == "__main__":
    main()
