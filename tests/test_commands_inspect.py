"""`layerviz inspect`: a trained model and a probe out of files."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from layerviz_callbacks import ProbeError, Snapshot
from layerviz_callbacks.cli import main
from layerviz_callbacks.commands.image_files import ImageForm, images_in, read_images

torch = pytest.importorskip("torch")
pytest.importorskip("h5py")
from command_models import small_keras, small_net  # noqa: E402


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with three grey photos of 4 x 4 pixels: black, grey, white."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # `--model` adds the current folder
    Path("photos").mkdir()
    for place, value in enumerate((0, 51, 255), start=1):
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(f"photos/photo {place}.png")
    Path("photos/readme.txt").write_text("no image")
    return tmp_path


def pngs(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.png"))


def test_a_saved_keras_model_is_pictured_with_a_folder_of_photos(folder, capsys):
    pytest.importorskip("keras")
    model = small_keras()
    model.save("model.keras")
    typed = ["inspect", "model.keras", "--probe", "photos", "--out", "pictures", "--save", "model.h5"]
    assert main([*typed, "--view", "filters", "maps", "grad-cam"]) == 0
    assert pngs("pictures") == [
        "feature maps/01_conv1/step_0000.png", "feature maps/03_head/step_0000.png",
        "filters/01_conv1/step_0000.png", "filters/03_head/step_0000.png",
        "grad-cam/01_conv1/step_0000.png", "probe/input/step_0000.png",
    ]  # fmt: skip
    told = capsys.readouterr().out
    assert (
        "Probe: 3 images, resized to 8 x 8, grey, values scaled to 0..1, 1 other files are left alone."
        in told
    )
    assert "conv1    Conv2D   (3, 1, 3, 3)" in told
    read = Snapshot.load("model.h5")
    assert read.probe.names == ("photo 1", "photo 2", "photo 3")
    np.testing.assert_allclose(read.probe.arrays["input"][:, 0, 0, 0], [0, 0.2, 1], atol=1e-7)
    expected = model.get_layer("conv1")(read.probe.arrays["input"])
    np.testing.assert_allclose(read["conv1"].output, np.asarray(expected), atol=1e-6)
    np.testing.assert_array_equal(
        read["conv1"].kernel, np.asarray(model.get_layer("conv1").kernel).transpose(3, 2, 0, 1)
    )


def test_weights_of_pytorch_are_loaded_into_what_the_function_builds(folder):
    net = small_net()
    with torch.no_grad():
        net[0].weight.fill_(0.5)
    torch.save(net.state_dict(), "net.pt")
    probe = np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 1, 8, 8)
    np.savez("probe.npz", x=probe, names=np.array(["left", "right"]), targets=np.array([0, 1]))
    typed = ["inspect", "--model", "command_models:small_net", "--weights", "net.pt", "--probe", "probe.npz"]
    assert main([*typed, "--layer", "kind:convolution", "--log-dir", "logs", "--save", "net.h5"]) == 0
    read = Snapshot.load("net.h5")
    np.testing.assert_array_equal(read["0"].kernel, np.full((3, 1, 3, 3), 0.5))
    with torch.no_grad():
        expected = net[0](torch.from_numpy(probe)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(read["0"].output, expected, atol=1e-6)
    assert read["3"].output is None  # not chosen
    assert read.probe.names == ("left", "right")
    np.testing.assert_array_equal(read.probe.targets, [0, 1])
    assert list(Path("logs/layerviz").glob("events.out.tfevents.*"))
    assert not Path("pictures").exists()


def test_a_model_of_several_inputs_takes_arrays_by_their_names(folder):
    keras = pytest.importorskip("keras")
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    joined = keras.layers.Concatenate(name="joined")([left, right])
    keras.Model([left, right], keras.layers.Dense(1, name="sum")(joined)).save("two.keras")
    np.savez("two.npz", right=np.full((2, 2), 7.0), left=np.full((2, 3), 5.0))
    typed = ["inspect", "two.keras", "--probe", "two.npz", "--save", "two.h5", "--layer", "joined"]
    assert main([*typed, "--view", "maps"]) == 0
    np.testing.assert_array_equal(Snapshot.load("two.h5")["joined"].output, [[5, 5, 5, 7, 7]] * 2)


@pytest.mark.parametrize(
    ("scale", "values"),
    [("0..1", [0, 0.2, 1]), ("0..255", [0, 51, 255]), ("-1..1", [-1, -0.6, 1])],
)
def test_images_are_scaled_as_told(scale, values, folder):
    files, others = images_in(Path("photos"))
    batch = read_images(files, ImageForm(size=(4, 4), channels=3), scale)
    assert others == 1
    assert batch.inputs.dtype == np.float32
    np.testing.assert_allclose(batch.inputs[:, 2, 2], np.repeat(np.array(values)[:, None], 3, 1), atol=1e-6)
    np.testing.assert_array_equal(batch.display[:, 0, 0, 0], [0, 51, 255])
    assert batch.display.dtype == np.uint8


def test_imagenet_scaling_is_that_of_its_means_and_deviations(folder):
    batch = read_images([Path("photos/photo 3.png")], ImageForm(channels=3, channels_first=True), "imagenet")
    assert batch.inputs.shape == (1, 3, 4, 4)
    np.testing.assert_allclose(
        batch.inputs[0, :, 0, 0], [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], rtol=1e-6
    )
    with pytest.raises(ProbeError, match="imagenet is of RGB"):
        read_images([Path("photos/photo 3.png")], ImageForm(channels=1), "imagenet")


def test_sixteen_bits_are_not_clipped_and_photos_are_turned_as_the_camera_was_held(folder):
    Image.fromarray(np.array([[0, 32768], [65535, 257]], np.uint16)).save("deep.png")
    deep = read_images([Path("deep.png")], ImageForm(), "0..255")
    np.testing.assert_array_equal(deep.inputs[0, ..., 0], [[0, 128], [255, 1]])
    lying = Image.fromarray(np.array([[0, 0, 255]], np.uint8))
    exif = lying.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    lying.save("lying.png", exif=exif)
    assert read_images([Path("lying.png")], ImageForm(), "0..1").inputs.shape == (1, 3, 1, 1)


def test_the_form_of_images_is_that_of_the_model():
    assert ImageForm.of_keras((None, 28, 20, 3), channels_first=False) == ImageForm((28, 20), 3)
    assert ImageForm.of_keras((None, 3, 28, 20), channels_first=True) == ImageForm((28, 20), 3, True)
    assert ImageForm.of_keras((None, None, None, 1), channels_first=False) == ImageForm(None, 1)
    assert ImageForm.of_keras((None, 28, 20), channels_first=False) == ImageForm((28, 20), 1, False, False)
    assert "not that of images" in ImageForm.of_keras((None, 784), channels_first=False).refusal
    assert ImageForm.of_torch(small_net()) == ImageForm(None, 1, True)


def test_only_the_first_samples_are_shown_and_that_is_said(folder, capsys):
    np.save("many.npy", np.zeros((100, 1, 8, 8), np.float32))
    typed = ["inspect", "--model", "command_models:small_net", "--probe", "many.npy", "--save", "net.h5"]
    assert main([*typed, "--samples", "5", "--view", "filters"]) == 0
    assert "Probe: the first 5 of 100 samples (--samples says so), input (5, 1, 8, 8) float32." in (
        capsys.readouterr().out
    )
    assert len(Snapshot.load("net.h5").probe) == 5


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--probe", "gone"], "there is no such file or folder"),
        (["--probe", "empty"], "holds no images"),
        (["--probe", "parent"], "It has 1 folders: give one of them"),
        (["--probe", "sizes"], "have 2 sizes, such as 4 x 4 and 2 x 4"),
        (["--probe", "broken.npy"], "cannot be read"),
        (["--probe", "photos/readme.txt"], "no image that can be read"),
        (["--probe", "objects.npy"], "holds Python objects"),
        (["--probe", "objects.npz"], "holds Python objects"),
        (["--probe", "wrong.npy"], "cannot be called with this probe"),
    ],
)
def test_a_probe_that_cannot_be_used_is_refused_in_words(typed, said, folder, capsys):
    Path("empty").mkdir()
    Path("parent/inner").mkdir(parents=True)
    Path("sizes").mkdir()
    for place, height in enumerate((4, 2)):
        Image.fromarray(np.zeros((height, 4), np.uint8)).save(f"sizes/{place}.png")
    Path("broken.npy").write_bytes(b"no array")
    trap = np.array([_Trap()], dtype=object)
    np.save("objects.npy", trap, allow_pickle=True)
    np.savez("objects.npz", x=trap)
    np.save("wrong.npy", np.zeros((2, 5), np.float32))
    assert main(["inspect", "--model", "command_models:small_net", *typed]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert not Path("made by the trap").exists()
    assert not Path("pictures").exists()


class _Trap:
    """Unpickling it makes a file."""

    def __reduce__(self):
        return (Path.touch, (Path("made by the trap"),))


def test_a_file_of_snapshots_is_no_model_and_a_kept_file_is_not_written_over(folder, capsys):
    pytest.importorskip("h5py")
    pytest.importorskip("keras")
    from layerviz_callbacks import SnapshotWriter

    np.save("x.npy", np.zeros((2, 1, 8, 8)))
    with SnapshotWriter("run.h5"):
        pass
    assert main(["inspect", "run.h5", "--probe", "x.npy"]) == 2
    assert capsys.readouterr().err == (
        "layerviz: run.h5 holds snapshots, and no model. Type: layerviz show run.h5\n"
    )
    assert main(["inspect", "gone.keras", "--probe", "x.npy", "--save", "run.h5"]) == 2
    assert "--save run.h5: there is a file of that name already" in capsys.readouterr().err


def test_a_model_must_be_named(folder, capsys):
    np.save("x.npy", np.zeros((2, 1, 8, 8)))
    assert main(["inspect", "--probe", "x.npy"]) == 2
    assert "No model was given" in capsys.readouterr().err
    Path("net.ckpt").touch()
    assert main(["inspect", "net.ckpt", "--probe", "x.npy"]) == 2
    assert (
        "net.ckpt is of PyTorch, whose weights are put into a model that your code builds. Type --model"
        in (capsys.readouterr().err)
    )
    assert main(["inspect", "net.ckpt", "--weights", "net.pt", "--probe", "x.npy"]) == 2
    assert "Give one file" in capsys.readouterr().err
