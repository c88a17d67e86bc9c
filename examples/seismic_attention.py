"""What a small earthquake transformer attends to, on real three-component seismograms.

    python examples/seismic_attention.py [--epochs 8] [--seconds 30] [--out PICTURES] [--log-dir LOGS]

The network follows Mousavi et al. 2020, "Earthquake transformer" (doi:10.1038/s41467-020-17591-w), much
smaller: convolutions, an LSTM layer in both directions, additive attention of all times, and three
branches that answer with the probability of an earthquake, of its P and of its S wave at each sample; the
last two attend to the nearest three time steps. It learns from five of the seven earthquakes in
`seismograms.py`; the probe holds the other two and two stretches of noise. So few are enough to see a
network at work, not to judge one: "UH3 16:27" is a sister of three that are learnt from, "RJOB 2009" is not.

What to look for: "predictions/P" and "predictions/S" rise at the onsets that were read off by eye (light
areas): at once for UH3, later and lower for RJOB, whose S wave hides in the coda of P. In noise they stay
low; but the bursts of MOLA, which are no earthquake, raise the detector and S: nothing like them was learnt
from.
"attention/..._global_attention" draws under each trace the attention that each moment receives: at step 0
nearly the same everywhere, later the earthquake the LEAST. Attention reads the quiet around the waves, and
leaves these to the LSTM layer. The local attention is a band of three along the diagonal. "grad-cam of P"
is the stretch of the LSTM layer's memory that speaks for the P wave.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from seismograms import RATE, event_window, events, noises, normalised, targets_of, training_windows, window

from layerviz_callbacks import Probe, sinks, views
from layerviz_callbacks.keras import LayerVizCallback

OUTPUTS = ["detection", "P", "S"]


class AdditiveAttention(layers.Layer):
    """Additive self-attention (Bahdanau, Cho and Bengio 2014), of all times or of the nearest ones.

    weights = softmax(tanh(x Wt + x' Wx + bh) Wa + ba) over x'; output = weights x.

    Args:
        units: the width of the hidden sum.
        width: only the so many nearest times are attended to; None: all of them.
        return_weights: answer with (output, weights) instead of the output.
    """

    def __init__(self, units=32, *, width=None, return_weights=False, **options):
        super().__init__(**options)
        self.units, self.width, self.return_weights = units, width, return_weights

    def build(self, shape):
        for name in ("Wt", "Wx"):
            setattr(self, name, self.add_weight(shape=(shape[-1], self.units), name=name))
        self.bh = self.add_weight(shape=(self.units,), initializer="zeros", name="bh")
        self.Wa = self.add_weight(shape=(self.units, 1), name="Wa")
        self.ba = self.add_weight(shape=(1,), initializer="zeros", name="ba")

    def call(self, x):
        query, key = ops.matmul(x, self.Wt), ops.matmul(x, self.Wx)
        hidden = ops.tanh(query[:, :, None] + key[:, None] + self.bh)
        scores = (ops.matmul(hidden, self.Wa) + self.ba)[..., 0]
        if self.width is not None:
            times = np.arange(x.shape[1])
            far = np.abs(times[:, None] - times) > self.width // 2
            scores = ops.where(far[None], -1e9, scores)
        weights = ops.softmax(scores, axis=-1)
        attended = ops.matmul(weights, x)
        return (attended, weights) if self.return_weights else attended

    def get_config(self):
        own = {"units": self.units, "width": self.width, "return_weights": self.return_weights}
        return super().get_config() | own


def network(length):
    """Waveforms -> probabilities of an earthquake, of its P wave and of its S wave at each sample."""
    same = {"padding": "same", "activation": "relu"}
    waves = keras.Input((length, 3), name="waves")
    x = waves
    for block, (channels, width) in enumerate([(8, 11), (16, 9), (16, 7), (32, 5), (32, 5)], start=1):
        x = layers.Conv1D(channels, width, name=f"conv{block}", **same)(x)
        x = layers.MaxPooling1D(2, padding="same", name=f"pool{block}")(x)
    for block in (1, 2):
        inner = layers.Conv1D(32, 3, name=f"residual{block}_conv1", **same)(x)
        inner = layers.Conv1D(32, 3, padding="same", name=f"residual{block}_conv2")(inner)
        x = layers.ReLU(name=f"residual{block}")(layers.Add(name=f"residual{block}_sum")([x, inner]))
    memory = layers.Bidirectional(layers.LSTM(16, return_sequences=True, name="lstm"), name="memory")(x)
    attended, _ = AdditiveAttention(return_weights=True, name="global_attention")(memory)
    x = layers.LayerNormalization(name="norm")(layers.Add(name="attended_sum")([memory, attended]))
    outputs = {}
    for name in OUTPUTS:
        branch = x
        if name != "detection":
            branch = layers.LSTM(16, return_sequences=True, name=f"{name}_lstm")(branch)
            branch = AdditiveAttention(width=3, name=f"{name}_local_attention")(branch)
        for block, channels in enumerate([16, 16, 16, 8, 8], start=1):
            branch = layers.UpSampling1D(2, name=f"{name}_up{block}")(branch)
            branch = layers.Conv1D(channels, 5, name=f"{name}_conv{block}", **same)(branch)
        branch = layers.Cropping1D((0, branch.shape[1] - length), name=f"{name}_crop")(branch)
        rare = keras.initializers.Constant(-2)
        outputs[name] = layers.Conv1D(
            1, 11, padding="same", activation="sigmoid", bias_initializer=rare, name=name
        )(branch)
    return keras.Model(waves, outputs)


def held_out(length):
    """The probe: two earthquakes and two stretches of noise that are not trained on, with their targets."""
    shown = {}
    pairs = zip([*events().items()][:2], [*noises().items()][:2], strict=True)
    for (name, event), (quiet, waves) in pairs:
        begin = int(event.p) - length // 3
        targets = targets_of(length, event.p - begin, event.s - begin)
        shown[f"event {name}"] = event_window(event, begin, length), targets
        shown[f"noise {quiet}"] = window(waves, 0, length), targets_of(length)
    inputs, targets = (np.stack(part) for part in zip(*shown.values(), strict=True))
    return Probe(normalised(inputs), names=[*shown], targets=targets)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=30, help="of a window; 60 in the paper")
    parser.add_argument("--log-dir", default="logs/seismic_attention", help="for TensorBoard")
    parser.add_argument("--out", type=Path, help="a folder for PNG files as well")
    parser.add_argument("--quick", action="store_true", help="a few training steps only")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    length, count, epochs = options.seconds * RATE, 960, options.epochs
    if options.quick:
        length, count, epochs = 10 * RATE, 32, 1
    inputs, targets = training_windows(count, length)
    wanted = {name: targets[..., place : place + 1] for place, name in enumerate(OUTPUTS)}
    model, probe = network(length), held_out(length)
    model.compile(
        keras.optimizers.Adam(2e-3),
        dict.fromkeys(OUTPUTS, "binary_crossentropy"),
        loss_weights={"detection": 0.2, "P": 1.0, "S": 1.0},
    )
    drawn = [
        views.Attention(rollout=False),  # the two local ones stand beside each other, not in a row
        views.Predictions(),
        views.FeatureMaps(layers=["conv1", "conv3", "memory"]),
        views.GradCAM(layers="memory", output="P", every_n_epochs=4),
    ]
    places = [sinks.TensorBoard(options.log_dir), *([sinks.Folder(options.out)] if options.out else [])]
    pictures = LayerVizCallback(probe, log_dir=places, views=drawn, every_n_epochs=2, budget=None)
    model.fit(inputs, wanted, batch_size=32, epochs=epochs, verbose=2, callbacks=[pictures])
    answers = model.predict(probe.arrays["input"], verbose=0)
    for place, name in enumerate(probe.names):
        found = [answers[wave][place, :, 0] for wave in ("P", "S")]
        words = [f"{answer.max():.2f} at {answer.argmax() / RATE:.2f} s" for answer in found]
        print(f"{name}: highest P {words[0]}, highest S {words[1]}")
    onsets = probe.targets[0].argmax(axis=0) / RATE
    print(f"The P waves of both events arrive at {onsets[1]:.2f} s")
    print(f"Pictures: {', '.join(place.location for place in places)}")
    print(f"tensorboard --logdir {options.log_dir} --samples_per_plugin=images=100")


if __name__ == "__main__":
    main()
