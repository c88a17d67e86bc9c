import re
import shlex
import subprocess
import sys

import pytest
from PIL import Image

from layerviz_callbacks import cli
from layerviz_callbacks.cli import main
from layerviz_callbacks.commands import terminal


def helps(capsys, *typed):
    with pytest.raises(SystemExit) as ended:
        main([*typed, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def examples(text):
    """The lines that can be typed, out of a help; what comes behind two spaces is an explanation."""
    lines = text.partition("examples:")[2].splitlines()
    typed = [re.split(r"\s{2,}", line.strip())[0] for line in lines if line.strip().startswith("layerviz ")]
    return [shlex.split(line)[1:] for line in typed]


def test_help_has_an_example(capsys):
    assert "python -m layerviz_callbacks demo --framework keras" in helps(capsys, "demo")


def test_every_command_has_examples_and_every_example_can_be_typed(capsys):
    names = re.findall(r"^    (\w+) ", helps(capsys), re.MULTILINE)
    assert {"show", "inspect", "replay", "demo"} <= set(names)
    parser = cli.parser()
    for name in ["", *names]:
        typed = examples(helps(capsys, *[name] if name else []))
        assert typed, f"layerviz {name} --help has no examples"
        for arguments in typed:
            given = parser.parse_args(cli.joined(arguments))
            assert given.command == arguments[0]
            assert name in ("", given.command)
            assert callable(given.run)


def test_what_is_behind_an_unknown_word_is_guessed(capsys):
    assert main(["shwo", "run.h5"]) == 2
    assert "'shwo' is not a command. Allowed: show," in (told := capsys.readouterr().err)
    assert told.endswith("Did you mean 'show'?\n")
    assert main(["show", "run.h5", "--vieew", "film"]) == 2
    assert "Did you mean '--view'?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["show", "run.h5", "--view", "filtres"])
    assert ended.value.code == 2
    assert "Did you mean 'filters'?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["show", "run.h5", "--view", "f"])
    assert "Allowed: feature-maps, film-strip, filters." in capsys.readouterr().err


def test_without_a_command_the_whole_help_is_shown(capsys):
    assert main([]) == 2
    told = capsys.readouterr().err
    for command in cli.COMMANDS:
        assert f"layerviz {command} " in told  # an example of each


def test_an_error_is_one_line_and_verbose_tells_where_it_came_from(tmp_path, capsys, caplog):
    gone = str(tmp_path / "gone.h5")
    assert main(["show", gone]) == 2
    told = capsys.readouterr().err
    assert told.startswith("layerviz: ")
    assert told.count("\n") == 1
    assert caplog.records == []
    assert main(["show", gone, "--verbose"]) == 2
    assert "SnapshotFileError" in caplog.text


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"\d+\.\d+.*\n", capsys.readouterr().out)


def test_help_loads_no_framework_and_no_tensorboard():
    program = (
        "import sys\nfrom layerviz_callbacks.cli import main\n"
        "try:\n    main(['replay', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    text, _, loaded = result.stdout.partition("LOADED ")
    assert "--probe FILES" in text
    heavy = {"tensorflow", "keras", "torch", "jax", "lightning", "tensorboard", "h5py", "matplotlib", "tqdm"}
    assert set(loaded.split()) & heavy == set()
    assert "layerviz_callbacks" in loaded.split()


def test_no_epochs_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--epochs", "0"])
    assert ended.value.code == 2
    assert "give 1 or more" in capsys.readouterr().err


class Terminal:
    """Standard error as a person sees it."""

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_progress_is_shown_on_a_terminal_only(monkeypatch, capsys):
    assert list(terminal.with_progress("drawing")(["a", "b"])) == ["a", "b"]
    assert capsys.readouterr() == ("", "")
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(terminal, "find_spec", lambda name: None)  # without tqdm
    assert list(terminal.with_progress("drawing")(["a", "b\x1b[2J"])) == ["a", "b\x1b[2J"]
    assert shown.text == "drawing: 0 of 2 a\ndrawing: 1 of 2 b?[2J\n"


def test_tqdm_draws_the_progress_where_it_is_installed(monkeypatch):
    pytest.importorskip("tqdm")
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with terminal.Progress("drawing") as progress:
        progress(1, 4)
        progress(4, 4)
    assert "drawing" in shown.text
    assert "/4 [" in shown.text


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
    for family in ("filters", "feature maps"):
        pictures = (tmp_path / "a demo" / "pictures").glob(f"**/{family}/*_conv1/*.png")
        steps = [f"step_{step:04d}.png" for step in range(9)]  # before training and after each of 8 epochs
        assert sorted(path.name for path in pictures) == steps
    assert list((tmp_path / "a demo" / "logs" / framework / "layerviz").glob("events.out.tfevents.*"))
    assert Image.open(tmp_path / "a demo" / "contact_sheet.png").size[0] > 700
