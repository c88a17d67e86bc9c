"""Seismic sections by a forward model: synthetic, no survey of any real place.

1. Units of rock lie on each other; each has beds of its own thickness and contrast of impedance.
2. They are folded, and broken by faults. A salt dome may have risen through them.
3. The reflectivity is (below - above) / (below + above) of the impedance.
4. Each trace is its convolution with a Ricker wavelet (Ricker 1953), and noise of the same frequencies.
"""

import numpy as np

ROWS, COLUMNS = 96, 160  # samples of two-way time; traces
FINER = 4  # the impedance is sampled so much finer than the section
FACIES = ["mudstone", "sandstone", "carbonate", "slump", "salt"]
_BEDS = {  # thickness of a bed in samples, impedance, its standard deviation from bed to bed
    "mudstone": (2.0, 6.0, 0.15),
    "sandstone": (2.5, 6.5, 1.2),
    "carbonate": (9.0, 9.0, 1.5),
    "slump": (3.0, 6.2, 1.2),
}
_SALT = 4.6


def section(random):
    """One section `(row, column)` of unit variance, and its facies `(row, column)`, numbers in FACIES."""
    rows = np.arange(ROWS * FINER) / FINER
    depth = _undeformed(rows[:, None], np.linspace(0, 1, COLUMNS), random)
    units = _units(random)
    tops = np.array([top for top, _ in units])
    facies = np.array([number for _, number in units])[np.searchsorted(tops, depth, side="right") - 1]
    impedance = np.empty_like(depth)
    for number, name in enumerate(FACIES[:-1]):
        inside = facies == number
        bedded = _broken_beds if name == "slump" else _beds
        impedance[inside] = bedded(depth, *_BEDS[name], random)[inside]
    if random.random() < 0.5:
        dome = _dome(rows[:, None], random)
        impedance[dome], facies[dome] = _SALT, FACIES.index("salt")
    reflectivity = np.diff(impedance, axis=0, append=impedance[-1:])
    reflectivity /= impedance + np.vstack([impedance[1:], impedance[-1:]])
    wavelet = ricker(random.uniform(0.09, 0.13) / FINER)
    signal = _convolved(reflectivity, wavelet)
    noise = _convolved(random.standard_normal(signal.shape), wavelet)
    amplitude = signal / signal.std() + random.uniform(0.05, 0.3) * noise / noise.std()
    amplitude = amplitude[::FINER]
    return (amplitude / amplitude.std()).astype("float32"), facies[::FINER].astype("int64")


def sections(count, seed):
    """Sections `(section, row, column)` float32 and their facies, int64."""
    random = np.random.default_rng(seed)
    pairs = [section(random) for _ in range(count)]
    return tuple(np.stack(part) for part in zip(*pairs, strict=True))


def ricker(frequency):
    """Ricker's wavelet, its peak frequency in cycles a sample."""
    times = np.arange(-int(1.5 / frequency), int(1.5 / frequency) + 1)
    square = (np.pi * frequency * times) ** 2
    return (1 - 2 * square) * np.exp(-square)


def _units(random):
    """(top in samples of undeformed depth, facies) from above the section to below it."""
    top, last, units = -80.0, -1, []
    while top < ROWS + 80:
        facies = random.choice([number for number in range(len(FACIES) - 1) if number != last])
        units.append((top, facies))
        top, last = top + random.uniform(16, 36), facies
    return units


def _undeformed(row, column, random):
    """At which depth the rock at (row, column) was laid down: folds and faults taken back."""
    depth = np.broadcast_to(row, (len(row), len(column))).astype("float64")
    for _ in range(3):
        height = random.uniform(2, 7) * np.sin(
            2 * np.pi * (random.uniform(0.4, 1.6) * column + random.random())
        )
        depth = depth + height * (0.6 + 0.6 * row / ROWS)
    depth = depth + random.uniform(-14, 14) * (column - 0.5)
    for _ in range(random.integers(0, 4)):
        plane = random.uniform(0.1, 0.9) + random.uniform(-0.3, 0.3) * (row / ROWS - 0.5)
        throw = random.choice([-1, 1]) * random.uniform(4, 12)
        depth = depth + throw * (column > plane)
    return depth


def _beds(depth, thickness, impedance, deviation, random):
    """Impedance that is constant in each bed."""
    edges = np.cumsum(random.gamma(4, thickness / 4, size=int(4 * (ROWS + 240) / thickness))) - 120
    values = impedance + deviation * random.standard_normal(len(edges) + 1)
    return np.maximum(values, 3)[np.searchsorted(edges, depth)]


def _broken_beds(depth, thickness, impedance, deviation, random):
    """Impedance of beds that go on for a few traces only."""
    count, pieces = int((ROWS + 240) / thickness), COLUMNS // 5
    values = random.standard_normal((count, pieces))
    beds = np.stack([np.interp(np.linspace(0, pieces - 1, COLUMNS), range(pieces), bed) for bed in values])
    number = ((depth + 120) / thickness).astype(int)
    return np.maximum(impedance + deviation * beds[number, np.arange(COLUMNS)], 3)


def _dome(row, random):
    column = np.linspace(0, 1, COLUMNS)
    top = ROWS * (
        1.05
        - random.uniform(0.4, 0.9)
        * np.exp(-0.5 * ((column - random.uniform(0.15, 0.85)) / random.uniform(0.06, 0.14)) ** 2)
    )
    return row > top + np.zeros_like(row)


def _convolved(columns, wavelet):
    """Each column with the wavelet, as long as before."""
    length = len(columns) + len(wavelet) - 1
    spectrum = np.fft.rfft(columns, length, axis=0) * np.fft.rfft(wavelet, length)[:, None]
    first = len(wavelet) // 2
    return np.fft.irfft(spectrum, length, axis=0)[first : first + len(columns)]
