import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments):
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def run_quickly(name, folder, *arguments):
    """What the example printed, and the names of the pictured layers in the folder of PNG files."""
    logs, pictures = folder / "logs", folder / "pictures"
    printed = run(name, "--quick", "--log-dir", logs, "--out", pictures, *arguments)
    assert f"tensorboard --logdir {logs}" in printed
    assert list((logs / "layerviz").glob("events.out.tfevents.*"))
    assert list(pictures.glob("probe/**/*.png"))
    return printed, {
        family: {path.parent.name.partition("_")[2] for path in pictures.glob(f"{family}/*/*.png")}
        for family in ("filters", "feature maps")
    }


def test_the_pytorch_loop_learns_and_is_pictured(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    printed = run("pytorch_loop.py", tmp_path)
    assert "epoch 5/5: 9" in printed  # 90 % or more of the held-out digits
    assert list((tmp_path / "layerviz").glob("events.out.tfevents.*"))


def test_a_trained_model_becomes_a_table_and_png_files(tmp_path):
    pytest.importorskip("keras")
    pytest.importorskip("sklearn")
    printed = run("inspect_a_trained_model.py", tmp_path)
    assert "conv1    Conv2D        (16, 1, 3, 3)" in printed
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "feature maps 01_conv1.png", "feature maps 02_pool.png", "feature maps 04_head.png",
        "filters 01_conv1.png", "filters 04_head.png",
    ]  # fmt: skip


def test_every_block_of_vgg16_is_pictured_on_photographs_of_ones_own(tmp_path):
    pytest.importorskip("tensorflow")
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "photographs").mkdir()
    for name, colour in [("red", (200, 30, 30)), ("blue", (30, 30, 200))]:
        picture = image.linear_gradient("L").convert("RGB")
        image.blend(picture, image.new("RGB", picture.size, colour), 0.5).save(
            tmp_path / "photographs" / f"{name}.png"
        )
    _, layers = run_quickly("vgg16_filters.py", tmp_path, "--images", tmp_path / "photographs")
    last = ["block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"]
    assert {f"vgg16.{name}" for name in last} <= layers["filters"]
    assert {f"vgg16.{name}" for name in [*last, *(f"block{block}_pool" for block in range(1, 6))]} <= layers[
        "feature maps"
    ]


