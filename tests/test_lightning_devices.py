"""Several processes on Lightning's own engines: two of them, on the CPU, connected by gloo."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from statistics_oracles import assert_output_statistics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch_models import images, same

from layerviz_callbacks import ArgumentError, SnapshotFile
from layerviz_callbacks.lightning.strategies import processes_of

HERE = Path(__file__).parent
SHARDED = ["fsdp_1", "fsdp_2"]
TOGETHER = [  # the model is recorded, and training is the same
    "ddp",
    "ddp_static",
    "every_step_is_recorded",
    "metrics_gather_in_validation",
    "the_forward_pass_gathers",
    "processes_have_batches_of_different_length",
    "forward_is_given",
    "fsdp_1_and_forward_is_given",
    "batches_cannot_be_sent",
    *SHARDED,
]
LOOKED_AT = [  # gradients are read of the model, and training is the same
    "gradients_where_the_forward_pass_gathers",
    "fsdp_1_and_gradients",
    "fsdp_2_and_gradients",
]
FAULTS = [  # the model is not recorded further, and training is the same
    "a_gathering_view_fails_in_the_first_process",
    "the_reader_fails_in_the_second_process",
    "fsdp_1_with_a_view_that_fails",
    "fsdp_2_with_a_view_that_fails",
]
RAISED = {  # what both processes say
    "a_view_fails_and_raises": "on purpose",
    "the_folder_cannot_be_written_by_the_first_process": "file",
    "layers_match_nothing": "Did you mean 'net.conv'",
    "the_step_fails_in_the_second_process": "on purpose",
    "the_processes_show_the_probe_in_different_ways": "LayerVizCallback(forward=",
}
OTHERS = ["files_are_written_once", "training_is_stopped_early", "the_best_epoch_is_kept"]
CASES = [*TOGETHER, *LOOKED_AT, *FAULTS, *RAISED, *OTHERS, "a_view_is_interrupted"]
EVERYTHING = bool(os.environ.get("LAYERVIZ_TEST_ALL"))
LIMIT = 150  # seconds; a deadlock fails, it does not hang


def search_path():
    return os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """`results(case)`: what each process gave back, after all cases were run in one pair of processes."""
    folder = tmp_path_factory.mktemp("processes")
    for case in CASES:
        (folder / case).mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in (0, 1):
        environment = {
            **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": search_path(),
        }  # fmt: skip
        with (folder / f"log.{rank}").open("w") as log:
            command = [sys.executable, str(HERE / "lightning_processes.py"), str(folder), *CASES]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    end = time.monotonic() + LIMIT
    try:
        for process in processes:
            process.wait(max(1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        for process in processes:
            process.kill()
            process.wait()

    def of(case):
        paths = [folder / f"{case}.{rank}" for rank in (0, 1)]
        if not all(path.exists() for path in paths):
            logs = "\n".join((folder / f"log.{rank}").read_text()[-3000:] for rank in (0, 1))
            pytest.fail(f"{case} did not end in both processes:\n{logs}")
        return [torch.load(path, weights_only=False) for path in paths]

    of.folder = folder
    return of


@pytest.mark.parametrize("case", [*TOGETHER, *LOOKED_AT, *FAULTS])
def test_training_is_the_same_in_every_process_bit_for_bit(results, case):
    for result in results(case):
        assert result["error"] == ""
        assert same(result["with"], result["without"])


@pytest.mark.parametrize("case", TOGETHER)
def test_the_first_process_draws_and_writes_and_the_other_does_neither(results, case):
    first, other = results(case)
    assert first["steps"] == ([0, 1, 2, 3, 4] if case == "every_step_is_recorded" else [0, 1, 2])
    assert first["location"] == "memory" and first["calls"] > 2
    assert other["steps"] == [] and other["location"] == "" and other["calls"] == 0


@pytest.mark.parametrize("case", TOGETHER)
def test_layers_have_their_names_and_kernels_their_shapes_without_wrappers(results, case):
    layers = results(case)[0]["layers"]
    named = {name: None if kernel is None else kernel.shape for name, (_, kernel, _) in layers.items()}
    assert {name: named[name] for name in named if name.startswith("net.")} == {
        "net.conv": (4, 1, 3, 3), "net.norm": None, "net.act": None, "net.drop": None, "net.head": (3, 144),
    }  # fmt: skip


@pytest.mark.parametrize("case", ["ddp", "metrics_gather_in_validation", "batches_cannot_be_sent"])
def test_outputs_are_those_of_plain_pytorch_for_the_first_process_data(results, case):
    first = results(case)[0]
    for name in ("net.conv", "net.head"):
        np.testing.assert_array_equal(first["layers"][name][2], first["outputs"][name])
    np.testing.assert_array_equal(first["inputs"]["input"][..., 0], first["outputs"]["x"][:, 0])


def test_gradients_are_read_together_where_the_forward_pass_gathers(results):
    first, other = results("gradients_where_the_forward_pass_gathers")
    assert first["unread"] == {}
    assert first["gradient"].shape == (2, 6, 6, 4) and first["gradient"].any()
    assert first["of "].shape == first["of net.conv"].shape == (4, 1, 8, 8)
    np.testing.assert_allclose(first["of net.conv"][::2], first["of net.conv"][1::2])
    assert "gradient" not in other  # it runs along


@pytest.mark.parametrize("case", ["fsdp_1_and_gradients", "fsdp_2_and_gradients"])
def test_sharded_models_have_scores_and_no_gradients_and_the_reason_is_told(results, case):
    first = results(case)[0]
    assert first["score"].shape == (2,) and first["gradient"] is None
    for told in (first["unread"]["gradients of net.conv"], first["of "], first["of net.conv"]):
        assert "sharded over several processes" in told


@pytest.mark.parametrize("case", SHARDED)
def test_sharded_weights_are_gathered_and_outputs_are_theirs(results, case):
    first = results(case)[0]
    shown = images(10, seed=2)[0][[0, 2, 4, 6]]
    np.testing.assert_array_equal(first["inputs"]["input"][..., 0], shown[:, 0].numpy())
    kernel, output = first["layers"]["net.conv"][1:]
    without_bias = torch.nn.functional.conv2d(shown, torch.tensor(kernel)).permute(0, 2, 3, 1).numpy()
    bias = (output - without_bias)[0, 0, 0]
    np.testing.assert_allclose(output, without_bias + bias, atol=1e-6)
    kernel, output = first["layers"]["net.head"][1:]
    features = first["layers"]["net.act"][2].transpose(0, 3, 1, 2).reshape(4, -1)
    bias = (output - features @ kernel.T)[0]
    np.testing.assert_allclose(output, features @ kernel.T + bias, atol=1e-5)
    if case == "fsdp_2":  # each process holds two of the four kernels
        parts = [result["with"]["weights"]["net.conv.weight"].numpy() for result in results(case)]
        assert [part.shape for part in parts] == [(2, 1, 3, 3)] * 2
        np.testing.assert_array_equal(np.concatenate(parts), first["layers"]["net.conv"][1])


@pytest.mark.parametrize("case", ["ddp", "forward_is_given", *SHARDED])
def test_statistics_are_those_of_the_whole_model_in_whatever_way_it_is_trained(results, case):
    first = results(case)[0]
    for name in ("net.conv", "net.head"):
        _, kernel, output = first["layers"][name]
        found = first["statistics"][name]
        assert_output_statistics(found.output, output)
        np.testing.assert_array_equal(found.weights.values, kernel.reshape(len(kernel), -1))
        known = case not in SHARDED  # of a weight in parts neither is said
        assert [part is not None for part in (found.weights.gradient, found.weights.update)] == [known] * 2


def test_the_samples_are_those_of_the_first_process_everywhere(results):
    first, other = results("processes_have_batches_of_different_length")
    assert first["inputs"]["input"].shape == (3, 8, 8, 1)
    assert same(first["state"], other["state"])
    assert first["state"]["batch"][0].shape == (3, 1, 8, 8)


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_in_one_process_stops_nobody(results, case):
    steps = results(case)[0]["steps"]
    assert steps == ([0, 1, 2] if case == "the_reader_fails_in_the_second_process" else [0])


def test_the_fault_of_another_process_is_told(results):
    results("the_reader_fails_in_the_second_process")
    told = (results.folder / "log.1").read_text()
    assert "Process 1 could not run the probe along with the first one, and training goes on" in told


@pytest.mark.parametrize("case", RAISED)
def test_what_raises_in_one_process_raises_in_both(results, case):
    for result in results(case):
        assert RAISED[case] in result["error"], result["error"]


def test_an_interrupt_in_the_first_process_ends_both(results):
    first, other = results("a_view_is_interrupted")
    assert first["error"] and "Process 0 stopped the recording: KeyboardInterrupt" in other["error"]


def test_files_are_written_once(results):
    first, other = results("files_are_written_once")
    logs = results.folder / "files_are_written_once" / "logs" / "layerviz"
    assert first["location"] == str(logs) and other["location"] == ""
    assert len(list(logs.iterdir())) == 1
    assert not (results.folder / "files_are_written_once elsewhere").exists()


def test_the_last_epoch_is_recorded_where_training_is_stopped_early(results):
    first, other = results("training_is_stopped_early")
    assert first["steps"] == [0, 2] and other["steps"] == []


def test_the_best_epoch_is_recorded_together_and_kept_by_the_first_process(results):
    first, other = results("the_best_epoch_is_kept")
    assert (first["error"], other["error"]) == ("", "")
    assert same(first["with"], first["without"]) and same(other["with"], other["without"])
    assert first["steps"] == [0, 1, 2, 4, 4] and other["steps"] == []  # the last: due, and then the best
    assert first["state"]["best"] == {"monitor": "score", "value": pytest.approx(0.95), "step": 4}
    files = list((results.folder / "the_best_epoch_is_kept").glob("*.h5"))
    with SnapshotFile(files[0]) as file:
        assert (len(files), file.steps, file.best_step) == (1, (0, 1, 2, 4), 4)


@pytest.mark.skipif(not EVERYTHING, reason="LAYERVIZ_TEST_ALL is not set")
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_where_lightning_starts_the_processes_pictures_are_written_once(tmp_path, strategy):
    command = [sys.executable, str(HERE / "lightning_launched.py"), strategy, str(tmp_path)]
    variables = {"PYTHONPATH": search_path(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = (tmp_path / "logs" / "layerviz").iterdir()
    events = EventAccumulator(str(file), size_guidance={"tensors": 0}).Reload()
    for tag in ("filters/02_net.conv", "feature maps/02_net.conv"):
        assert [event.step for event in events.Tensors(tag)] == [0, 1, 2]


class Weights(torch.nn.Module):
    def __init__(self, **marks):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        for name, value in marks.items():
            setattr(self.weight, name, value)


@pytest.mark.parametrize(
    ("strategy", "module", "words"),
    [
        (
            "DeepSpeedStrategy",
            Weights(ds_id=3),
            "DeepSpeedStrategy of stage 3.*'deepspeed_stage_2'",
        ),
        ("XLAStrategy", Weights(), "XLAStrategy trains in 2 processes .*strategy='ddp'"),
    ],
)
def test_a_strategy_that_cannot_be_recorded_is_refused_in_words(strategy, module, words):
    kind = type(strategy, (), {})
    trainer = SimpleNamespace(strategy=kind(), world_size=2, global_rank=1)
    with pytest.raises(ArgumentError, match=words):
        processes_of(trainer, module)
