"""Views in a module of their own, as the drawing process needs them: each does one thing there."""

import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from layerviz_callbacks import Picture
from layerviz_callbacks.views import View


class Probing(View):
    """One grey pixel a layer; the caption tells what `look` finds."""

    family = "probing"
    needs = frozenset()

    def refusal(self, layer):
        return ""

    def draw_layer(self, layer, snapshot):
        yield Picture(self.tag(layer, snapshot), np.zeros((1, 1), np.uint8), caption=self.look(snapshot))

    def look(self, snapshot):
        return str(os.getpid())


class Holding(Probing):
    """Holds whatever it is given."""

    def __init__(self, held=None, **options):
        super().__init__(**options)
        self.held = held


class Surroundings(Probing):
    """The modules, environment and priority of the process that draws."""

    def look(self, snapshot):
        roots = {name.partition(".")[0] for name in sys.modules}
        files = sorted(file.resolve().name for file in Path("/proc/self/fd").iterdir() if file.exists())
        return repr((sorted(roots), dict(os.environ), os.nice(0), files))


class Raising(Holding):
    def look(self, snapshot):
        raise self.held


class OfOwnKindError(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


class RaisingItsOwn(Probing):
    def look(self, snapshot):
        raise OfOwnKindError("this", "that")


class Deadly(Holding):
    """Ends the process that draws, if that is not the one that is held."""

    def look(self, snapshot):
        if os.getpid() != self.held:
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"


class Slow(Holding):
    """Writes its process's id into the file that is held, then takes a minute."""

    def look(self, snapshot):
        Path(self.held).write_text(str(os.getpid()))
        time.sleep(60)
        return ""


class Talking(Probing):
    def look(self, snapshot):
        sys.stdout.write("printed there\n")
        warnings.warn("warned there", stacklevel=1)
        os.system("echo lost; echo lost >&2")
        return ""


class Writing(Probing):
    """Changes what it was given, as careless views do."""

    def look(self, snapshot):
        for array in (*snapshot.inputs.values(), *(layer.output for layer in snapshot)):
            array += 1
        return str(sum(float(layer.output.sum()) for layer in snapshot))
