"""What is remembered of a training does not grow with it, and begins at its first step."""

import itertools

from layerviz_callbacks.history import Album, Frame


def remembered(steps, *, most, best=()):
    album = Album(most)
    for step in steps:
        album.add(Frame(step, best=step in best))
    return [frame.step for frame in album.frames]


def test_all_steps_are_remembered_as_long_as_they_are_few():
    assert remembered(range(8), most=8) == list(range(8))


def test_the_first_and_the_last_step_are_always_there():
    for last in (8, 9, 20, 100, 1000):
        steps = remembered(range(last + 1), most=8)
        assert len(steps) == 8
        assert steps[0] == 0 and steps[-1] == last


def test_many_steps_are_spaced_logarithmically():
    steps = remembered(range(1001), most=24)
    assert steps[:4] == [0, 1, 2, 3]
    assert all(later <= 2 * earlier for earlier, later in itertools.pairwise(steps[1:]))


def test_the_best_step_is_always_there():
    assert 437 in remembered(range(1001), most=6, best=(10, 437))
    assert 437 not in remembered(range(1001), most=6)


def test_a_step_that_is_repeated_replaces_what_came_after_it():
    assert remembered([0, 1, 2, 3, 2, 3], most=8) == [0, 1, 2, 3]
