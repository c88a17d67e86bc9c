"""Three-component seismograms out of ObsPy's own test data, and windows of them to learn from.

The P and S arrivals were read off by eye, to about 0.05 s, on all three components from 1 to 19 Hz. The
picker of Akazawa (2004), `obspy.signal.trigger.ar_pick`, on 6 s before P to 8 s after S, finds the same P
within 0.1 s in six of the seven, and the same S in two: these follow P so soon that it mostly misses them.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import obspy

RATE = 100  # Hz
_SIGNAL, _IO = "signal/tests/data", "io/{}/tests/data"
_UH3 = [f"{_SIGNAL}/BW.UH3._.SH{component}.D.2010.147.cut.slist.gz" for component in "ENZ"]
_RJOB = [f"{_SIGNAL}/loc_RJOB20050801145719850.{component}" for component in "enz"]
_MEMA = [f"{_IO.format('kinemetrics')}/BI008_MEMA-04823.evt"]
_EVENTS = {  # name: files, then the seconds after their beginning of P and of S
    "RJOB 2009": (None, 4.74, 5.70),
    "UH3 16:27": (_UH3, 206.77, 207.95),
    "RJOB 2005": (_RJOB, 30.66, 31.30),
    "UH3 16:24": (_UH3, 29.52, 30.67),
    "UH3 16:25": (_UH3, 82.93, 84.07),
    "UH3 16:27:01": (_UH3, 178.33, 179.53),
    "MEMA 2013": (_MEMA, 6.35, 6.72),
}
_NOISES = {  # name: files, then the seconds of begin and end
    "f11": ([f"{_IO.format('win')}/1070533011_1701260003.win"], 1, 59),
    "MOLA": ([f"{_IO.format('kinemetrics')}/BX456_MOLA-02351.evt"], 1, 38),
    "UH3": (_UH3, 95, 170),
    "BOSA": ([f"{_IO.format('mseed')}/dataquality-m.mseed"], 3, 38),
    "TL01": ([f"{_IO.format('reftek')}/104800000_000093F8"], 2, 34),
    "CER": ([f"{_IO.format('seisan')}/2005-07-23-1452-04S.CER___030.mseed"], 3, 28),
}


@dataclass(frozen=True)
class Event:
    """One earthquake at one station: `waves (time, component)` E, N, Z; P and S in samples."""

    waves: np.ndarray
    p: float
    s: float


def events():
    """Name -> Event; the first two are not for training."""
    found = {}
    for name, (files, p, s) in _EVENTS.items():
        waves, first = _read(files), max(0, int((p - 30) * RATE))
        part = waves[first : int((s + 20) * RATE)]
        found[name] = Event(part, p * RATE - first, s * RATE - first)
    return found


def noises():
    """Name -> `(time, component)` without an earthquake; the first two are not for training."""
    return {name: _read(files)[begin * RATE : end * RATE] for name, (files, begin, end) in _NOISES.items()}


def _read(files):
    """`(time, component)` E, N, Z at 100 Hz, from 1 to 19 Hz."""
    if files is None:
        stream = obspy.read()
    else:
        stream = obspy.Stream()
        for file in files:
            stream += _stream(Path(obspy.__file__).parent / file)
    stream = obspy.Stream(sorted(stream, key=lambda trace: trace.id)[:3])  # 0, 1, 2 are Z, N, E
    stream.detrend("linear").taper(0.05, max_length=1).filter("bandpass", freqmin=1, freqmax=19)
    if stream[0].stats.sampling_rate != RATE:
        stream.resample(RATE)
    if stream[0].id[-1] == "0":
        stream = stream[::-1]
    length = min(len(trace) for trace in stream)
    return np.stack([trace.data[:length] for trace in stream], axis=1).astype("float32")


def _stream(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unknown fields in headers
            return obspy.read(str(path))
    except TypeError:  # plain numbers, 200 of them a second
        return obspy.Stream([obspy.Trace(np.loadtxt(path), {"sampling_rate": 200, "channel": path.suffix})])


def window(waves, begin, length):
    """`length` samples from `begin` on, which may be outside: there what is at the end goes on mirrored."""
    places = np.arange(begin, begin + length)
    period = 2 * (len(waves) - 1)
    places = np.abs((places + len(waves) - 1) % period - (len(waves) - 1))
    return waves[places]


def event_window(event, begin, length):
    """A window; what is before the record is the noise before P, mirrored."""
    quiet = int(event.p) - RATE // 4
    before = window(event.waves[:quiet], min(begin, 0), max(0, min(-begin, length)))
    after = window(event.waves, max(begin, 0), length - len(before))
    return np.concatenate([before, after])


def normalised(waves):
    """Zero mean, and unit variance over all three components."""
    waves = waves - waves.mean(axis=-2, keepdims=True)
    return (waves / (waves.std(axis=(-2, -1), keepdims=True) + 1e-9)).astype("float32")


def targets_of(length, p=None, s=None):
    """`(time, 3)`: 1 from P until long after S; a bump of 0.2 s at P; one at S. Zeros without an event."""
    target, times = np.zeros((length, 3), "float32"), np.arange(length)
    if p is not None:
        target[:, 0] = (times >= p) & (times <= s + 1.4 * (s - p) + RATE)
        for column, onset in enumerate((p, s), start=1):
            target[:, column] = np.exp(-0.5 * ((times - onset) / (0.2 * RATE)) ** 2)
    return target


def training_windows(count, length, seed=0):
    """Windows `(count, time, component)` and their targets `(count, time, 3)`; a third is noise.

    Earthquakes are shifted, stretched in time, turned about the vertical, and laid over noise of another
    place at a random strength.
    """
    random = np.random.default_rng(seed)
    quakes, quiet = [*events().values()][2:], [*noises().values()][2:]
    inputs, targets = np.empty((count, length, 3), "float32"), np.empty((count, length, 3), "float32")
    for place in range(count):
        noise = quiet[random.integers(len(quiet))]
        background = normalised(window(noise, random.integers(len(noise)), length))
        target = targets_of(length)
        if place % 3:
            quake, factor = quakes[random.integers(len(quakes))], 2 ** random.uniform(-1, 1.5)
            waves = _stretched(quake.waves, factor)
            p, s = quake.p * factor, quake.s * factor
            begin = int(p) - random.integers(length // 10, 8 * length // 10)
            signal = normalised(event_window(Event(waves, p, s), begin, length))
            strength = 10 ** random.uniform(-2, -0.4)
            background = signal + strength * background
            target = targets_of(length, p - begin, s - begin)
        inputs[place] = _turned(background, random.uniform(0, 2 * np.pi)) * random.choice([-1, 1])
        targets[place] = target
    return normalised(inputs), targets


def _stretched(waves, factor):
    times = np.arange(int(len(waves) * factor)) / factor
    return np.stack([np.interp(times, np.arange(len(waves)), wave) for wave in waves.T], axis=1)


def _turned(waves, angle):
    cosine, sine = np.cos(angle), np.sin(angle)
    east, north, vertical = waves.T
    return np.stack([cosine * east - sine * north, sine * east + cosine * north, vertical], axis=1)
