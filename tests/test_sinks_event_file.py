"""The record framing and the file: against bytes worked out by hand and against TensorFlow's reader."""

import errno
import os
import struct
import subprocess
import sys
import threading
import time
from io import FileIO

import pytest

from layerviz_callbacks.sinks import event_file
from layerviz_callbacks.sinks.event_file import EventFile, event_files, masked_checksum, record
from layerviz_callbacks.sinks.events import FILE_VERSION, text_event


def bitwise_checksum(data: bytes) -> int:
    """CRC-32C by its definition: polynomial division bit by bit, reflected polynomial 0x82F63B78."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def records_of(content: bytes) -> list[bytes]:
    """The records up to the last complete one, with every checksum checked."""

    def checked(part: bytes, stored: bytes) -> bytes:
        checksum = bitwise_checksum(part)
        mask = ((checksum >> 15 | checksum << 17) + 0xA282EAD8) % 2**32
        assert struct.unpack("<I", stored)[0] == mask
        return part

    found, place = [], 0
    while place + 12 <= len(content):
        size = struct.unpack("<Q", checked(content[place : place + 8], content[place + 8 : place + 12]))[0]
        if place + size + 16 > len(content):
            break
        found.append(
            checked(content[place + 12 : place + 12 + size], content[place + 12 + size : place + 16 + size])
        )
        place += size + 16
    return found


def events_of(path) -> list:
    from tensorboard.compat.proto.event_pb2 import Event

    return [Event.FromString(data) for data in records_of(path.read_bytes())]


def test_the_bitwise_checksum_gives_the_published_vectors():
    assert bitwise_checksum(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert bitwise_checksum(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def test_a_masked_checksum_worked_out_by_hand():
    # 0xE3069283 rotated right by 15: its low 15 bits, 0x1283, come to the top: 0x2506 << 16 | 0x1C60D
    # = 0x2506_0000 + 0x1_C60D = 0x2507_C60D; plus 0xA282_EAD8 = 0xC78A_B0E5.
    assert masked_checksum(b"123456789") == 0xC78AB0E5


def test_a_record_byte_by_byte():
    # the length 9 as 8 bytes, the masked CRC-32C of them, the data, the masked CRC-32C of the data
    assert record(b"123456789").hex(" ") == (
        "09 00 00 00 00 00 00 00 37 f9 71 39 31 32 33 34 35 36 37 38 39 e5 b0 8a c7"
    )


def test_a_new_file_begins_with_the_version_and_is_recognised(tmp_path):
    file = EventFile(tmp_path)
    file.close()
    first = events_of(file.path)
    assert [event.file_version for event in first] == [FILE_VERSION] == ["brain.Event:2"]
    assert event_files(tmp_path) == [file.path]
    assert file.path.name.startswith("events.out.tfevents.")


def test_an_event_is_on_disk_as_soon_as_it_is_appended(tmp_path):
    file = EventFile(tmp_path)
    file.append(text_event("a", "one", 1))
    assert [event.step for event in events_of(file.path)] == [0, 1]
    file.close()


def test_a_program_that_is_killed_leaves_a_whole_file(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from layerviz_callbacks.sinks.event_file import EventFile\n"
        "from layerviz_callbacks.sinks.events import text_event\n"
        "file = EventFile(pathlib.Path(sys.argv[1]))\n"
        "[file.append(text_event('a', 'x' * 1000, step)) for step in range(20)]\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    assert [event.step for event in events_of(event_files(tmp_path)[0])[1:]] == list(range(20))


def test_a_truncated_file_stays_readable_up_to_its_last_whole_record(tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    file = EventFile(tmp_path)
    for step in (1, 2, 3):
        file.append(text_event("a", "text", step))
    file.close()
    file.path.write_bytes(file.path.read_bytes()[:-5])
    assert [event.step for event in EventFileLoader(str(file.path)).Load()] == [0, 1, 2]


def test_tensorflow_reads_all_records(tmp_path):
    import tensorflow as tf

    file = EventFile(tmp_path)
    sent = [text_event("a", "x" * size, size) for size in (0, 1, 1000, 70_000)]
    for event in sent:
        file.append(event)
    file.close()
    read = [raw.numpy() for raw in tf.data.TFRecordDataset(str(file.path))]
    assert read[1:] == sent


def test_tensorflow_refuses_a_record_with_a_flipped_bit(tmp_path):
    import tensorflow as tf

    content = bytearray(record(b"123456789"))
    content[14] ^= 1
    path = tmp_path / "flipped"
    path.write_bytes(content)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))


def test_two_files_of_one_second_have_different_names_in_order(tmp_path):
    files = [EventFile(tmp_path) for _ in range(12)]
    paths = [file.path for file in files]
    for file in files:
        file.close()
    assert len(set(paths)) == 12
    assert sorted(paths) == paths


def test_a_new_file_sorts_behind_the_earlier_ones_even_with_a_clock_that_is_behind(tmp_path):
    ahead = tmp_path / "events.out.tfevents.4000000000.host.1.0.layerviz"
    ahead.write_bytes(b"")
    file = EventFile(tmp_path)
    file.close()
    assert event_files(tmp_path) == [ahead, file.path]


def test_the_same_name_in_the_same_second_is_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(event_file.time, "time", lambda: 1000.0)
    monkeypatch.setattr(event_file, "_NAME", event_file.re.compile("nothing"))  # as if both came at once
    first, second = EventFile(tmp_path), EventFile(tmp_path)
    first.close()
    second.close()
    assert first.path != second.path


class SmallDisk(FileIO):
    """A file that takes at most 1000 bytes at once and `room` bytes in all."""

    room = 10**9

    def write(self, data):
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        time.sleep(0)  # let another thread run
        written = super().write(data[: min(self.room, 1000)])
        self.room -= written
        return written


def test_an_event_that_does_not_fit_on_the_disk_is_taken_back_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(event_file, "FileIO", SmallDisk)
    file = EventFile(tmp_path)
    file.append(text_event("a", "kept", 1))
    whole = file.path.read_bytes()
    file._file.room = 10
    with pytest.raises(OSError, match="No space left"):
        file.append(text_event("a", "lost", 2))
    assert file.path.read_bytes() == whole
    file._file.room = 10**6
    file.append(text_event("a", "kept again", 3))
    file.close()
    assert [event.step for event in events_of(file.path)] == [0, 1, 3]


def test_a_file_that_does_not_fit_on_the_disk_at_all_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(event_file, "FileIO", SmallDisk)
    monkeypatch.setattr(SmallDisk, "room", 10)
    with pytest.raises(OSError, match="No space left"):
        EventFile(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_threads_may_write_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(event_file, "FileIO", SmallDisk)  # in pieces, so that others could come between
    file = EventFile(tmp_path)
    threads = [
        threading.Thread(target=lambda: [file.append(text_event("a", "x" * 5000, 7)) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    assert len(events_of(file.path)) == 1 + 4 * 20


def test_check_notices_a_deleted_file(tmp_path):
    file = EventFile(tmp_path)
    file.check()
    file.path.unlink()
    with pytest.raises(FileNotFoundError):
        file.check()
    file.close()
    file.close()
