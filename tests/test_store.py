"""What is saved is what is loaded: every array, every name, every fact."""

import pickle
import subprocess
import sys
from dataclasses import fields, replace
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
    views,
)
from layerviz_callbacks.store.findings import read_findings
from layerviz_callbacks.store.names import escaped, unescaped
from layerviz_callbacks.store.stored_layer import LAZY

h5py = pytest.importorskip("h5py")


def test_everything_of_a_snapshot_comes_back_bit_by_bit(tmp_path):
    snapshot = full_snapshot()
    assert snapshot.save(tmp_path / "run.h5") == tmp_path / "run.h5"
    assert differences(snapshot, Snapshot.load(tmp_path / "run.h5")) == []


def test_the_comparison_above_can_fail():
    snapshot = full_snapshot()
    volume = snapshot["volume"]
    changed = volume.output.copy()
    changed[0, 1, 1, 1, 1] += 1
    other = replace(snapshot, layers={**snapshot.layers, "volume": replace(volume, output=changed)})
    assert differences(snapshot, other) == ["snapshot.layers['volume'].output: other values"]
    assert differences(snapshot, replace(snapshot, metrics={}))


def test_every_attribute_of_a_layer_and_of_a_snapshot_was_in_use_above():
    snapshot = full_snapshot()
    for field in fields(Layer):
        if field.name == "statistics":  # what they mean is in `Snapshot.numbers`
            continue
        assert any(
            differences(getattr(layer, field.name), getattr(Layer("", "", 0), field.name))
            for layer in snapshot
        ), field.name
    for field in fields(Snapshot)[3:]:
        if field.name == "history":  # that is the steps before
            continue
        bare = Snapshot({}, snapshot.probe, {})
        assert differences(getattr(snapshot, field.name), getattr(bare, field.name)), field.name


@pytest.mark.parametrize(
    "inputs",
    [
        np.zeros((2, 3)),
        [np.zeros((2, 3)), np.ones((2, 1, 4), np.uint8)],
        (np.zeros((2, 3), np.float16), np.ones((2,), bool)),
        {"b": np.zeros((2, 3)), "a": np.ones((2, 2), complex)},
    ],
    ids=["array", "list", "tuple", "dict"],
)
def test_a_probe_keeps_its_structure(inputs, tmp_path):
    probe = Probe(inputs, targets=["a", "bär"])
    Snapshot({}, probe, {}).save(tmp_path / "run.h5")
    assert differences(probe, Snapshot.load(tmp_path / "run.h5").probe) == []


def test_what_hdf5_cannot_hold_is_left_out_and_told(tmp_path):
    snapshot = small_snapshot()
    odd = Layer("odd", "Lookup", 3, weights={"words": np.array([object()]), "bias": floats(2)})
    probe = Probe(np.zeros((2, 3)), targets=np.array(["2020-01-01", "2021-01-01"], "M8[D]"))
    replace(snapshot, layers={"odd": odd}, probe=probe).save(tmp_path / "run.h5")
    loaded = Snapshot.load(tmp_path / "run.h5")
    assert list(loaded["odd"].weights) == ["bias"]
    assert loaded.probe.targets is None
    assert loaded.unread == {
        "words of odd": "object values cannot be stored in HDF5",
        "targets": "datetime64[D] values cannot be stored in HDF5",
    }


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "%2F", "50 %", "ü\n\x00", "\ud800", "conv.0", "名前"])
def test_every_name_is_escaped_reversibly_to_one_name(name):
    assert unescaped(escaped(name)) == name
    assert "/" not in escaped(name) and "\0" not in escaped(name) and escaped(name) not in (".", "")


def test_names_that_differ_stay_apart():
    names = ["a/b", "a%2Fb", "a%252Fb", ".", "%2E", "..", "%2E%2E", "", "%", "%25"]
    assert len({escaped(name) for name in names}) == len(names)


def test_arrays_keep_their_order_in_memory_so_that_sums_are_the_same_to_the_last_bit(tmp_path):
    output = floats(2, 3, 7, 5).transpose(0, 2, 3, 1)  # as a channels-first framework gives them
    layer = Layer("conv", "Conv2d", 1, output_shape=output.shape, output=output)
    Snapshot({"conv": layer}, Probe(np.zeros((2, 1))), {}).save(tmp_path / "run.h5")
    loaded = Snapshot.load(tmp_path / "run.h5")["conv"].output
    assert loaded.strides == output.strides
    assert (loaded == output).all()
    with h5py.File(tmp_path / "run.h5") as file:  # whoever reads it plainly meets the axes in their order
        assert (file["steps/0/outputs/conv"][()] == output).all()


