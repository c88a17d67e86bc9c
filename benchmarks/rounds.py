"""What the benchmarks of pictures share: rounds in which all take turns, and the table of them."""

import os
import platform
import statistics
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Median milliseconds of one whole job: CPU time of all the process' threads, and time passed."""

    cpu: float
    wall: float


def machine():
    """One line: cores, load and versions; a number without it says little."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{cores} cores ({platform.machine()}){load}, Python {platform.python_version()}"


def take_turns(contestants, rounds, *, shares=None):
    """Run each contestant once a round, `rounds` times, after one run that does not count.

    Args:
        contestants: name -> function without arguments.
        rounds: how many.
        shares: name -> which share of the job it does; its times are divided by it.

    Returns:
        Name -> `Cost`.
    """
    times = {name: [] for name in contestants}
    for counted in [False] + [True] * rounds:
        for name, work in contestants.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            taken = time.process_time() - cpu, time.perf_counter() - wall
            if counted:
                times[name].append(taken)
    found = {}
    for name, taken in times.items():
        cpu, wall = (statistics.median(column) for column in zip(*taken, strict=True))
        scale = 1000 / (shares or {}).get(name, 1)
        found[name] = Cost(cpu * scale, wall * scale)
    return found


def print_table(title, costs, reference, notes=None):
    """Milliseconds and, against `reference`, ratios."""
    own, notes = costs[reference], notes or {}
    print(f"{title:58}{'CPU ms':>10}{'ratio':>9}{'wall ms':>10}{'ratio':>9}")
    for name, cost in costs.items():
        line = (
            f"{name:58}{cost.cpu:10.1f}{cost.cpu / own.cpu:9.2f}{cost.wall:10.1f}{cost.wall / own.wall:9.2f}"
        )
        print(f"{line}  {notes[name]}" if name in notes else line)


def print_goals(goals):
    """Each goal (words, reached, wanted, whether more is better), met or missed."""
    for words, reached, wanted, more in goals:
        met = reached >= wanted if more else reached <= wanted
        bound = "at least" if more else "at most"
        print(f"{'met   ' if met else 'MISSED'}  {words}: {reached:.3g}, goal {bound} {wanted:g}")
