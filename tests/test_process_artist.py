"""Drawing in another process: the same pictures, nothing lost, nothing left behind."""

import ast
import gc
import importlib.util
import logging
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import process_views
import pytest

from layerviz_callbacks import Layer, Probe, Snapshot
from layerviz_callbacks.artist import LocalArtist
from layerviz_callbacks.cut import OutputCut, cut_output
from layerviz_callbacks.drawing import child as drawing_child
from layerviz_callbacks.drawing.child import DrawingChild
from layerviz_callbacks.drawing.messages import Task
from layerviz_callbacks.drawing.pickling import UnsendableError, dumps
from layerviz_callbacks.process_artist import DrawingProcessError, ProcessArtist
from layerviz_callbacks.views import FeatureMaps, Filters

posix = pytest.mark.skipif(os.name != "posix", reason="signals and forks are of POSIX")
linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")

BATCH = np.random.default_rng(0).random((3, 12, 16, 3), np.float32)


def layer(name, place, kernel=None, output=None, **more):
    return Layer(
        name, "Conv2D", place, kernel=kernel, output=output,
        kernel_shape=None if kernel is None else kernel.shape,
        output_shape=None if output is None else output.shape, **more,
    )  # fmt: skip


def snapshot_of(*layers, step=1, probe=None, inputs=None):
    probe = probe or Probe(BATCH)
    inputs = {"input": BATCH} if inputs is None else inputs
    return Snapshot({one.name: one for one in layers}, probe, inputs, step=step, when=f"epoch {step}")


def images(step=1):
    random = np.random.default_rng(step)
    first = layer("conv1", 1, random.standard_normal((8, 3, 3, 3)), random.random((3, 12, 16, 8), np.float32))
    channels_first = random.random((3, 20, 6, 8), np.float32) - 0.5  # as PyTorch has it, seen the other way
    second = layer("conv2", 2, random.standard_normal((20, 8, 3, 3)), np.moveaxis(channels_first, 1, -1))
    whole = random.random((3, 64, 64, 40), np.float32)
    cut, taken = cut_output(whole, OutputCut(samples=2, channels=tuple(range(10)), block=2))
    third = replace(layer("conv3", 3, random.random((40, 20, 1, 1)), cut), output_shape=whole.shape)
    return snapshot_of(first, second, replace(third, output_taken=taken), step=step)


def others(step=1):
    random = np.random.default_rng(step)
    outputs = [
        random.random((3, 300, 6)).astype(np.float16),
        np.full((3, 5), np.nan),
        random.standard_normal((3, 7, 8, 9, 4)),
        random.integers(-9, 9, (3, 30)),
    ]
    kernels = [
        random.random((6, 2, 9)),
        np.zeros((5, 8)),
        random.random((4, 1, 3, 3, 3)),
        random.random((30, 5)),
    ]
    layers = [layer(f"layer{place}", place, kernels[place], outputs[place]) for place in range(4)]
    return snapshot_of(*layers, step=step)


@pytest.fixture(scope="module")
def artist():
    made = ProcessArtist()
    yield made
    made.close()


@pytest.fixture
def told():
    """What the package tells."""
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    log = logging.getLogger("layerviz_callbacks")
    handler = Handler()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)


def where(pictures):
    """The process that drew these pictures."""
    return {int(picture.caption) for picture in pictures}


