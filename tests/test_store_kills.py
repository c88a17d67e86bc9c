"""A kill at any moment, a full disk, two writers: every complete step stays readable."""

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from stored_snapshots import differences, floats, small_snapshot

from layerviz_callbacks import Snapshot, SnapshotFile, SnapshotFileError, SnapshotWriter
from layerviz_callbacks.store import transactions
from layerviz_callbacks.store.header import HEADER_SIZE, Header
from layerviz_callbacks.store.raw_file import RawFile

h5py = pytest.importorskip("h5py")

TRAINING = textwrap.dedent("""
    import sys
    from stored_snapshots import small_snapshot
    from layerviz_callbacks import SnapshotWriter

    with SnapshotWriter(sys.argv[1], resumed=True, durable=False) as writer:
        for step in range(int(sys.argv[2]), 1_000_000):
            writer.append(small_snapshot(step))
            print(step, flush=True)
""")


def child(program, *arguments):
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True)


def assert_complete(path, steps):
    with SnapshotFile(path) as file:
        assert file.steps == tuple(steps)
        for step in steps:
            assert differences(file[step], small_snapshot(step)) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_twenty_killed_trainings_that_go_on_in_one_file_lose_no_complete_step(tmp_path):
    path, begin = tmp_path / "run.h5", 0
    for seed in range(20):
        with child(TRAINING, path, begin) as training:
            assert training.stdout.readline() == f"{begin}\n"
            time.sleep(random.Random(seed).uniform(0, 0.05))
            training.kill()
            told = [begin, *map(int, training.stdout.read().split("\n")[:-1])]
        with SnapshotFile(path) as file:
            last = file.steps[-1]
            assert file.steps == tuple(range(last + 1))
            assert last in (told[-1], told[-1] + 1)
            for step in range(begin, last + 1):
                assert differences(file[step], small_snapshot(step)) == []
        begin = last + 1
    assert_complete(path, range(begin))


