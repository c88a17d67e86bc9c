"""Arrays over steps, runs that go on, foreign files, and what the documentation shows."""

import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stored_snapshots import differences, floats, full_snapshot, small_snapshot

from layerviz_callbacks import (
    ArgumentError,
    Layer,
    Probe,
    SelectionError,
    Snapshot,
    SnapshotFile,
    SnapshotFileError,
    SnapshotWriter,
)
from layerviz_callbacks.cut import KernelCut, OutputCut, cut_kernel, cut_output

h5py = pytest.importorskip("h5py")
DOCS = Path(__file__).parent.parent / "docs" / "snapshots.md"


def written(path, *snapshots, **options):
    with SnapshotWriter(path, durable=False, **options) as writer:
        for snapshot in snapshots:
            writer.append(snapshot)
    return writer.path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def cut_step(step, channels, *, samples=2, block=1, blocks=(1, 1)):
    """A layer whose channel c holds the number 10 * step + c everywhere."""
    whole = np.broadcast_to(10.0 * step + np.arange(5), (2, 4, 4, 5)).astype(np.float32)
    output, left = cut_output(whole, OutputCut(samples=samples, channels=channels, block=block))
    kernel, taken = cut_kernel(np.moveaxis(whole, -1, 0)[:, :, 0], KernelCut(channels=channels))
    if blocks != (1, 1):
        kernel, taken = cut_kernel(whole[0, 0].T, KernelCut(channels=channels, blocks=blocks))
    layer = Layer(
        "conv", "Conv2D", 1, kernel_shape=(5, 2, 4), output_shape=(2, 4, 4, 5),
        kernel=kernel, output=output, kernel_taken=taken, output_taken=left,
    )  # fmt: skip
    return Snapshot({"conv": layer}, Probe(np.zeros((2, 4))), {}, step=step)


def test_arrays_over_steps_have_the_step_first(tmp_path):
    path = written(tmp_path / "run.h5", *(small_snapshot(step) for step in (0, 2, 10)))
    with SnapshotFile(path) as file:
        assert file.steps == (0, 2, 10) == file.steps_with("conv", "output")
        expected = np.stack([small_snapshot(step)["conv"].kernel for step in (0, 2, 10)])
        assert differences(file.kernels("conv"), expected) == []
        expected = np.stack([small_snapshot(step)["pool"].output for step in (10, 0)])
        assert differences(file.outputs("pool", steps=[10, 0]), expected) == []
        assert file.channels("conv", "kernel") == (0, 1, 2)
        assert file.steps_with("pool", "kernel") == ()
        assert file.when(10) == "epoch 10/12"
        assert [one.step for one in file] == [0, 2, 10] and len(file) == 3
    with SnapshotFile(written(tmp_path / "full.h5", full_snapshot(1), full_snapshot(2))) as file:
        assert file.attention("attention").shape == (2, 2, 2, 4, 4)
        assert file.layers == tuple(full_snapshot().layers)


def test_channels_that_differ_from_step_to_step_stand_at_their_places(tmp_path):
    path = written(tmp_path / "run.h5", cut_step(0, (3, 1)), cut_step(1, (4, 3)))
    with SnapshotFile(path) as file:
        assert file.channels("conv", "output") == file.channels("conv", "kernel") == (1, 3, 4)
        nan = np.nan
        np.testing.assert_array_equal(file.outputs("conv")[:, 0, 0, 0], [[1, 3, nan], [nan, 13, 14]])
        np.testing.assert_array_equal(file.kernels("conv")[:, :, 1, 2], [[1, 3, nan], [nan, 13, 14]])
        assert file.outputs("conv").shape == (2, 2, 4, 4, 3)
        assert file.channels("conv", "output", steps=[1]) == (4, 3)
        np.testing.assert_array_equal(file.outputs("conv", steps=[1])[0, 0, 0, 0], [14, 13])