def test_a_loaded_snapshot_draws_the_same_pixels(tmp_path):
    random = np.random.default_rng(0)
    images = random.random((3, 12, 12, 3), np.float32)
    layers = {
        "conv": Layer(
            "conv", "Conv2D", 1, kernel_shape=(5, 3, 3, 3), kernel=floats(5, 3, 3, 3),
            output_shape=(3, 12, 12, 5), output=floats(3, 5, 12, 12).transpose(0, 2, 3, 1),
        ),
        "attention": Layer(
            "attention", "MultiHeadAttention", 2, attention_shape=(3, 2, 9, 9),
            attention=random.dirichlet(np.ones(9), (3, 2, 9)).astype(np.float32),
        ),
    }  # fmt: skip
    outputs = {"output": random.dirichlet(np.ones(4), 3).astype(np.float32)}
    probe = Probe(images, targets=np.array([0, 1, 3]))
    snapshot = Snapshot(layers, probe, {"input": images}, outputs=outputs, step=5, when="epoch 5/12")
    drawn = [views.Filters(), views.FeatureMaps(), views.Composite(), views.Predictions(), views.Attention()]
    snapshot.save(tmp_path / "run.h5")
    expected = snapshot.pictures(*drawn)
    assert {picture.tag.partition("/")[0] for picture in expected} == {view.family for view in drawn}
    with SnapshotFile(tmp_path / "run.h5") as file:
        for loaded in (Snapshot.load(tmp_path / "run.h5"), file[5]):
            found = loaded.pictures(*drawn)
            assert [picture.tag for picture in found] == [picture.tag for picture in expected]
            assert all(
                one.png() == other.png() and one.caption == other.caption
                for one, other in zip(found, expected, strict=True)
            )


def test_loading_needs_no_framework(tmp_path):
    full_snapshot().save(tmp_path / "run.h5")
    program = (
        "import sys; from layerviz_callbacks import Snapshot, SnapshotFile\n"
        "assert 'h5py' not in sys.modules\n"
        "snapshot = Snapshot.load(sys.argv[1]); snapshot.summary(); snapshot['volume'].output.sum()\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run.h5")]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "h5py" in loaded
    assert not loaded & {"torch", "keras", "tensorflow", "jax", "lightning", "tf_keras", "xarray"}


def test_without_h5py_one_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "h5py", None)
    for use in (
        lambda: small_snapshot().save(tmp_path / "run.h5"),
        lambda: Snapshot.load(tmp_path / "run.h5"),
        lambda: SnapshotFile(tmp_path / "run.h5"),
        lambda: SnapshotWriter(tmp_path / "run.h5"),
    ):
        with pytest.raises(ImportError, match=r"pip install 'layerviz_callbacks\[hdf5\]'"):
            use()


def test_arrays_are_read_when_they_are_looked_at(tmp_path):
    small_snapshot().save(tmp_path / "run.h5")
    with SnapshotFile(tmp_path / "run.h5") as file:
        layer = file[0]["conv"]
        assert not {name for name in LAZY if name in vars(layer)}
        assert layer.kernel_shape == (3, 1, 2)
        assert layer.output.shape == (2, 5, 3)
        assert layer.output is layer.output
        assert {name for name in LAZY if name in vars(layer)} == {"output"}
        copied = replace(layer, output=None)
        assert copied.output is None
        assert (copied.kernel == layer.kernel).all()
        sent = pickle.loads(pickle.dumps(file[0]["conv"]))
        assert type(sent) is Layer
        assert differences(sent, small_snapshot()["conv"]) == []
        unread = file[0]["conv"]
    with pytest.raises(SnapshotFileError, match="was closed before this was read"):
        unread.kernel  # noqa: B018