def test_seismograms_are_pictured_with_events_and_noise_by_name(tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("obspy")
    printed, layers = run_quickly("seismic_waveforms.py", tmp_path)
    for name in ("event RJOB", "event MEMA", "noise MOLA", "noise f11"):
        assert f"{name}: highest answer" in printed
    assert {"conv1", "conv2", "conv3", "conv4", "conv5", "arrival"} <= layers["filters"]
    assert {"conv1", "conv5", "memory", "arrival"} <= layers["feature maps"]


def test_a_volume_is_pictured_in_three_dimensions(tmp_path):
    pytest.importorskip("lightning")
    pytest.importorskip("nilearn")
    printed, layers = run_quickly("volumes.py", tmp_path)
    assert "Dice overlap" in printed
    assert {"down1.0", "bottom.0", "up1.0", "grey"} <= layers["filters"]
    assert {"down1", "bottom", "up1", "probability"} <= layers["feature maps"]


def test_patterns_of_every_block_are_pictured_for_photographs_and_seismograms(tmp_path):
    for package in ("torch", "obspy", "sklearn", "matplotlib"):
        pytest.importorskip(package)
    logs, pictures = tmp_path / "logs", tmp_path / "pictures"
    printed = run("filter_patterns.py", "--quick", "--log-dir", logs, "--out", pictures)
    assert "Photographs: temple, flower, Grace Hopper" in printed
    for name, blocks in (("photographs", 4), ("seismograms", 3)):
        assert list((logs / name / "layerviz").glob("events.out.tfevents.*"))
        drawn = [path.parent.name.partition("_")[2] for path in pictures.glob(f"{name}/patterns/*/*1.png")]
        assert sorted(drawn) == [f"block{block}.relu2" for block in range(1, blocks + 1)]


def run_and_list(name, folder):
    """What the example printed, and by family the names of what is pictured in the folder of PNG files."""
    logs, pictures = folder / "logs", folder / "pictures"
    printed = run(name, "--quick", "--log-dir", logs, "--out", pictures)
    assert f"tensorboard --logdir {logs}" in printed
    drawn = {}
    for path in pictures.glob("*/*/*.png"):
        drawn.setdefault(path.parent.parent.name, set()).add(path.parent.name.partition("_")[2])
    return printed, drawn


def test_a_small_earthquake_transformer_shows_its_attention_for_events_and_noise(tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("obspy")
    printed, drawn = run_and_list("seismic_attention.py", tmp_path)
    for name in ("event RJOB 2009", "event UH3 16:27", "noise f11", "noise MOLA"):
        assert f"{name}: highest P" in printed
    assert drawn["attention"] == {"global_attention", "P_local_attention", "S_local_attention"}
    assert {path.name for path in (tmp_path / "pictures" / "predictions").iterdir()} == {
        "detection",
        "P",
        "S",
    }
    assert drawn["feature maps"] == {"conv1", "conv3", "memory"}
    assert [names for family, names in drawn.items() if family.startswith("grad-cam")] == [{"memory"}]


def test_every_block_that_segments_layered_sections_is_pictured(tmp_path):
    pytest.importorskip("lightning")
    printed, drawn = run_and_list("seismic_segmentation.py", tmp_path)
    assert "of the pixels of held-out sections are right" in printed
    blocks = {"conv1", "layer1", "layer2", "layer3", "layer4"}
    assert drawn["feature maps"] == drawn["feature maps in grey"] == blocks
    assert drawn["composite"] == {"layer1"}
    assert drawn["composite principal component"] == {"layer2", "layer3"}
    assert drawn["composite clusters"] == {"layer4"}
    assert [names for family, names in drawn.items() if "class 4" in family] == [{"layer1", "layer4"}]
    assert list((tmp_path / "pictures" / "predictions" / "output").glob("*.png"))


@pytest.mark.parametrize("arguments", [[], ["--direct"]], ids=["nn.MultiheadAttention", "direct"])
def test_a_vision_transformer_shows_where_its_class_token_looks(tmp_path, arguments):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    pictures = tmp_path / "pictures"
    run("vit_attention.py", "--quick", "--log-dir", tmp_path / "logs", "--out", pictures, *arguments)
    sheets = {path.name.partition("_")[2] or path.name for path in (pictures / "attention").iterdir()}
    assert sheets == {"blocks.0.attention", "blocks.1.attention", "blocks.2.attention", "rollout"}
    numbers = list((pictures / "numbers").glob("*/*.json"))
    assert any("attention entropy" in path.read_text() for path in numbers)
    assert list((pictures / "saliency smoothgrad").glob("*/*.png"))


def test_the_best_epoch_of_galaxies_is_that_of_the_model_checkpoint(tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("skimage")
    pytest.importorskip("h5py")
    printed = run("galaxies.py", "--quick", "--out", tmp_path, "--log-dir", tmp_path / "logs")
    assert "best epoch: " in printed
    for layer in ("conv1", "conv2", "conv3"):
        assert f"{layer} of ModelCheckpoint's best weights is that of the best step: True" in printed
    assert {path.stem for path in tmp_path.glob("best *.png")} >= {
        "best filters 02_conv1", "best feature maps 06_conv3", "best predictions output"
    }  # fmt: skip
    assert (tmp_path / "galaxies.html").read_text().startswith("<!doctype html>")
    assert list((tmp_path / "logs" / "layerviz").glob("events.out.tfevents.*"))


def test_digits_are_watched_in_both_frameworks(tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("lightning")
    pytest.importorskip("h5py")
    printed = run("watch_it_learn.py", "--epochs", 2, "--out", tmp_path, "--log-dir", tmp_path / "logs")
    for framework in ("keras", "lightning"):
        assert f"{framework}: epoch 2/2" in printed
        assert (tmp_path / f"report-{framework}.html").stat().st_size < 5e6
        assert list((tmp_path / "logs" / framework / "layerviz").glob("events.out.tfevents.*"))