def test_steps_that_differ_in_more_than_channels_are_told(tmp_path):
    path = written(tmp_path / "run.h5", cut_step(0, (1,)), cut_step(1, (2,), samples=1), cut_step(2, (1,)))
    with SnapshotFile(path) as file:
        with pytest.raises(
            ArgumentError, match=r"An output of 'conv' was not taken alike.*\(2, 4, 4, 1\) at 0"
        ):
            file.outputs("conv")
        assert file.outputs("conv", steps=[0, 2]).shape == (2, 2, 4, 4, 1)
    path = written(
        tmp_path / "rows.h5",
        cut_step(0, (0, 1, 2, 3), blocks=(2, 1)),
        cut_step(1, (1, 2, 3, 4), blocks=(2, 1)),
    )
    with (
        SnapshotFile(path) as file,
        pytest.raises(ArgumentError, match="A kernel of 'conv' was not taken alike"),
    ):
        file.kernels("conv")  # a row is the mean of two channels


def test_metrics_are_arrays_over_steps_with_nan_where_they_lack(tmp_path):
    path = written(
        tmp_path / "run.h5",
        small_snapshot(0),
        small_snapshot(1, metrics={"loss": 0.5, "a/b": 1}),
        small_snapshot(2, metrics={"loss": np.float32(0.25)}),
    )
    with SnapshotFile(path) as file:
        np.testing.assert_array_equal(file.metrics["loss"], [np.nan, 0.5, 0.25])
        np.testing.assert_array_equal(file.metrics["a/b"], [np.nan, 1, np.nan])


def test_the_best_step_is_the_one_marked_last(tmp_path):
    with SnapshotWriter(tmp_path / "run.h5", durable=False) as writer, SnapshotFile(writer.path) as file:
        found = []
        for step, best in enumerate([False, True, False, True, False]):
            writer.append(small_snapshot(step), best=best)
            found.append(file.best_step)
        assert found == [None, 1, 1, 3, 3]


def test_a_new_run_takes_a_new_file_and_a_resumed_one_goes_on_in_the_newest(tmp_path):
    base = tmp_path / "run.h5"
    assert written(base, small_snapshot(0)) == base
    (tmp_path / "run-old.h5").write_text("not a run of ours")
    (tmp_path / "other-7.h5").write_text("another name")
    assert written(base, small_snapshot(0)) == tmp_path / "run-2.h5"
    assert written(base, small_snapshot(1), resumed=True) == tmp_path / "run-2.h5"
    assert written(base, small_snapshot(0)) == tmp_path / "run-3.h5"
    assert written(tmp_path / "new.h5", small_snapshot(4), resumed=True) == tmp_path / "new.h5"
    steps = []
    for name in ("run.h5", "run-2.h5", "run-3.h5"):
        with SnapshotFile(tmp_path / name) as file:
            steps.append(file.steps)
    assert steps == [(0,), (0, 1), (0,)]


def test_an_empty_file_of_that_name_is_used(tmp_path):
    (tmp_path / "run.h5").touch()
    assert small_snapshot().save(tmp_path / "run.h5") == tmp_path / "run.h5"
    assert len(Snapshot.load(tmp_path / "run.h5")) == 2
    assert names_in(tmp_path) == ["run.h5"]


def test_saving_takes_the_name_that_is_given_whatever_runs_are_there(tmp_path):
    written(tmp_path / "run-2.h5", small_snapshot(0))
    assert small_snapshot(7).save(tmp_path / "run.h5") == tmp_path / "run.h5"
    assert Snapshot.load(tmp_path / "run.h5").step == 7


def test_a_snapshot_that_cannot_be_saved_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="could not convert"):
        small_snapshot(metrics={"loss": "none"}).save(tmp_path / "run.h5")
    assert names_in(tmp_path) == []


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def refuses(self, target):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuses)
    assert written(tmp_path / "run.h5", small_snapshot(0)) == tmp_path / "run.h5"
    assert written(tmp_path / "run.h5", small_snapshot(0)) == tmp_path / "run-2.h5"
    assert names_in(tmp_path) == ["run-2.h5", "run.h5"]
    assert differences(Snapshot.load(tmp_path / "run.h5"), small_snapshot(0)) == []


