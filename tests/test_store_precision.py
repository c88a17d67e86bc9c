"""Fewer bits: what is lost stays within the bound that is stated, and what counts stays exact."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from hypothesis.extra.numpy import array_shapes, arrays
from stored_snapshots import differences, floats, full_snapshot, small_snapshot

from layerviz_callbacks import Snapshot, SnapshotFile, SnapshotWriter
from layerviz_callbacks.store.precision import decode, encode

h5py = pytest.importorskip("h5py")


def through(values, precision, axis=-1):
    return decode(encode(values, precision, axis), axis)


any_floats = strategies.floats(width=32, allow_nan=True, allow_infinity=True)
any_arrays = arrays(np.float32, array_shapes(min_dims=1, max_dims=5, max_side=5), elements=any_floats)


@settings(max_examples=200, deadline=None)
@given(any_arrays)
def test_float16_keeps_marks_and_zeros_and_loses_no_more_than_is_stated(values):
    found = through(values, "float16")
    finite = np.isfinite(values)
    assert found.dtype == np.float32
    assert (np.isnan(found) == np.isnan(values)).all()
    assert (found[~finite & ~np.isnan(values)] == values[~finite & ~np.isnan(values)]).all()
    assert (found[values == 0] == 0).all()
    if finite.any():
        exact, largest = values[finite].astype(np.float64), float(np.abs(values[finite]).max())
        bound = np.maximum(np.abs(exact) * 2.0**-11, largest * 2.0**-23) + 2.0**-149
        assert (np.abs(found[finite] - exact) <= bound).all()


@settings(max_examples=200, deadline=None)
@given(any_arrays)
def test_uint8_keeps_marks_and_zeros_and_loses_no_more_than_is_stated(values):
    found = through(values, "uint8")
    finite = np.isfinite(values)
    assert found.dtype == np.float32
    assert (np.isnan(found) == np.isnan(values)).all()
    assert (found[~finite & ~np.isnan(values)] == values[~finite & ~np.isnan(values)]).all()
    assert (found[values == 0] == 0).all()
    for channel in range(values.shape[-1]):
        counted = values[..., channel]
        counted = counted[np.isfinite(counted) & (counted != 0)].astype(np.float64)
        if counted.size:
            had = values[..., channel]
            left = found[..., channel][np.isfinite(had) & (had != 0)]
            rounding = np.abs(counted) * 2.0**-24 + 2.0**-149
            assert (np.abs(left - counted) <= np.ptp(counted) / 500 + rounding).all()


def test_a_stated_bound_is_reached_so_that_it_is_not_too_wide():
    values = np.linspace(1, 2, 10_001, dtype=np.float32)[:, None]
    lost = np.abs(through(values, "uint8") - values).max()
    assert 0.99 / 502 < lost <= 1 / 500


def test_small_numbers_beside_large_ones_by_hand():
    encoded = encode(np.array([[0, 1.0], [2.0, 1.0], [4.51, 1.0], [253.0, np.nan]], np.float32), "uint8", -1)
    assert encoded.levels.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert encoded.stored.tolist() == [[0, 1], [1, 1], [4, 1], [252, 255]]
    assert encode(np.array([[np.inf, -np.inf]], np.float32), "uint8", -1).stored.tolist() == [[254, 253]]


def test_an_active_unit_stays_active_and_a_dead_one_dead():
    output = np.maximum(floats(4, 9, 9, 8) * np.logspace(-6, 6, 8, dtype=np.float32), 0)
    output[..., 3] = 0
    for precision in ("float16", "uint8"):
        assert ((through(output, precision) > 0) == (output > 0))[..., 4:].all()
        assert not through(output, precision)[..., 3].any()
    assert ((through(output, "uint8") > 0) == (output > 0)).all()


@pytest.mark.parametrize("size", [1e-30, 1e-9, 1.0, 1e6, 3e38])
def test_gradients_do_not_vanish_in_float16_and_nothing_overflows(size):
    values = (np.array([1.0, -0.5, 0.01]) * size).astype(np.float32)
    assert np.allclose(through(values, "float16"), values, rtol=2.0**-11, atol=0)


def test_float16_within_its_range_is_what_numpy_makes_of_it():
    values = floats(100)
    encoded = encode(values, "float16", -1)
    assert encoded.scale == 1.0
    assert (encoded.stored == values.astype(np.float16)).all()


def test_float64_becomes_float32_and_stays_finite():
    found = through(np.array([1e300, -1e300, np.inf, np.nan, 0.1]), "float32")
    largest = np.finfo(np.float32).max
    assert found.dtype == np.float32
    assert found[:3].tolist() == [largest, -largest, np.inf]
    assert np.isnan(found[3]) and found[4] == np.float32(0.1)


@pytest.mark.parametrize("precision", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1,), ()])
def test_what_is_empty_or_alone_passes(shape, precision):
    values = np.full(shape, 1.5, np.float32)
    found = through(values, precision)
    assert found.shape == shape
    assert (found == values).all()


@pytest.mark.parametrize("precision", ["float32", "float16", "uint8"])
def test_integers_and_truth_values_are_stored_as_they_are(precision):
    for values in (np.arange(300), np.array([True, False])):
        assert differences(through(values, precision), values) == []


@pytest.mark.parametrize("precision", ["float16", "uint8"])
def test_a_file_of_few_bits_holds_all_else_exactly(precision, tmp_path):
    snapshot = full_snapshot()
    snapshot.save(tmp_path / "run.h5", precision=precision)
    told = differences(snapshot, Snapshot.load(tmp_path / "run.h5"))
    assert told  # something was lost
    lossy = (".kernel: ", ".output: ", ".attention: ", ".gradients[")
    assert [words for words in told if not any(mark in words for mark in lossy)] == []
    loaded = Snapshot.load(tmp_path / "run.h5")
    conv, found = snapshot["backbone/conv 1"], loaded["backbone/conv 1"]
    assert (np.isnan(conv.output) == np.isnan(found.output)).all()
    assert (np.isposinf(conv.kernel) == np.isposinf(found.kernel)).all()
    attention = snapshot["attention"].attention
    for head in range(2):  # each has levels of its own
        lost = np.abs(loaded["attention"].attention[:, head] - attention[:, head]).max()
        assert 0 < lost <= np.ptp(attention[:, head]) / 500 + 1e-6


@pytest.mark.parametrize(("precision", "share"), [("float16", 0.5), ("uint8", 0.25)])
def test_fewer_bits_make_a_smaller_file(precision, share, tmp_path):
    snapshot = small_snapshot(kernel=floats(128, 128, 3), output=floats(4, 1000, 64))
    snapshot.save(tmp_path / "whole.h5")
    snapshot.save(tmp_path / "less.h5", precision=precision)
    whole, less = (tmp_path / name for name in ("whole.h5", "less.h5"))
    assert less.stat().st_size < (share + 0.02) * whole.stat().st_size


@pytest.mark.parametrize("precision", ["float16", "uint8"])
def test_a_frozen_kernel_of_few_bits_is_stored_once_too(precision, tmp_path):
    kernel = floats(3, 1, 2)
    with SnapshotWriter(tmp_path / "run.h5", precision=precision) as writer:
        for step in range(2):
            writer.append(small_snapshot(step, kernel=kernel))
        writer.append(small_snapshot(2, kernel=kernel * 1000))  # the same codes with another scale
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["steps/0/kernels/conv"] == file["steps/1/kernels/conv"]
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert np.allclose(file[2]["conv"].kernel, kernel * 1000, rtol=0.01, atol=np.ptp(kernel) * 2)
        assert np.abs(file[1]["conv"].kernel - kernel).max() <= np.ptp(kernel) / 500
