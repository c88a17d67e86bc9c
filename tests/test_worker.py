"""Drawing beside the training: nothing waits, nothing that matters is dropped, nothing is left behind."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import pytest

from layerviz_callbacks.worker import SameThread, ThreadWorker


def job(step, *, keep=False, best=False, held_bytes=0):
    return SimpleNamespace(snapshot=SimpleNamespace(step=step), keep=keep, best=best, held_bytes=held_bytes)


class Gate:
    """Work that stands still until it is let go."""

    def __init__(self):
        self.open = threading.Event()
        self.started = threading.Event()
        self.done = []

    def __call__(self, job):
        self.started.set()
        assert self.open.wait(20)
        self.done.append(job.snapshot.step)


def test_jobs_are_worked_off_in_their_order():
    done = []
    worker = ThreadWorker(lambda job: done.append(job.snapshot.step), depth=100)
    for step in range(50):
        worker.submit(job(step))
    assert worker.close()
    assert done == list(range(50))
    assert worker.dropped == []


def test_submitting_never_waits_and_the_oldest_that_waits_is_dropped():
    gate = Gate()
    worker = ThreadWorker(gate, depth=2)
    worker.submit(job(0))
    assert gate.started.wait(20)
    for step in range(1, 8):
        worker.submit(job(step))
    gate.open.set()
    assert worker.close()
    assert gate.done[0] == 0
    assert gate.done[-1] == 7  # the last is never dropped
    assert sorted(gate.done + worker.dropped) == list(range(8))
    assert worker.dropped == [1, 2, 3, 4, 5][: len(worker.dropped)]
    assert gate.done == [0, 6, 7]  # the one that was at work, and the two that may wait


def test_what_waits_holds_no_more_memory_than_it_may():
    gate = Gate()
    worker = ThreadWorker(gate, depth=100, most_bytes=25)
    worker.submit(job(0))
    assert gate.started.wait(20)
    for step in range(1, 5):
        worker.submit(job(step, held_bytes=10))
    worker.submit(job(5, held_bytes=1000))
    gate.open.set()
    assert worker.close()
    assert gate.done == [0, 5]
    assert worker.dropped == [1, 2, 3, 4]


def test_what_is_to_be_kept_is_never_dropped():
    gate = Gate()
    worker = ThreadWorker(gate, depth=1)
    worker.submit(job(9))
    assert gate.started.wait(20)
    worker.submit(job(0, keep=True))
    for step in range(1, 6):
        worker.submit(job(step))
    gate.open.set()
    assert worker.close()
    assert 0 in gate.done
    assert 0 not in worker.dropped


def test_an_error_is_raised_in_the_thread_of_the_training():
    def fail(job):
        raise ZeroDivisionError

    worker = ThreadWorker(fail)
    worker.submit(job(0))
    with pytest.raises(ZeroDivisionError):
        worker.close()
    worker.close()


def test_closing_gives_up_in_time_and_tells_what_was_not_drawn():
    gate = Gate()
    worker = ThreadWorker(gate)
    worker.submit(job(0))
    worker.submit(job(1))
    assert gate.started.wait(20)
    assert not worker.close(timeout=0.1)
    assert 1 in worker.dropped
    gate.open.set()


def test_no_thread_is_left_behind():
    before = set(threading.enumerate())
    workers = [ThreadWorker(lambda job: None) for _ in range(5)]
    for worker in workers:
        worker.submit(job(0))
        worker.close()
    forgotten = ThreadWorker(lambda job: None)
    forgotten.submit(job(0))
    del forgotten
    gc.collect()
    until = time.monotonic() + 20
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()


def test_without_a_thread_the_work_is_done_when_submit_returns():
    done = []
    worker = SameThread(lambda job: done.append(job.snapshot.step))
    worker.submit(job(3))
    assert done == [3]
    assert worker.close()


def test_what_waits_is_drawn_at_the_interpreters_exit():
    script = textwrap.dedent("""
        import time
        from types import SimpleNamespace
        from layerviz_callbacks.worker import ThreadWorker

        def slow(job):
            time.sleep(0.2)
            print(job.snapshot.step, flush=True)

        worker = ThreadWorker(slow)
        for step in range(2):
            step = SimpleNamespace(step=step)
            worker.submit(SimpleNamespace(snapshot=step, keep=False, best=False, held_bytes=0))
        raise SystemExit(3)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "0\n1\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_process_draws_nothing_and_waits_for_nothing():
    gate = Gate()
    worker = ThreadWorker(gate)
    worker.submit(job(0))
    assert gate.started.wait(20)
    worker.submit(job(1))
    child = os.fork()
    if child == 0:
        worker.submit(job(2))
        os._exit(0 if worker.close(timeout=20) and gate.done == [] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.open.set()
    assert worker.close()
    assert gate.done == [0, 1]