def test_a_resumed_run_replaces_and_may_discard_what_came_after(tmp_path):
    path = tmp_path / "run.h5"
    with SnapshotWriter(path, durable=False) as writer:
        for step in range(5):
            writer.append(small_snapshot(step), best=step == 3)
    again = small_snapshot(2, kernel=floats(3, 1, 2, seed=50))
    with SnapshotWriter(path, resumed=True, durable=False) as writer, SnapshotFile(path) as file:
        writer.append(again)
        assert file.steps == (0, 1, 2, 3, 4) and file.best_step == 3
        writer.discard_after(2)
        assert file.steps == (0, 1, 2) and file.best_step is None
        writer.append(small_snapshot(3))
        assert [differences(one, other) for one, other in zip(
            file, [small_snapshot(0), small_snapshot(1), again, small_snapshot(3)], strict=True
        )] == [[]] * 4  # fmt: skip


def foreign(tmp_path, what):
    path = tmp_path / "file.h5"
    if what == "text":
        path.write_text("loss,accuracy\n" * 100)
    elif what == "empty":
        path.touch()
    elif what == "weights of a model":
        with h5py.File(path, "w") as file:
            file["kernel"] = np.zeros(3)
    elif what == "newer":
        with h5py.File(path, "w") as file:
            file.attrs.update({"format": "layerviz_callbacks snapshots", "version": 99})
    elif what == "cut":
        data = written(tmp_path / "whole.h5", small_snapshot(output=floats(2, 900, 3))).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    return path


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("text", "no file of snapshots"),
        ("empty", "no file of snapshots"),
        ("weights of a model", "holds no snapshots"),
        ("newer", "written by a newer layerviz_callbacks"),
        ("cut", "damaged or was cut"),
        ("missing", "cannot be opened: No such file"),
    ],
)
def test_foreign_and_damaged_files_are_told_in_words(what, words, tmp_path):
    path = foreign(tmp_path, what)
    for use in (SnapshotFile, Snapshot.load):
        with pytest.raises(SnapshotFileError, match=words) as told:
            use(path)
        assert (
            "file.h5" in str(told.value) or "HDF5 file" in str(told.value) or "This file" in str(told.value)
        )


@pytest.mark.parametrize("what", ["text", "weights of a model", "newer", "cut"])
def test_a_foreign_file_is_not_written(what, tmp_path):
    path = foreign(tmp_path, what)
    before = path.read_bytes()
    with pytest.raises(SnapshotFileError), SnapshotWriter(path, resumed=True) as writer:
        writer.append(small_snapshot(1))
    assert path.read_bytes() == before
    assert written(path, small_snapshot(0)) == tmp_path / "file-2.h5"


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_flipped_bit_never_gives_another_error_than_ours(tmp_path):
    data = bytearray(written(tmp_path / "run.h5", full_snapshot(0), small_snapshot(1)).read_bytes())
    random = np.random.default_rng(0)
    path, told = tmp_path / "flipped.h5", 0
    for place in random.integers(512, 20_000, 60).tolist():
        changed = data.copy()
        changed[place] ^= 1 << int(random.integers(8))
        path.write_bytes(changed)
        try:
            with SnapshotFile(path) as file:
                for step in file.steps:
                    for layer in file[step]:
                        differences(layer, layer)
        except SnapshotFileError:
            told += 1
    assert told > 5


def test_a_copy_that_an_hdf5_tool_made_is_read(tmp_path):
    path = written(tmp_path / "run.h5", full_snapshot(0), full_snapshot(1))
    with h5py.File(path) as file, h5py.File(tmp_path / "copy.h5", "w") as copy:
        for name in file:
            file.copy(name, copy, name)
        copy.attrs.update(file.attrs)
    with SnapshotFile(tmp_path / "copy.h5") as file:
        assert differences(file[1], full_snapshot(1)) == []
    with pytest.raises(SnapshotFileError, match="no file of snapshots that can be written"):
        SnapshotWriter(tmp_path / "copy.h5", resumed=True)


