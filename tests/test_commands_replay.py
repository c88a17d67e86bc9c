"""`layerviz replay`: the film of a training that never had the callback."""

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from layerviz_callbacks import ArgumentError, CheckpointError, SnapshotFile, replay, sinks, views
from layerviz_callbacks.cli import main

torch = pytest.importorskip("torch")
from command_models import lit, small_keras, small_net  # noqa: E402

PROBE = np.linspace(-1, 1, 2 * 64, dtype=np.float32).reshape(2, 8, 8)


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """The folder that a command runs in, with a probe for Keras and one for PyTorch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # `--model` adds the current folder
    np.save("keras.npy", PROBE[..., None])
    np.save("torch.npy", PROBE[:, None])
    return tmp_path


def pngs(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*.png")}


def pixels_differ(found, tag):
    """Whether the pictures of a tag are not all the same: the weights did change."""
    contents = [content for name, content in found.items() if name.startswith(tag)]
    return len(contents) > 1 and len(set(contents)) > 1


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_saved_keras_models_give_the_pictures_of_a_recorded_training_bit_for_bit(run_folder, capsys):
    keras = pytest.importorskip("keras")
    from layerviz_callbacks.keras import LayerVizCallback

    model = small_keras()
    model.compile(keras.optimizers.SGD(0.5), "mse")
    Path("saved").mkdir()
    model.save("saved/cp-00.keras")
    x, y = np.linspace(0, 1, 512).reshape(8, 8, 8, 1), np.eye(8, 2)
    drawn = [views.Filters(), views.FeatureMaps(), views.FilmStrip()]
    recorded = LayerVizCallback(
        np.load("keras.npy"), log_dir=sinks.Folder("recorded"), views=drawn, budget=None
    )
    saved = keras.callbacks.ModelCheckpoint("saved/cp-{epoch:02d}.keras")
    model.fit(x, y, epochs=2, verbose=0, callbacks=[recorded, saved])
    typed = ["replay", "saved", "--probe", "keras.npy", "--out", "replayed", "--log-dir", "logs"]
    assert main([*typed, "--view", "filters", "feature-maps", "film"]) == 0
    found = pngs("replayed")
    assert "filters/01_conv1/step_0002.png" in found
    assert pixels_differ(found, "filters/01_conv1")
    assert found == pngs("recorded")
    assert list(Path("logs/layerviz").glob("events.out.tfevents.*"))
    told = capsys.readouterr().out
    assert "    2  cp-02.keras  number in its name" in told
    assert "3 of 3 checkpoints are pictured: 2 of 3 layers pictured; 1 not: flatten" in told


def test_every_step_can_be_kept_as_a_snapshot(run_folder, capsys, caplog):
    pytest.importorskip("h5py")
    for step in (2, 4):
        net = small_net()
        with torch.no_grad():
            net[0].bias.fill_(step)
        torch.save(net.state_dict(), f"net-{step}.pt")
    typed = ["replay", ".", "--model", "command_models:small_net", "--probe", "torch.npy"]
    assert main([*typed, "--snapshots", "run.h5", "--view", "filters", "maps"]) == 0
    assert f"Snapshots: {run_folder / 'run.h5'}" in capsys.readouterr().out
    with SnapshotFile("run.h5") as file:
        assert file.steps == (2, 4)
        assert file.when(4) == "epoch 4/4"
        with torch.no_grad():
            expected = small_net()[0](torch.from_numpy(np.load("torch.npy"))).permute(0, 2, 3, 1).numpy() + 4
        first = expected - small_net()[0].bias.detach().numpy()
        np.testing.assert_allclose(file.layer("0", step=4).output, first, atol=1e-5)
    caplog.clear()
    caplog.set_level("INFO", logger="layerviz_callbacks")
    files = ["net-2.pt", "net-4.pt"]
    replay(files, np.load("torch.npy"), model=small_net, log_dir="logs", views=[views.Filters()])
    (bill,) = [record.message for record in caplog.records if record.message.startswith("Recorded")]
    assert bill.startswith("Recorded 2 steps: ") and "waited" not in bill  # nothing trained meanwhile


def test_weights_of_keras_need_the_model_and_a_file_that_does_not_fit_is_named_and_left_out(
    run_folder, capsys
):
    keras = pytest.importorskip("keras")
    model = small_keras()
    for epoch in (1, 2, 10):
        model.get_layer("conv1").bias.assign(np.full(3, epoch / 10))
        model.save_weights(f"epoch_{epoch}.weights.h5")
    other = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(5, 3, name="conv1")])
    other.save_weights("epoch_3.weights.h5")
    files = [str(path) for path in Path().glob("*.weights.h5")]
    typed = ["replay", *files, "--probe", "keras.npy", "--out", "pictures", "--view", "feature-maps"]
    assert main(typed) == 2
    assert "--model package.module:build" in capsys.readouterr().err
    assert main([*typed, "--model", "command_models:small_keras"]) == 1
    told = capsys.readouterr().out
    assert "3 of 4 checkpoints are pictured: " in told
    assert "Not epoch_3.weights.h5: does not fit the model" in told
    assert sorted(name for name in pngs("pictures") if "conv1" in name) == [
        f"feature maps/01_conv1/step_{epoch:04d}.png" for epoch in (1, 2, 10)
    ]


def test_checkpoints_of_lightning_are_numbered_as_a_recorded_training_and_give_its_pictures(
    run_folder, capsys
):
    lightning = pytest.importorskip("lightning.pytorch")
    from layerviz_callbacks.lightning import LayerVizCallback

    data = torch.utils.data.TensorDataset(torch.randn(8, 1, 8, 8), torch.randint(0, 2, (8,)))
    drawn = [views.Filters(), views.FeatureMaps()]
    recorded = LayerVizCallback(
        np.load("torch.npy"), log_dir=sinks.Folder("recorded"), views=drawn, budget=None
    )
    kept = lightning.callbacks.ModelCheckpoint(dirpath="kept", save_top_k=-1, save_last=True)
    first = lightning.callbacks.LambdaCallback(
        on_train_start=lambda trainer, module: trainer.save_checkpoint("kept/before training.ckpt")
    )
    trainer = lightning.Trainer(
        max_epochs=2, callbacks=[recorded, kept, first], logger=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(lit(3), torch.utils.data.DataLoader(data, 4))
    trainer.save_checkpoint("kept/after the end.ckpt")
    status = main(
        ["replay", "kept", "--model", "command_models:lit", "--probe", "torch.npy", "--out", "replayed",
         "--view", "filters", "feature-maps"]
    )  # fmt: skip
    told = capsys.readouterr().out
    assert status == 0
    assert "    0  before training.ckpt  epochs done, in the file" in told
    assert "    1  epoch=0-step=2.ckpt   epochs done, in the file" in told
    assert "Left out: last.ckpt (the same epoch as epoch=1-step=4.ckpt)" in told
    assert "Left out: after the end.ckpt (the same epoch as epoch=1-step=4.ckpt)" in told
    found, expected = pngs("replayed"), pngs("recorded")
    assert "filters/02_net.0/step_0002.png" in found
    assert pixels_differ(found, "filters/02_net.0")
    assert found == expected


def test_checkpoints_within_epochs_are_numbered_by_optimizer_steps(run_folder, capsys):
    lightning = pytest.importorskip("lightning.pytorch")
    data = torch.utils.data.TensorDataset(torch.randn(8, 1, 8, 8), torch.randint(0, 2, (8,)))
    kept = lightning.callbacks.ModelCheckpoint(dirpath="kept", save_top_k=-1, every_n_train_steps=3)
    trainer = lightning.Trainer(
        max_epochs=2, callbacks=[kept], logger=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(lit(3), torch.utils.data.DataLoader(data, 2))
    done = replay("kept", np.load("torch.npy"), model=lit, log_dir=sinks.Folder("pictures"))
    assert done.steps == (3, 6)
    assert done.failures == {}
    assert "filters/02_net.0/step_0006.png" in pngs("pictures")


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"epoch": 4, "model_state_dict": state, "loss": 0.5},
        lambda state: {"module." + name: value for name, value in state.items()},
        lambda state: {"state_dict": {"net._orig_mod." + name: value for name, value in state.items()}},
    ],
    ids=["plain", "in a dict", "DistributedDataParallel", "a compiled part"],
)
def test_a_state_dict_is_found_wherever_it_is_by_custom(wrapped, run_folder):
    net = small_net()
    with torch.no_grad():
        net[0].weight.fill_(0.25)
    torch.save(wrapped(net.state_dict()), "net-7.pt")
    typed = ["replay", "net-7.pt", "--model", "command_models:small_net", "--probe", "torch.npy"]
    keeps = {}

    class Keeps(views.Filters):
        def draw(self, snapshot):
            keeps[snapshot.step] = snapshot["0"].kernel
            return []

    done = replay("net-7.pt", np.load("torch.npy"), model=small_net, log_dir="logs", views=[Keeps()])
    assert done.steps == (7,)
    np.testing.assert_array_equal(keeps[7], np.full((3, 1, 3, 3), 0.25))
    assert main([*typed, "--out", "pictures"]) == 0


def test_safetensors_are_read_where_the_library_is_there(run_folder):
    pytest.importorskip("safetensors")
    from safetensors.torch import save_file

    save_file(small_net().state_dict(), "step_30.safetensors")
    done = replay(".", np.load("torch.npy"), model=small_net, log_dir="logs")
    assert done.steps == (30,)


def test_weights_that_fit_in_two_ways_or_in_none_are_refused(run_folder):
    state = small_net().state_dict()
    twice = {f"{part}.{name}": value for part in ("net", "ema") for name, value in state.items()}
    torch.save(twice, "a-1.pt")
    torch.save({name: value for name, value in state.items() if "bias" not in name}, "a-2.pt")
    torch.save({**state, "0.weight": torch.zeros(4, 1, 3, 3)}, "a-3.pt")
    torch.save({"loss": 0.5}, "a-4.pt")
    torch.save(state, "a-5.pt")
    Path("a-6.pt").write_bytes(b"damaged")
    done = replay(".", np.load("torch.npy"), model=small_net, log_dir=sinks.Folder("pictures"))
    assert done.steps == (5,)
    reasons = {path.name: why for path, why in done.failures.items()}
    assert "2 times, under different names" in reasons["a-1.pt"]
    assert "lacks 2 of its 4 weights (0.bias, 3.bias)" in reasons["a-2.pt"]
    assert "0.weight is (4, 1, 3, 3) and should be (3, 1, 3, 3)" in reasons["a-3.pt"]
    assert "holds no weights where they are looked for: it has ['loss']" in reasons["a-4.pt"]
    assert "a-6.pt is damaged, or holds Python objects" in reasons["a-6.pt"]
    assert len(reasons) == 5


def test_a_pickle_with_code_is_refused_and_its_code_does_not_run(run_folder, capsys):
    torch.save({"state_dict": small_net().state_dict(), "extra": Trap("made by the trap")}, "net-1.pt")
    typed = ["replay", "net-1.pt", "--model", "command_models:small_net", "--probe", "torch.npy"]
    assert main([*typed, "--out", "pictures"]) == 2  # it was the only one
    assert not Path("made by the trap").exists()
    told = capsys.readouterr().out
    assert "Not net-1.pt: holds Python objects" in told
    assert "--trust" in told
    assert main([*typed, "--out", "pictures", "--trust"]) == 0
    assert Path("made by the trap").exists()  # so the refusal above did keep it from running


def test_checkpoints_of_another_model_are_told_once_and_nothing_is_written(run_folder, capsys):
    Path("saved").mkdir()
    for epoch in (1, 2):
        torch.save(torch.nn.Linear(3, 2).state_dict(), f"saved/epoch_{epoch}.pt")
    typed = ["replay", "saved", "--model", "command_models:small_net", "--probe", "torch.npy"]
    assert main([*typed, "--out", "pictures", "--snapshots", "run.h5"]) == 2
    told = capsys.readouterr().out
    assert "0 of 2 checkpoints are pictured." in told
    assert "Not epoch_1.pt, epoch_2.pt: does not fit" in told
    assert not Path("pictures").exists() and not Path("run.h5").exists()


def test_a_replay_that_is_interrupted_keeps_what_it_has_and_can_be_done_again(
    run_folder, monkeypatch, capsys
):
    pytest.importorskip("h5py")
    from layerviz_callbacks.replaying.loaders import TorchLoader

    Path("saved").mkdir()
    for epoch in (1, 2, 3, 4):
        torch.save(small_net().state_dict(), f"saved/epoch_{epoch}.pt")
    load = TorchLoader.load

    def interrupted(self, path):
        if path.name == "epoch_3.pt":
            raise KeyboardInterrupt
        load(self, path)

    typed = ["replay", "saved", "--model", "command_models:small_net", "--probe", "torch.npy"]
    typed += ["--view", "filters", "--snapshots", "run.h5", "--out", "pictures"]
    monkeypatch.setattr(TorchLoader, "load", interrupted)
    assert main(typed) == 130
    told = capsys.readouterr()
    assert told.err == "layerviz: interrupted\n"
    with SnapshotFile("run.h5") as file:
        assert file.steps == (1, 2)
    assert len(pngs("pictures")) >= 2
    monkeypatch.setattr(TorchLoader, "load", load)
    assert main([*typed, "--layer", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("layerviz: --layer nothing matches no layer.")
    assert main(typed) == 0
    kept = capsys.readouterr().out.rpartition("Snapshots: ")[2].strip()
    with SnapshotFile(kept) as file:
        assert file.steps == (1, 2, 3, 4)


def test_two_trainings_in_one_replay_are_told(run_folder, capsys):
    for seed in ("one", "two"):
        Path(seed).mkdir()
        torch.save(small_net().state_dict(), f"{seed}/epoch_1.pt")
    typed = ["replay", "one", "two", "--model", "command_models:small_net", "--probe", "torch.npy"]
    assert main([*typed, "--out", "pictures", "--view", "filters"]) == 0
    told = capsys.readouterr().out
    assert str(Path("one/epoch_1.pt")) in told and str(Path("two/epoch_1.pt")) in told
    assert "if these are several trainings, replay one at a time" in told


def test_an_old_pickle_with_code_is_refused_too(run_folder):
    Path("net-1.pt").write_bytes(pickle.dumps(Trap("made by the trap")))
    done = replay("net-1.pt", np.load("torch.npy"), model=small_net, log_dir="logs")
    assert "holds Python objects, and reading these can run any code" in done.failures[Path("net-1.pt")]
    assert not Path("made by the trap").exists()


@pytest.mark.parametrize("end", ["keras", "h5"])
def test_a_lambda_layer_is_refused_without_trust(end, run_folder, capsys):
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Lambda(lambda x: x * 2)]
    )
    model.save(f"model.{end}")
    typed = ["inspect", f"model.{end}", "--probe", "keras.npy", "--view", "filters"]
    assert main(typed) == 2
    told = capsys.readouterr().err
    assert "holds code, such as a lambda layer" in told
    assert "--trust" in told
    assert not Path("pictures").exists()
    assert main([*typed, "--trust"]) == 0
    assert Path("pictures/filters").is_dir()


def test_what_is_no_model_is_told_with_what_to_type(run_folder, capsys):
    torch.save(small_net().state_dict(), "net-1.pt")
    typed = ["replay", "net-1.pt", "--probe", "torch.npy", "--model"]
    for given, said in {
        "command_models": "names no function in a module",
        "nowhere.at_all:build": "cannot be imported",
        "command_models:smal_net": "Did you mean 'small_net'?",
        "command_models:NUMBER": "is a int, which cannot be called",
        "command_models:fails": "gave no model: RuntimeError: no data here",
        "command_models:lit": "gave no model: TypeError",
        "command_models:small_keras": "Allowed for net-1.pt: a torch.nn.Module",
    }.items():
        assert main([*typed, given]) == 2, given
        assert said in capsys.readouterr().err


def test_files_of_two_frameworks_and_no_files_are_refused(run_folder):
    Path("a.keras").touch()
    Path("a.ckpt").touch()
    with pytest.raises(ArgumentError, match=r"a\.keras is of Keras, and a\.ckpt of PyTorch"):
        replay(".", PROBE, log_dir="logs")
    Path("empty").mkdir()
    for path, said in {"empty": "holds no checkpoints", "gone": "There is no 'gone'"}.items():
        with pytest.raises(ArgumentError, match=said):
            replay(path, PROBE, log_dir="logs")
    with pytest.raises(CheckpointError, match=r"a\.keras cannot be opened as a Keras model"):
        replay("a.keras", PROBE, log_dir="logs")


def test_files_without_numbers_are_ordered_by_when_they_were_written(run_folder, capsys):
    for age, name in enumerate(["first.pt", "then.pt"]):
        torch.save(small_net().state_dict(), name)
        os.utime(name, (1e9 + age, 1e9 + age))
    os.utime("first.pt", (2e9, 2e9))
    done = replay(".", np.load("torch.npy"), model=small_net, log_dir=sinks.Folder("pictures"))
    assert done.steps == (1, 2)
    assert main(["replay", ".", "--model", "command_models:small_net", "--probe", "torch.npy"]) == 0
    assert "    2  first.pt  order of writing" in capsys.readouterr().out


def test_what_was_replayed_is_drawn_again_from_its_file_bit_for_bit(run_folder):
    pytest.importorskip("h5py")
    for step in (0, 1, 2):
        net = small_net()
        with torch.no_grad():
            net[0].weight.mul_(1 + step)
        torch.save(net.state_dict(), f"net-{step}.pt")
    drawn = ["--view", "filters", "maps", "film", "health"]
    typed = ["replay", ".", "--model", "command_models:small_net", "--probe", "torch.npy", *drawn]
    assert main([*typed, "--out", "replayed", "--snapshots", "run.h5"]) == 0
    assert main(["show", "run.h5", *drawn, "--step", "all", "--out", "shown"]) == 0
    expected = {name: content for name, content in pngs("replayed").items() if not name.startswith("probe")}
    assert "health/look here first/step_0002.png" in expected
    films = {name for name in expected if "film" in name and not name.endswith("step_0002.png")}
    assert len(films) == 4  # one film shows all steps: of those, the last alone is drawn again
    assert pngs("shown") == {name: expected[name] for name in expected if name not in films}
    assert main(["show", "run.h5", *drawn, "--out", "last"]) == 0
    assert pngs("last") == {name: expected[name] for name in expected if name.endswith("step_0002.png")}