def is_gone(pid):
    """No such process; one that has ended and is not waited for is still there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def files_in_shared_places():
    folders = [Path("/dev/shm"), Path(tempfile.gettempdir())]
    return {
        file for folder in folders if folder.exists() for file in folder.iterdir() if "layerviz" in file.name
    } | ({*folders[0].iterdir()} if folders[0].exists() else set())


def run_script(script, *options, folder):
    path = folder / "training_script.py"
    path.write_text(textwrap.dedent(script))
    return subprocess.run(
        [sys.executable, *options, path], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )  # fmt: skip


def assert_same(there, here):
    assert len(there) == len(here)
    for one, other in zip(there, here, strict=True):
        assert (one.tag, one.caption, one.description, one.size) == (
            other.tag, other.caption, other.description, other.size,
        )  # fmt: skip
        assert one.png() == other.png()
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.rgb(), other.rgb())
        assert (one.palette is None) == (other.palette is None)


@pytest.mark.parametrize("make", [images, others])
def test_the_pictures_are_those_of_this_process(artist, make):
    for step in (1, 2, 3):
        snapshot = make(step)
        for view in (Filters(), FeatureMaps()):
            for chosen in (None, frozenset(list(snapshot.layers)[1:])):
                some = snapshot.choose(chosen)
                there = artist.draw(view, some)
                assert there
                assert_same(there, LocalArtist().draw(view, some))
        assert_same(artist.draw_probe(snapshot), LocalArtist().draw_probe(snapshot))
    assert artist.pid not in (None, os.getpid())


def test_they_are_the_same_where_there_is_no_shared_memory(monkeypatch):
    monkeypatch.setattr(drawing_child, "_shared_memory", lambda: ())
    artist = ProcessArtist()
    for step in (1, 2):
        assert_same(artist.draw(FeatureMaps(), images(step)), FeatureMaps().draw(images(step)))
    assert where(artist.draw(process_views.Probing(), images())) == {artist.pid}
    artist.close()


def test_arrays_lie_in_memory_there_as_they_do_here(artist):
    snapshot = images()
    there = artist.draw(process_views.Writing(), snapshot.choose(frozenset(["conv2"])))
    assert float(there[0].caption) == pytest.approx(
        sum(float((one.output + 1).sum()) for one in snapshot), rel=1e-5
    )
    assert_same(artist.draw(Filters(), images(2)), Filters().draw(images(2)))
    moved = np.moveaxis(np.zeros((2, 3, 4, 5)), 1, -1)
    from layerviz_callbacks.drawing.line import Line

    to_there, from_here = os.pipe()
    line = Line(to_there, from_here)
    line.send([moved, moved[::2, ::-1], np.zeros((0, 3)), np.float32(3)])
    one, other, empty, number = line.receive()
    assert one.strides == moved.strides
    assert np.array_equal(other, moved[::2, ::-1])
    assert (empty.shape, number) == ((0, 3), 3)
    one[...] = 1  # it may be written to
    os.close(to_there)
    os.close(from_here)


def test_the_probe_and_the_layers_are_sent_once(artist, monkeypatch):
    sent = []
    send = DrawingChild.send
    monkeypatch.setattr(
        DrawingChild, "send", lambda self, message: (sent.append(message), send(self, message))
    )
    first, second = images(7), images(8)
    second = replace(second, probe=first.probe, inputs={"input": BATCH.copy()})
    for snapshot in (first, second):
        for view in (Filters(), FeatureMaps()):
            artist.draw(view, snapshot.choose(frozenset(["conv1"])))
    assert all(isinstance(task, Task) for task in sent)
    assert [task.shown is not None for task in sent] == [True, False, False, False]
    assert [task.read is not None for task in sent] == [True, False, True, False]


def test_no_snapshot_is_kept_alive(artist):
    import weakref

    snapshot = images()
    artist.draw(Filters(), snapshot)
    alive = weakref.ref(snapshot["conv1"])
    del snapshot
    gc.collect()
    assert alive() is None


def test_what_a_view_raises_is_raised_here(artist):
    with pytest.raises(ZeroDivisionError, match="by nothing") as caught:
        artist.draw(process_views.Raising(ZeroDivisionError("by nothing")), images())
    assert "process_views.py" in str(caught.value.__cause__)
    assert "raise self.held" in str(caught.value.__cause__)
    with pytest.raises(SystemExit):
        artist.draw(process_views.Raising(SystemExit(3)), images())
    with pytest.raises(DrawingProcessError, match="OfOwnKindError: this and that") as caught:
        artist.draw(process_views.RaisingItsOwn(), images())
    assert "process_views.py" in str(caught.value.__cause__)
    assert where(artist.draw(process_views.Probing(), images())) == {artist.pid}


def test_what_a_view_prints_is_printed_here(artist, capfd):
    artist.draw(process_views.Talking(), images().choose(frozenset(["conv1"])))
    printed = capfd.readouterr()
    assert printed.out == "printed there\n"
    assert "UserWarning: warned there" in printed.err
    assert "lost" not in printed.err
    assert where(artist.draw(process_views.Probing(), images())) == {artist.pid}


@linux
def test_it_loads_no_framework_and_leaves_cores_and_accelerators_to_the_training(artist):
    (picture,) = artist.draw(process_views.Surroundings(), images().choose(frozenset(["conv1"])))
    roots, environment, niceness, files = ast.literal_eval(picture.caption)
    assert {"layerviz_callbacks", "numpy", "PIL"} <= set(roots)
    heavy = {"torch", "tensorflow", "keras", "tf_keras", "jax", "lightning", "tensorboard", "matplotlib"}
    assert heavy & set(roots) == set()
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert niceness > os.nice(0)
    assert [
        file for file in files if not file.startswith(("pipe", "memfd", "null", "fd", str(artist.pid)))
    ] == []


def test_chosen_layers_travel_as_names(artist, told):
    view = process_views.Probing(layers=lambda name, _: name == "conv2")
    pictures = artist.draw(view, images().choose(frozenset(["conv2"])))
    assert where(pictures) == {artist.pid}
    assert [picture.tag for picture in pictures] == ["probing/02_conv2"]
    assert callable(view.layers)
    assert told == []


def test_a_display_function_does_not_have_to_travel(artist, told):
    probe = Probe(BATCH, display=lambda array: array * 2, names=["a", "b", "c"], targets=[1, 2, 3])
    snapshot = replace(images(), probe=probe, inputs=probe.shown())
    assert_same(artist.draw_probe(snapshot), LocalArtist().draw_probe(snapshot))
    assert_same(artist.draw(FeatureMaps(), snapshot), FeatureMaps().draw(snapshot))
    assert told == []


class ProbeWithMore(Probe):
    """Of a class of the user's own."""


