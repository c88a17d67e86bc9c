"""What a small network that picks seismic arrivals learns, from real three-component seismograms.

    python examples/seismic_waveforms.py [--waveforms FOLDER] [--out PICTURES] [--log-dir LOGS]

The seismograms are among ObsPy's own test data: local and volcanic earthquakes and two records of noise. A
folder of your own (whatever obspy.read reads, three components a station) goes in with --waveforms. The
network, a one-dimensional U-Net with an LSTM layer in both directions at its bottom, shall answer with a
bump where a wave arrives and with nothing in noise. Arrivals are marked by the classic STA/LTA ratio and the
AIC. The probe holds two stations and two stretches of noise that it never saw in training.

What to look for: "feature maps/..._arrival" is the answer: a bump near the onset of each event (RJOB gets a
second one at its next wave) and none in noise, in spite of MOLA's bursts. conv1 follows the waves, conv3
their energy. "memory" holds what was heard: channels that switch at the arrival and stay, the first 8
forwards in time, the others backwards. An orange cross: zero for all samples.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
import obspy
from keras import layers
from obspy.signal.trigger import aic_simple, recursive_sta_lta

from layerviz_callbacks import Probe, sinks
from layerviz_callbacks.keras import LayerVizCallback

RATE, LENGTH = 50, 512  # Hz; samples in a window, about 10 s
BUNDLED = [
    "kinemetrics/tests/data/BI008_MEMA-04823.evt", "kinemetrics/tests/data/BX456_MOLA-02351.evt",
    "seisan/tests/data/2005-07-23-1452-04S.CER___030.mseed", "seisan/tests/data/90010319.1320J90",
    "seisan/tests/data/9701-30-1048-54S.MVO_21_1", "win/tests/data/1070533011_1701260003.win",
]  # fmt: skip
NO_EARTHQUAKE = ["MOLA"]  # its bursts trigger as an earthquake does


def records(folder):
    """Station -> ((time, component) at 50 Hz, 1 to 20 Hz; sample of the arrival, or None in noise)."""
    files = [Path(obspy.__file__).parent / "io" / name for name in BUNDLED]
    stream = obspy.read()  # an earthquake at RJOB
    if folder is not None:
        files, stream = sorted(path for path in folder.iterdir() if path.is_file()), obspy.Stream()
    for file in files:
        stream += obspy.read(str(file))
    found = {}
    for station in dict.fromkeys(trace.id[:-1] for trace in stream):
        traces = sorted((trace for trace in stream if trace.id[:-1] == station), key=lambda trace: trace.id)
        part = obspy.Stream(traces[:3]).copy().detrend("linear")
        if len(part) < 3 or part[0].stats.sampling_rate < RATE:
            continue
        part.filter("bandpass", freqmin=1, freqmax=20).resample(RATE)
        length = min(len(trace) for trace in part)
        waves = np.stack([trace.data[:length] for trace in part], axis=1).astype("float32")
        if length > 1.5 * LENGTH:
            name = part[0].stats.station or part[0].stats.channel[:-1]
            found[name] = waves, None if name in NO_EARTHQUAKE else arrival(waves[:, 2])
    return found


def arrival(wave):
    """Where the ratio of a short to a long average jumps, made exact by the AIC; None where it does not."""
    wave = wave.astype("float64")
    ratio = recursive_sta_lta(wave, RATE // 2, 5 * RATE)
    ratio[: 4 * RATE] = 0
    if ratio.max() < 4:
        return None
    begin = max(0, ratio.argmax() - 3 * RATE)
    return int(begin + 5 + aic_simple(wave[begin : ratio.argmax() + RATE // 4])[5:-5].argmin())


def window(waves, begin):
    """One window from `begin` on, with zero mean and unit variance."""
    part = waves[begin : begin + LENGTH]
    return (part - part.mean(axis=0)) / (part.std() + 1e-9)


def stretched(waves, onset, factor):
    """The record with its time axis stretched: what a nearer or a farther earthquake might look like."""
    factor = max(factor, 1.1 * LENGTH / len(waves))
    times = np.arange(int(len(waves) * factor)) / factor
    parts = [np.interp(times, np.arange(len(waves)), wave) for wave in waves.T]
    return np.stack(parts, axis=1), int(onset * factor)


def training_windows(events, noises, count, random):
    """Windows with the arrival anywhere, and as many without: noise, and what comes after the arrival."""
    inputs, targets = np.empty((count, LENGTH, 3), "float32"), np.zeros((count, LENGTH, 1), "float32")
    for place in range(count):
        noise = noises[random.integers(len(noises))]
        noise = window(noise, random.integers(len(noise) - LENGTH))
        waves, onset = stretched(*events[random.integers(len(events))], 2 ** random.uniform(-2, 1))
        last = len(waves) - LENGTH
        begin = min(max(0, onset - random.integers(50, LENGTH - 100)), last)
        if place % 4 == 3:  # after the arrival
            begin = min(onset + random.integers(25, 500), last)
        signal = window(waves, begin) if place % 4 else 0 * noise
        mixed = signal + random.uniform(0.02, 0.5) * noise
        inputs[place] = random.choice([-1, 1]) * mixed / mixed.std()
        if place % 4 in (1, 2):
            targets[place, :, 0] = np.exp(-0.5 * ((np.arange(LENGTH) - (onset - begin)) / 10) ** 2)
    return inputs, targets


def network():
    """Three convolutions down to 6 Hz, an LSTM layer in both directions, two convolutions back up."""
    same = {"padding": "same", "activation": "relu"}
    waves = keras.Input((LENGTH, 3), name="waves")
    conv1 = layers.Conv1D(8, 15, name="conv1", **same)(waves)
    conv2 = layers.Conv1D(16, 9, name="conv2", **same)(layers.MaxPooling1D(2, name="pool1")(conv1))
    conv3 = layers.Conv1D(16, 9, name="conv3", **same)(layers.MaxPooling1D(4, name="pool2")(conv2))
    memory = layers.Bidirectional(layers.LSTM(8, return_sequences=True, name="lstm"), name="memory")(conv3)
    up = layers.Concatenate(name="join2")([layers.UpSampling1D(4, name="up2")(memory), conv2])
    up = layers.UpSampling1D(2, name="up1")(layers.Conv1D(16, 9, name="conv4", **same)(up))
    up = layers.Conv1D(8, 9, name="conv5", **same)(layers.Concatenate(name="join1")([up, conv1]))
    return keras.Model(waves, layers.Conv1D(1, 1, activation="sigmoid", name="arrival")(up))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--waveforms", type=Path, help="a folder of your own seismograms")
    parser.add_argument("--log-dir", default="logs/seismic_waveforms", help="for TensorBoard")
    parser.add_argument("--out", type=Path, help="a folder for PNG files as well")
    parser.add_argument("--quick", action="store_true", help="a few training steps only")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    found = records(options.waveforms)
    events = {name: record for name, record in found.items() if record[1] is not None}
    noises = {name: waves for name, (waves, onset) in found.items() if onset is None}
    if len(events) < 3 or not noises:
        parser.error(f"3 stations with an arrival, 1 of noise are needed; found {[*events]}, {[*noises]}")
    before = {name: max(0, onset - 3 * RATE) for name, (_, onset) in events.items()}
    shown = {f"event {name}": window(events[name][0], before[name]) for name in [*events][:2]}
    shown |= {f"noise {name}": window(waves, len(waves) - LENGTH) for name, waves in [*noises.items()][:2]}
    held_out = np.stack([*shown.values()])
    count, epochs = (64, 1) if options.quick else (1536, 20)
    rest = [waves[:-LENGTH] for waves in noises.values()]
    inputs, targets = training_windows([*events.values()][2:], rest, count, random)
    model = network()
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
    places = [sinks.TensorBoard(options.log_dir), *([sinks.Folder(options.out)] if options.out else [])]
    probe, drawn = Probe(held_out, names=[*shown]), ["conv*", "memory", "arrival"]
    pictures = LayerVizCallback(probe, log_dir=places, layers=drawn, every_n_epochs=5)
    model.fit(inputs, targets, batch_size=32, epochs=epochs, verbose=2, callbacks=[pictures])
    for name, answer in zip(shown, model.predict(held_out, verbose=0)[..., 0], strict=True):
        print(f"{name}: highest answer {answer.max():.2f} at {answer.argmax() / RATE:.2f} s")
    print(
        f"Learnt from {', '.join([*events][2:])}\nPictures: {', '.join(place.location for place in places)}"
    )
    print(f"tensorboard --logdir {options.log_dir} --samples_per_plugin=images=100")


if __name__ == "__main__":
    main()
