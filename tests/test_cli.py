import subprocess
import sys

import pytest
from PIL import Image

from layerviz_callbacks.cli import main


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--help"])
    assert ended.value.code == 0
    assert "python -m layerviz_callbacks demo --framework keras" in capsys.readouterr().out


def test_no_epochs_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--epochs", "0"])
    assert ended.value.code == 2
    assert "give 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("framework", ["keras", "lightning"])
def test_the_demo_learns_the_digits_and_says_where_the_pictures_are(framework, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip(framework)
    result = subprocess.run(
        [sys.executable, "-m", "layerviz_callbacks", "demo", "--framework", framework,
         "--out", str(tmp_path / "a demo")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr  # 0: at least 95 % of held-out digits right
    assert "4 of " in result.stderr
    assert "layers pictured" in result.stderr
    assert f"tensorboard --logdir '{tmp_path}/a demo/logs'" in result.stdout
    steps = [path.name for path in sorted((tmp_path / "a demo" / "pictures").glob("**/*_conv1/*.png"))]
    assert len(steps) == 2 * 9  # filters and feature maps; before training and after each of 8 epochs
    assert list((tmp_path / "a demo" / "logs" / framework / "layerviz").glob("events.out.tfevents.*"))
    assert Image.open(tmp_path / "a demo" / "contact_sheet.png").size[0] > 700
