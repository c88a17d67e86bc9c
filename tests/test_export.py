import numpy as np
import pytest

from layerviz_callbacks import Layer, Probe, SinkError, Snapshot


def snapshot_of(names, **options):
    x = np.arange(2 * 6.0).reshape(2, 6, 1)
    output = np.arange(2 * 6 * 3.0, dtype=np.float32).reshape(2, 6, 3)
    conv = Layer(
        "block/conv", "Conv1D", 1, kernel_shape=(3, 1, 5), kernel=np.ones((3, 1, 5), np.float32),
        weights={"bias": np.zeros(3, np.float32)}, output_shape=output.shape, output=output,
    )  # fmt: skip
    pool = Layer("pool", "MaxPooling1D", 2, output_shape=(2, 3, 3))
    return Snapshot(
        {"block/conv": conv, "pool": pool}, Probe(x, names=names, **options), {"input": x},
        outputs={"output": np.array([[0.25], [0.75]])},
    )  # fmt: skip


def test_every_array_is_written_a_sample_a_file(tmp_path):
    snapshot = snapshot_of(["event", "noise"], targets=[1, 0])
    written = snapshot.export(tmp_path / "arrays")
    files = {path.relative_to(tmp_path / "arrays").as_posix(): np.load(path) for path in written}
    assert sorted(files) == [
        "01_block.conv/kernel.npy",
        "01_block.conv/output/event.npy",
        "01_block.conv/output/noise.npy",
        "01_block.conv/weight bias.npy",
        "inputs/input/event.npy",
        "inputs/input/noise.npy",
        "outputs/output/event.npy",
        "outputs/output/noise.npy",
        "targets.npy",
    ]
    np.testing.assert_array_equal(files["01_block.conv/output/noise.npy"], snapshot["block/conv"].output[1])
    np.testing.assert_array_equal(files["inputs/input/event.npy"], np.arange(6.0)[:, None])
    np.testing.assert_array_equal(files["outputs/output/noise.npy"], [0.75])
    np.testing.assert_array_equal(files["targets.npy"], [1, 0])


def test_samples_of_one_name_do_not_overwrite_each_other(tmp_path):
    snapshot_of(["a/b", "a.b"]).export(tmp_path)
    assert sorted(path.name for path in (tmp_path / "01_block.conv" / "output").iterdir()) == [
        "a.b (2).npy", "a.b.npy",
    ]  # fmt: skip


def test_no_name_leads_out_of_the_folder(tmp_path):
    inner = tmp_path / "inner"
    written = snapshot_of(["../../up", ".."]).export(inner)
    assert all(inner in path.resolve().parents for path in written)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SinkError, match=r"snapshot\.export"):
        snapshot_of(["a", "b"]).export(tmp_path / "taken")