def test_the_benchmark_compares_each_precision_with_raw_files():
    script = Path(__file__).parent.parent / "benchmarks" / "store.py"
    command = [sys.executable, str(script), "--quick"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    rows = [line[26:].split() for line in result.stdout.splitlines()[1:]]
    assert [row[0] for row in rows[:4]] == [".npy", "float32", "float16", "uint8"] and len(rows) == 16
    sizes = [float(row[1]) for row in rows[8:12]]  # whole seismograms
    assert sizes[0] < sizes[1] < sizes[0] + 0.05 and sizes[1] > 1.7 * sizes[2] > 2 * sizes[3]


def test_the_probe_is_the_same_object_at_each_step(tmp_path):
    first = small_snapshot(0)
    with SnapshotWriter(tmp_path / "run.h5") as writer:
        for step in range(3):
            writer.append(replace(small_snapshot(step), probe=first.probe))
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file[0].probe is file[2].probe


def test_what_stays_the_same_is_stored_once(tmp_path):
    with SnapshotWriter(tmp_path / "run.h5") as writer:
        for step in range(3):
            kernel = np.full((64, 64, 3), step // 2, np.float32)
            writer.append(small_snapshot(step, kernel=kernel, output=floats(2, 50, 3, seed=step)))
            if step == 0:
                size = writer.file_size
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["steps/0/kernels/conv"] == file["steps/1/kernels/conv"]
        assert file["steps/1/kernels/conv"] != file["steps/2/kernels/conv"]
        assert file["steps/0/outputs/conv"] != file["steps/1/outputs/conv"]
        assert file["steps/0/probe/arrays/input"] == file["steps/2/probe/arrays/input"]
        assert file["steps/2/kernels/conv"][0, 0, 0] == 1
    assert size < (tmp_path / "run.h5").stat().st_size < 3 * size - 64 * 64 * 3 * 4


def test_the_names_of_numbers_that_stay_the_same_are_stored_once(tmp_path):
    with SnapshotWriter(tmp_path / "run.h5") as writer:
        for step, more in ((0, {}), (1, {}), (2, {"c": 3.0})):
            writer.append(small_snapshot(step, numbers={"a": float(step), "b": 2.0, **more}))
    with h5py.File(tmp_path / "run.h5") as file:
        first, second, third = (file[f"steps/{step}/numbers/names"] for step in (0, 1, 2))
        assert first == second and first != third
        assert file["steps/1/numbers/values"][()].tolist() == [1.0, 2.0]
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert [file[step].numbers for step in file.steps] == [
            {"a": 0.0, "b": 2.0}, {"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 2.0, "c": 3.0},
        ]  # fmt: skip


def test_a_file_of_before_there_was_health_has_none():
    assert read_findings({}, {}) == {"numbers": {}, "health": {}, "verdicts": ()}


def test_steps_that_are_discarded_leave_the_best_of_the_others(tmp_path):
    with SnapshotWriter(tmp_path / "run.h5") as writer:
        for step in range(6):
            writer.append(small_snapshot(step), best=step in (1, 2, 5))
        for last, best in ((4, 2), (2, 2), (1, 1), (0, None)):
            writer.discard_after(last)
            with SnapshotFile(tmp_path / "run.h5") as file:
                assert (file.steps[-1], file.best_step) == (last, best)


def test_the_initial_model_is_stored_once_and_shares_the_arrays_of_step_0(tmp_path):
    from layerviz_callbacks.snapshot import Initial

    first = small_snapshot(0)
    initial = Initial({"conv": first["conv"]})
    with SnapshotWriter(tmp_path / "run.h5") as writer:
        writer.append(first)
        for step in (1, 2):
            writer.append(replace(small_snapshot(step), initial=initial))
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["steps/1/initial"] == file["steps/2/initial"]
        assert file["steps/1/initial/kernels/conv"] == file["steps/0/kernels/conv"]
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file[0].initial is None
        assert differences(file[2].initial, initial) == []
        assert file[1].initial is file[2].initial


def test_facts_of_a_layer_that_change_are_those_of_their_step(tmp_path):
    with SnapshotWriter(tmp_path / "run.h5") as writer:
        for step, refusal in enumerate(["", "frozen", ""]):
            layer = Layer("conv", "Conv2D", 1, parameters=step, refusal=refusal)
            writer.append(Snapshot({"conv": layer}, Probe(np.zeros((1, 1))), {}, step=step))
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert [(one["conv"].parameters, one["conv"].refusal) for one in file] == [
            (0, ""), (1, "frozen"), (2, ""),
        ]  # fmt: skip


def test_errors_tell_which_steps_and_layers_there_are(tmp_path):
    small_snapshot(4).save(tmp_path / "run.h5")
    with pytest.raises(ArgumentError, match=r"There is no step 5 in .*run\.h5'\. It has 4\."):
        Snapshot.load(tmp_path / "run.h5", step=5)
    with SnapshotFile(tmp_path / "run.h5") as file:
        with pytest.raises(SelectionError, match="Did you mean 'pool'"):
            file.layer("poll", step=4)
        with pytest.raises(SelectionError, match="Did you mean 'conv'"):
            file.kernels("conv9")
        with pytest.raises(ArgumentError, match="No step of this file holds a kernel of 'pool'"):
            file.kernels("pool")
        with pytest.raises(ArgumentError, match="attribute='kernels' is not an option"):
            file.steps_with("conv", "kernels")
        for wrong in (True, "4", 4.0, None):
            with pytest.raises(ArgumentError, match="There is no step"):
                file[wrong]


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    path = tmp_path / "run.h5"
    small_snapshot(4).save(path)
    before = path.read_bytes()
    with pytest.raises(SnapshotFileError, match="nothing is written over"):
        small_snapshot(5).save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", ["", "  ", None, 3, b"run.h5", "a\0b"])
def test_what_is_no_file_name_is_refused(path):
    for use in (SnapshotFile, SnapshotWriter, Snapshot.load, small_snapshot().save):
        with pytest.raises(ArgumentError, match=r"run\.h5"):
            use(path)


def test_folders_that_are_missing_are_made_and_what_cannot_be_is_told(tmp_path):
    small_snapshot().save(tmp_path / "new" / "run.h5")
    assert (tmp_path / "new" / "run.h5").is_file()
    with pytest.raises(ArgumentError, match="is a folder"):
        small_snapshot().save(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotFileError, match="cannot be written"):
        small_snapshot().save(tmp_path / "file" / "run.h5")
    with pytest.raises(ArgumentError, match="precision='float8' is not an option"):
        small_snapshot().save(tmp_path / "other.h5", precision="float8")
    assert not (tmp_path / "other.h5").exists()