class Dying(RawFile):
    """The file of a process that dies at its `fatal`-th operation, which may be done in part."""

    done = 0
    fatal = 10**9
    torn = False

    def write(self, data, place):
        if self._alive():
            super().write(data, place)
        elif self.torn and Dying.done == Dying.fatal + 1:
            super().write(memoryview(data).cast("B")[: len(data) // 2], place)

    def truncate(self, size):
        if self._alive():
            super().truncate(size)

    def _alive(self):
        Dying.done += 1
        return Dying.done <= self.fatal


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_at_each_single_operation_leaves_the_step_whole_or_absent(torn, monkeypatch, tmp_path):
    with SnapshotWriter(tmp_path / "run.h5") as writer:
        for step in range(3):
            writer.append(small_snapshot(step))
    before, again = (tmp_path / "run.h5").read_bytes(), small_snapshot(1, kernel=floats(3, 1, 2, seed=99))
    monkeypatch.setattr(transactions, "RawFile", Dying)
    monkeypatch.setattr(Dying, "torn", torn)

    def append(fatal):
        path = tmp_path / f"dead at {fatal}.h5"
        path.write_bytes(before)
        monkeypatch.setattr(Dying, "done", 0)
        monkeypatch.setattr(Dying, "fatal", fatal)
        with (
            SnapshotWriter(path, resumed=True, durable=False) as writer,
            contextlib.suppress(Exception),  # what a dead process thinks counts no more
        ):
            writer.append(small_snapshot(3))
            writer.append(again)
        return path

    append(10**9)
    operations = Dying.done
    assert operations > 40
    seen = []
    for fatal in range(operations):
        path = append(fatal)
        with SnapshotFile(path) as file:
            for step in {*file.steps} - {1}:
                assert differences(file[step], small_snapshot(step)) == []
            replaced = differences(file[1], again) == []
            assert replaced or differences(file[1], small_snapshot(1)) == []
            seen.append((file.steps, replaced))
        monkeypatch.setattr(Dying, "fatal", 10**9)
        if fatal % 5 == 0:  # whoever goes on completes what was begun
            with SnapshotWriter(path, resumed=True, durable=False) as writer:
                writer.append(small_snapshot(4))
            with h5py.File(path) as file:
                assert list(file["steps"]) == [*map(str, seen[-1][0]), "4"]
            with SnapshotFile(path) as file:
                assert [differences(file[step], small_snapshot(step)) for step in (0, 2, 4)] == [[], [], []]
        path.unlink()
    assert set(seen) == {((0, 1, 2), False), ((0, 1, 2, 3), False), ((0, 1, 2, 3), True)}
    assert seen == sorted(seen)


def test_a_change_that_was_begun_is_read_as_it_is_meant_and_then_completed(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    with SnapshotWriter(path) as writer:
        writer.append(small_snapshot(0))
        kept = []

        def dies(self, changes, after):
            kept.extend(changes)
            self._file.write(*changes[0][::-1])  # the first of several
            raise KeyboardInterrupt

        monkeypatch.setattr(transactions.TransactedFile, "_carry_out", dies)
        with pytest.raises(KeyboardInterrupt):
            writer.append(small_snapshot(1))
        monkeypatch.undo()
        assert len(kept) > 1
        assert Header.unpacked(path.read_bytes()[:HEADER_SIZE]).pending_size > 0
        assert_complete(path, [0, 1])
        writer.append(small_snapshot(2))
    assert Header.unpacked(path.read_bytes()[:HEADER_SIZE]).pending_size == 0
    assert_complete(path, [0, 1, 2])
    with h5py.File(path) as file:
        assert list(file["steps"]) == ["0", "1", "2"]


def test_a_damaged_record_of_a_change_is_told(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    with SnapshotWriter(path) as writer:
        monkeypatch.setattr(transactions.TransactedFile, "_carry_out", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writer.append(small_snapshot(0))
        monkeypatch.undo()
    os.truncate(path, path.stat().st_size - 1)
    for use in (SnapshotFile, lambda path: SnapshotWriter(path, resumed=True)):
        with pytest.raises(SnapshotFileError, match="damaged"):
            use(path)


@pytest.mark.parametrize("fails_at", [1, 5, 20])
def test_a_full_disk_loses_the_step_alone(fails_at, tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    writes = 0

    class Full(RawFile):
        full = False

        def write(self, data, place):
            nonlocal writes
            writes += 1
            if Full.full and writes >= fails_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().write(data, place)

    monkeypatch.setattr(transactions, "RawFile", Full)
    with SnapshotWriter(path) as writer:
        writer.append(small_snapshot(0))
        size = writer.file_size
        Full.full, writes = True, 0
        for _ in range(2):
            with pytest.raises(SnapshotFileError, match="No space left on device"):
                writer.append(small_snapshot(1))
        assert writer.file_size == size
        Full.full = False
        assert_complete(path, [0])
        writer.append(small_snapshot(2))
    assert_complete(path, [0, 2])
    with h5py.File(path) as file:
        assert list(file["steps"]) == ["0", "2"]


def test_a_snapshot_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "run.h5"
    with SnapshotWriter(path) as writer:
        writer.append(small_snapshot(0))
        before = path.read_bytes()
        with pytest.raises(ValueError, match="could not convert"):
            writer.append(small_snapshot(1, metrics={"loss": "none"}))
        assert path.read_bytes() == before
        writer.append(small_snapshot(1))
    assert_complete(path, [0, 1])


def test_a_file_that_was_deleted_meanwhile_is_told(tmp_path):
    with SnapshotWriter(tmp_path / "run.h5") as writer:
        writer.append(small_snapshot(0))
        (tmp_path / "run.h5").unlink()
        with pytest.raises(SnapshotFileError, match="was deleted or moved"):
            writer.append(small_snapshot(1))


def test_two_trainings_in_one_file_are_told(tmp_path):
    path = tmp_path / "run.h5"
    with SnapshotWriter(path) as one, SnapshotWriter(path, resumed=True) as other:
        one.append(small_snapshot(0))
        with pytest.raises(SnapshotFileError, match="another training"):
            other.append(small_snapshot(1))
        one.append(small_snapshot(2))
    assert_complete(path, [0, 2])


READER = textwrap.dedent("""
    import sys
    from stored_snapshots import differences, small_snapshot
    from layerviz_callbacks import SnapshotFile

    with SnapshotFile(sys.argv[1]) as file:
        seen = 0
        while len(file) < int(sys.argv[2]):
            steps = file.steps
            assert steps == tuple(range(len(steps))), steps
            for step in steps[-2:]:
                assert differences(file[step], small_snapshot(step, metrics={"loss": 1.0})) == []
            assert len(file.kernels("conv", steps=steps)) == len(steps)
            assert len(file.metrics["loss"]) >= len(steps)
            seen += 1
    print(seen)
""")


def test_two_processes_read_while_one_writes_and_see_complete_steps_alone(tmp_path):
    path, count = tmp_path / "run.h5", 60
    with SnapshotWriter(path, durable=False) as writer:
        writer.append(small_snapshot(0, metrics={"loss": 1.0}))
        readers = [child(READER, path, count) for _ in range(2)]
        try:
            for step in range(1, count - 1):
                writer.append(small_snapshot(step, metrics={"loss": 1.0}))
                time.sleep(0.03)
            writer.append(small_snapshot(count - 1, metrics={"loss": 1.0}))
            rounds = [int(reader.communicate(timeout=60)[0]) for reader in readers]
        finally:
            for reader in readers:
                reader.kill()
                reader.wait()
                reader.stdout.close()
    assert [reader.returncode for reader in readers] == [0, 0]
    assert min(rounds) > 0


def test_plain_h5py_reads_between_two_steps_without_further_ado(tmp_path):
    path = tmp_path / "run.h5"
    program = "import sys, h5py\nwith h5py.File(sys.argv[1]) as file: print(*file['steps'])"
    with SnapshotWriter(path) as writer:
        for step in range(2):
            writer.append(small_snapshot(step))
            with child(program, path) as reader:
                assert reader.stdout.read().split() == [str(one) for one in range(step + 1)]


def test_a_file_that_is_open_follows_what_is_written(tmp_path):
    path = tmp_path / "run.h5"
    with SnapshotWriter(path) as writer, SnapshotFile(path) as file:
        assert file.steps == () and file.layers == () and file.metrics == {} and file.best_step is None
        with pytest.raises(SnapshotFileError, match="holds no step yet"):
            Snapshot.load(path)
        writer.append(small_snapshot(0), best=True)
        assert file.steps == (0,) and file.layers == ("conv", "pool") and file.best_step == 0
        old = file[0]
        again = small_snapshot(0, kernel=floats(3, 1, 2, seed=77))
        writer.append(again)
        with pytest.raises(SnapshotFileError, match="was written again since"):
            old["conv"].kernel  # noqa: B018
        assert differences(file[0], again) == []
        assert file.best_step is None  # what was the best is gone


def test_what_h5py_added_meanwhile_stays(tmp_path):
    path = tmp_path / "run.h5"
    with SnapshotWriter(path) as writer:
        writer.append(small_snapshot(0))
    with h5py.File(path, "r+") as file:
        file["notes"] = np.arange(1000)
    with SnapshotWriter(path, resumed=True) as writer:
        writer.append(small_snapshot(1))
    assert_complete(path, [0, 1])
    with h5py.File(path) as file:
        assert (file["notes"][()] == np.arange(1000)).all()