def test_what_cannot_travel_is_drawn_here_and_told_once(told):
    class Local(process_views.Probing):
        pass

    unknown = types.ModuleType("made_at_runtime")
    sys.modules["made_at_runtime"] = unknown
    exec("import process_views\nclass Made(process_views.Probing): pass", vars(unknown))
    tensor = type("Tensor", (), {"__module__": "torch"})()
    artist = ProcessArtist()
    try:
        for view in (
            Local(),
            process_views.Holding(lambda: None),
            process_views.Holding(threading.Lock()),
            process_views.Holding(tensor),
            unknown.Made(),
        ):
            told.clear()
            for step in (1, 2):
                assert where(artist.draw(view, images(step))) == {os.getpid()}
            assert len(told) == 1
            assert told[0].startswith(
                f"The view {type(view).__name__} is drawn in the training's own process"
            )
        assert "No module named 'made_at_runtime'" in told[0]
        more = ProbeWithMore(BATCH)
        more.held = lambda: None
        assert where(artist.draw(process_views.Probing(), replace(images(), probe=more))) == {os.getpid()}
        more.held = "a name"
        assert where(artist.draw(process_views.Holding(), replace(images(), probe=more))) == {artist.pid}
    finally:
        del sys.modules["made_at_runtime"]
        artist.close()


def test_what_is_defined_in_the_script_itself_is_refused_with_what_to_do():
    view = type("View", (), {"__module__": "__main__"})
    with pytest.raises(UnsendableError, match="Define it in a module of its own and import it"):
        dumps(view())
    with pytest.raises(UnsendableError, match=r"torch\.Tensor\. Hold a NumPy array or a name instead"):
        dumps(type("Tensor", (), {"__module__": "torch"})())


