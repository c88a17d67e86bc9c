"""Which step of a training a checkpoint is: what it says itself, its name, or when it was written."""

from pathlib import Path

import pytest

from layerviz_callbacks import SnapshotWriter
from layerviz_callbacks.replaying.checkpoint_files import find_checkpoints, natural
from layerviz_callbacks.replaying.numbering import Inside, numbered


def steps_of(*names, inside=None):
    """The unit, the step of each file by its name, and the files that are left out."""
    files = sorted(map(Path, names), key=natural)
    found = numbered(files, {Path(name): said for name, said in (inside or {}).items()})
    assert [one.step for one in found.checkpoints] == sorted(one.step for one in found.checkpoints)
    return (
        found.unit,
        {one.path.name: one.step for one in found.checkpoints},
        sorted(path.name for path in found.left_out),
    )


@pytest.mark.parametrize(
    ("names", "unit", "steps"),
    [
        (["model.05-0.12.keras", "model.10-0.08.keras"], "epoch", [5, 10]),
        (["weights.9.weights.h5", "weights.10.weights.h5"], "epoch", [9, 10]),
        (["resnet50-1-0.9.pt", "resnet50-2-0.9.pt"], "epoch", [1, 2]),
        (["net_epoch_3_loss_0.25.pt", "net_epoch_4_loss_0.50.pt"], "epoch", [3, 4]),
        (["unet-step-1000.safetensors", "unet-step-2000.safetensors"], "step", [1000, 2000]),
        (["iter_20.pth", "iter_100.pth"], "step", [20, 100]),
        (["epoch=0-step=12.ckpt", "epoch=1-step=24.ckpt"], "epoch", [1, 2]),  # Lightning counts from 0
        (["digits-epoch=09-val_loss=0.32.ckpt"], "epoch", [10]),
        (["epoch=01.keras", "epoch=02.keras"], "epoch", [1, 2]),  # Keras counts from 1
        (["m-00.keras", "m-01.keras"], "epoch", [0, 1]),
    ],
)
def test_numbers_are_found_in_names_and_losses_are_none(names, unit, steps):
    found_unit, found, left_out = steps_of(*names)
    assert (found_unit, found) == (unit, dict(zip(names, steps, strict=True)))
    assert left_out == []


def test_what_names_say_of_metrics_is_kept():
    (one,) = numbered([Path("net-epoch=3-val_loss=0.25-acc=0.75.ckpt")]).checkpoints
    assert one.metrics == {"val_loss": 0.25, "acc": 0.75}


def test_a_file_without_a_number_among_numbered_ones_is_left_out():
    _, found, left_out = steps_of("best.keras", "cp-1.keras", "cp-2.keras")
    assert found == {"cp-1.keras": 1, "cp-2.keras": 2}
    assert left_out == ["best.keras"]


def test_what_lightning_wrote_goes_before_the_name():
    said = {"a.ckpt": Inside(2, 20), "b.ckpt": Inside(1, 10), "last.ckpt": Inside(2, 20)}
    unit, found, left_out = steps_of(*said, inside=said)
    assert (unit, found, left_out) == ("epoch", {"b.ckpt": 1, "a.ckpt": 2}, ["last.ckpt"])


def test_two_checkpoints_of_one_epoch_are_told_apart_by_optimizer_steps():
    said = {"a.ckpt": Inside(1, 10), "b.ckpt": Inside(1, 15), "c.ckpt": Inside(2, 20)}
    unit, found, _ = steps_of(*said, inside=said)
    assert (unit, found) == ("step", {"a.ckpt": 10, "b.ckpt": 15, "c.ckpt": 20})


def test_a_checkpoint_within_an_epoch_is_counted_in_optimizer_steps():
    said = {"a.ckpt": Inside(None, 7), "b.ckpt": Inside(1, 10)}
    assert steps_of(*said, inside=said)[:2] == ("step", {"a.ckpt": 7, "b.ckpt": 10})


def test_a_file_that_could_not_be_read_keeps_its_place_by_its_name():
    said = {"epoch=0.ckpt": Inside(1, 10), "epoch=2.ckpt": Inside(3, 30)}
    _, found, left_out = steps_of("epoch=0.ckpt", "epoch=1.ckpt", "epoch=2.ckpt", inside=said)
    assert found == {"epoch=0.ckpt": 1, "epoch=1.ckpt": 2, "epoch=2.ckpt": 3}
    assert left_out == []


def test_a_hand_written_epoch_counts_where_names_say_nothing():
    said = {"a.pt": Inside(number=8), "b.pt": Inside(number=4)}
    assert steps_of("a.pt", "b.pt", inside=said)[1] == {"b.pt": 4, "a.pt": 8}
    said = {"a-1.pt": Inside(number=8), "a-2.pt": Inside(number=4)}
    assert steps_of("a-1.pt", "a-2.pt", inside=said)[1] == {"a-1.pt": 1, "a-2.pt": 2}


def test_a_file_of_snapshots_beside_checkpoints_is_none_of_them(tmp_path):
    pytest.importorskip("h5py")
    SnapshotWriter(tmp_path / "run.h5").close()
    (tmp_path / "epoch=1-step=4.ckpt").touch()
    assert find_checkpoints(tmp_path) == [tmp_path / "epoch=1-step=4.ckpt"]