def blocks_of_docs():
    return re.findall(r"<!-- a test runs this -->\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


def test_the_documented_way_to_read_it_plainly(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    steps = [small_snapshot(step, metrics={"loss": 1 / (1 + step)}) for step in range(3)]
    with SnapshotWriter("run.h5", durable=False) as writer:
        for snapshot in steps:
            writer.append(snapshot, best=snapshot.step == 1)
    found = {}
    exec(blocks_of_docs()[0], found)
    assert capsys.readouterr().out.splitlines() == ["conv (3, 1, 2)", "epoch 2/12 ['conv', 'pool']"]
    assert (found["output"] == steps[2]["conv"].output).all()
    assert found["losses"] == [1, 1 / 2, 1 / 3]
    assert found["steps"] == [0, 1, 2] and found["best"] == 1 and found["kind"] == "Conv1D"


def test_the_documented_way_to_read_eight_bits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = floats(2, 5, 3)
    output[0, :4, 0] = [0, np.nan, np.inf, -np.inf]
    small_snapshot(output=output).save("uint8.h5", precision="uint8")
    found = {}
    exec(blocks_of_docs()[1], found)
    np.testing.assert_array_equal(
        found["values"].astype(np.float32), Snapshot.load("uint8.h5")["conv"].output
    )
    assert found["values"][0, 0, 0] == 0 and np.isnan(found["values"][0, 1, 0])


def test_the_documented_layout_names_every_place_that_is_written(tmp_path):
    described = DOCS.read_text()
    places = set()
    with h5py.File(written(tmp_path / "run.h5", full_snapshot(), precision="uint8")) as file:
        file.visit(lambda name: places.add(name.split("/")[2] if name.count("/") > 1 else ""))
    places = {name.removesuffix("_levels") for name in places} - {""}
    assert len(places) > 12
    assert {name for name in places if f"<step>/{name}" not in described} - {"outputs_taken"} == set()


class Arrays(types.ModuleType):
    """Stands for xarray: checks what xarray checks, and keeps what it was given."""

    def DataArray(self, values, *, dims, coords, name):
        assert len(dims) == values.ndim == len(set(dims))
        assert all(
            axis in dims and len(labels) == values.shape[dims.index(axis)] for axis, labels in coords.items()
        )
        return {"name": name, "dims": dims, "values": values, "coords": coords}

    def merge(self, variables, *, join, compat):
        assert join == "outer" and compat == "no_conflicts"
        return {one["name"]: one for one in variables}


def test_to_xarray_names_and_labels_the_axes(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", Arrays("xarray"))
    names = ["one", "two"]
    cut = [replace(cut_step(step, (3, 1)), probe=Probe(np.zeros((2, 4)), names=names)) for step in (0, 7)]
    with SnapshotFile(written(tmp_path / "run.h5", *cut)) as file:
        found = file.to_xarray()
        assert list(found) == ["conv"]
        assert found["conv"]["output"]["dims"] == ("step", "sample", "space_1", "space_2", "channel")
        assert found["conv"]["output"]["coords"] == {"step": [0, 7], "sample": names, "channel": [3, 1]}
        assert found["conv"]["kernel"]["dims"] == ("step", "out", "in", "kernel_space")
        assert found["conv"]["kernel"]["coords"] == {"step": [0, 7], "out": [3, 1]}
        with pytest.raises(SelectionError, match="There is no layer 'dense'"):
            file.to_xarray(["dense"])
    with SnapshotFile(written(tmp_path / "full.h5", full_snapshot())) as file:
        found = file.to_xarray(["attention", "volume"])
        assert found["attention"]["attention"]["dims"] == ("step", "sample", "head", "query", "key")
        assert found["volume"]["kernel"]["dims"][3:] == ("kernel_space_1", "kernel_space_2", "kernel_space_3")


def test_to_xarray_itself(tmp_path):
    pytest.importorskip("xarray")
    with SnapshotFile(written(tmp_path / "run.h5", cut_step(0, (3, 1)), cut_step(7, (4, 3)))) as file:
        found = file.to_xarray()["conv"]
        assert found.output.dims == ("step", "sample", "space_1", "space_2", "channel")
        assert found.output.sel(step=7, channel=4).to_numpy().max() == 74
        assert found.kernel.dims == ("step", "out", "in", "kernel_space")


def test_without_xarray_one_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    path = written(tmp_path / "run.h5", small_snapshot())
    with SnapshotFile(path) as file, pytest.raises(ImportError, match="pip install xarray"):
        file.to_xarray()