def test_closing_leaves_no_process_and_no_file(told):
    open_files = Path("/proc/self/fd")
    before = files_in_shared_places(), len(list(open_files.iterdir())) if open_files.exists() else 0
    for killed in (False, True):
        artist = ProcessArtist()
        assert artist.pid is None
        artist.draw(Filters(), images())
        pid = artist.pid
        if killed:
            os.kill(pid, signal.SIGTERM)
        artist.close()
        artist.close()
        assert is_gone(pid)
        if os.name == "posix":
            with pytest.raises(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        assert artist.pid is None
        assert artist.draw(Filters(), images()) == []
        assert artist.draw_probe(images()) == []
    assert before == (
        files_in_shared_places(),
        len(list(open_files.iterdir())) if open_files.exists() else 0,
    )
    assert told == []


def test_a_forgotten_artist_takes_its_process_with_it():
    artist = ProcessArtist()
    artist.draw(Filters(), images())
    pid = artist.pid
    del artist
    gc.collect()
    assert is_gone(pid)


def test_closing_while_it_draws_ends_it_at_once(tmp_path):
    artist = ProcessArtist()
    drawn = []
    started = tmp_path / "started"
    thread = threading.Thread(
        target=lambda: drawn.append(artist.draw(process_views.Slow(str(started)), images()))
    )
    thread.start()
    assert until(lambda: started.exists() and started.read_text())
    artist.close()
    thread.join(20)
    assert drawn == [[]]
    assert is_gone(int(started.read_text()))


@posix
def test_a_process_that_is_killed_is_started_anew_once(told):
    artist = ProcessArtist()
    view = process_views.Probing()
    artist.draw(view, images())
    first = artist.pid
    os.kill(first, signal.SIGKILL)
    assert_same(artist.draw(FeatureMaps(), images()), FeatureMaps().draw(images()))
    second = artist.pid
    assert where(artist.draw(view, images())) == {second}
    assert second != first
    assert is_gone(first)
    os.kill(second, signal.SIGKILL)
    for step in (1, 2):
        assert where(artist.draw(view, images(step))) == {os.getpid()}
    assert is_gone(second)
    assert [("SIGKILL" in line, "Another one is started" in line) for line in told] == [
        (True, True),
        (True, False),
    ]
    assert "Pictures are drawn in the training's own process from now on" in told[1]
    artist.close()


@posix
def test_a_view_that_ends_every_process_does_not_end_the_training():
    artist = ProcessArtist()
    with pytest.raises(DrawingProcessError, match="Deadly ended the drawing process, twice"):
        artist.draw(process_views.Deadly(held=0), images())
    assert where(artist.draw(process_views.Probing(), images())) == {os.getpid()}
    artist.close()


def test_where_no_process_can_be_started_it_draws_here(monkeypatch, told):
    monkeypatch.setattr(sys, "executable", "")
    artist = ProcessArtist()
    for step in (1, 2):
        assert where(artist.draw(process_views.Probing(), images(step))) == {os.getpid()}
    assert len(told) == 1
    assert "No drawing process can be started" in told[0]
    artist.close()


def test_where_the_process_does_not_come_up_it_draws_here_and_says_why(monkeypatch, told):
    monkeypatch.setattr(drawing_child, "MODULE", "layerviz_callbacks.no_such_module")
    artist = ProcessArtist()
    for step in (1, 2):
        assert where(artist.draw(process_views.Probing(), images(step))) == {os.getpid()}
    assert len(told) == 2
    assert all("No module named layerviz_callbacks.no_such_module" in line for line in told)
    artist.close()


def test_after_an_interrupt_no_answer_is_taken_for_another(monkeypatch):
    artist = ProcessArtist()
    artist.draw(Filters(), images())
    interrupted = artist.pid

    def interrupt(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DrawingChild, "receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            artist.draw(Filters(), images())
    assert is_gone(interrupted)
    for _ in range(2):
        assert_same(artist.draw(FeatureMaps(), images()), FeatureMaps().draw(images()))
    assert artist.pid is not None
    artist.close()


@posix
def test_interrupts_are_for_the_training(artist):
    artist.draw(Filters(), images())
    pid = artist.pid
    assert os.getsid(pid) != os.getsid(0)
    for _ in range(3):
        os.kill(pid, signal.SIGINT)
    assert where(artist.draw(process_views.Probing(), images())) == {pid}


@posix
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_process_leaves_it_alone():
    artist = ProcessArtist()
    view = process_views.Probing()
    artist.draw(view, images())
    pid = artist.pid
    forked = os.fork()
    if forked == 0:
        status = 1
        try:
            drew = where(artist.draw(view, images()))
            artist.close()
            del artist
            gc.collect()
            status = 0 if drew == {os.getpid()} and not is_gone(pid) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
    assert where(artist.draw(view, images(2))) == {pid}
    artist.close()
    assert is_gone(pid)


@linux
def test_it_ends_with_a_training_that_is_killed_also_where_a_forked_process_lives_on(tmp_path):
    before = files_in_shared_places()
    done = run_script(
        """
        import os, signal, sys, time
        import test_process_artist as parts
        from layerviz_callbacks.process_artist import ProcessArtist
        from layerviz_callbacks.views import Filters

        artist = ProcessArtist()
        artist.draw(Filters(), parts.images())
        forked = os.fork()  # like a data loader's process; it holds the pipes open
        if forked == 0:
            os.closerange(0, 3)
            time.sleep(60)
            os._exit(0)
        print(artist.pid, forked, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        folder=tmp_path,
    )
    drawing, forked = map(int, done.stdout.split())
    assert done.returncode == -signal.SIGKILL
    try:
        assert until(lambda: is_gone(drawing) or "\nState:\tZ" in Path(f"/proc/{drawing}/status").read_text())
        assert not is_gone(forked)
    finally:
        os.kill(forked, signal.SIGKILL)
    assert files_in_shared_places() == before


def test_a_script_needs_no_guard_and_nothing_is_printed_at_its_end(tmp_path):
    done = run_script(
        """
        import sys
        import test_process_artist as parts
        from layerviz_callbacks.delivery import Delivery
        from layerviz_callbacks.job import Job
        from layerviz_callbacks.failure import FailurePolicy
        from layerviz_callbacks.plan import PlannedView
        from layerviz_callbacks.process_artist import ProcessArtist
        from layerviz_callbacks.views import FeatureMaps, Filters
        from layerviz_callbacks.worker import ThreadWorker
        from process_views import Probing

        class Sink:
            location = "here"
            def write(self, pictures, step):
                print(step, *(picture.tag for picture in pictures), flush=True)
            def flush(self):
                pass

        class Mine(Probing):
            family = "mine"

        print("once")
        artist = ProcessArtist()
        delivery = Delivery([Sink()], FailurePolicy("raise"), artist)
        worker = ThreadWorker(delivery.deliver)
        names = frozenset(["conv1"])
        plan = [PlannedView(view, names) for view in (Filters(), Mine())]
        worker.submit(Job(parts.images(1), plan))
        worker.submit(Job(parts.images(2), plan))
        """,
        "-X", "dev", "-W", "error",
        folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "once",
        "1 filters/01_conv1",
        "1 mine/01_conv1",
        "2 filters/01_conv1",
        "2 mine/01_conv1",
    ]
    assert done.stderr.splitlines() == [
        "layerviz: The view Mine is drawn in the training's own process, not in the drawing process: Mine is "
        "defined in the program that is run itself, or in a notebook. "
        "Define it in a module of its own and import it."
    ]


def test_a_script_that_ends_without_closing_leaves_nothing_behind(tmp_path):
    done = run_script(
        """
        import os, sys
        import test_process_artist as parts
        from layerviz_callbacks.process_artist import ProcessArtist
        from layerviz_callbacks.views import Filters

        artist = ProcessArtist()
        artist.draw(Filters(), parts.images())
        print(artist.pid, flush=True)
        raise SystemExit(3)
        """,
        "-X", "dev", "-W", "error",
        folder=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, "")
    assert is_gone(int(done.stdout))


def test_the_modules_that_are_imported_there_are_the_ones_of_this_program(artist, tmp_path, monkeypatch):
    (tmp_path / "views_of_a_project.py").write_text(
        "import process_views\nclass Theirs(process_views.Probing): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.find_spec("views_of_a_project")
    own = ProcessArtist()  # started after the path was set, as in a program
    view = importlib.import_module(spec.name).Theirs()
    assert where(own.draw(view, images())) == {own.pid}
    own.close()
