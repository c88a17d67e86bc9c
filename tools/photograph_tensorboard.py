"""Photograph TensorBoard's pages of a log folder in headless Chromium.

    python tools/photograph_tensorboard.py demo/logs photographs/

Needs the `chromium` program (Debian package of that name).
"""

import argparse
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PAGES = {"images": "#images", "time_series": "#timeseries", "text": "#text"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def tensorboard(log_dir):
    """Run TensorBoard on a log folder; yields its address."""
    port = free_port()
    command = [
        sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir), "--port", str(port),
        "--host", "127.0.0.1", "--samples_per_plugin=images=100",
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(120):
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{address}data/plugin/images/tags") as reply,
            ):
                if len(reply.read()) > 10:
                    break
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def photograph(url, path, size=(1600, 1000)):
    """Save a photograph of a page, after it has had time to load its pictures."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                shutil.which("chromium") or "chromium", "--headless", "--no-sandbox", "--disable-gpu",
                "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}",
                "--virtual-time-budget=20000", f"--screenshot={path}", url,
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log_dir", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--height", type=int, default=1000)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tensorboard(given.log_dir) as address:
        for name, fragment in PAGES.items():
            path = given.out / f"{name}.png"
            photograph(f"{address}{fragment}", path.absolute(), (1600, given.height))
            print(path)


if __name__ == "__main__":
    main()
