"""Is training untouched? Each training twice, without and with every view of every layer at every step.

    python benchmarks/purity.py                              # Keras, PyTorch and Lightning
    KERAS_BACKEND=jax python benchmarks/purity.py --framework keras

Compares weights, optimizers, statistics, gradients, metrics, modes and the random states of Python, NumPy and
the framework, bit for bit, and prints a table: framework | training | untouched | what was compared.
"""

import argparse
import logging
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from layerviz_callbacks import verify, views

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(16, 8, 8, 1)).astype(np.float32)
WAVES = RANDOM.normal(size=(16, 12, 3)).astype(np.float32)
LABELS = np.arange(16) % 3


def every_view():
    """All there is to be drawn, so that everything there is to be read is read; gradients in each way."""
    return [
        views.Filters(),
        views.FeatureMaps(),
        views.Attention(),
        views.Composite(),
        views.Predictions(),
        views.GradCAM(),
        views.GradCAM(method="layercam", target=1),
        views.Saliency(method="smoothgrad", steps=2),
        views.Saliency(method="integrated gradients", steps=2),
        views.Patterns(max_channels=2, steps=2, jitter=1),
        views.Health(),
    ]


def batches(x):
    return [(x[:8], LABELS[:8]), (x[8:], LABELS[8:])]


def keras_trainings():
    import keras
    from keras import layers

    def training(build, x=IMAGES, optimizer="adam", **options):
        def make():
            model = keras.Sequential([keras.Input(x.shape[1:]), *build(), layers.Flatten(), layers.Dense(3)])
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            given = optimizer if isinstance(optimizer, str) else optimizer()
            model.compile(given, loss, metrics=["accuracy"], **options)
            return model

        return make, batches(x)

    def frozen():
        norm = layers.BatchNormalization()
        norm.trainable = False
        return [layers.Conv2D(4, 3), norm]

    def convolution():
        return [layers.Conv2D(4, 3, activation="relu")]

    def attention():
        tokens = keras.Input((12, 3))
        return [keras.Model(tokens, layers.MultiHeadAttention(2, 4, dropout=0.2)(tokens, tokens))]

    augment = [layers.RandomFlip, lambda: layers.RandomRotation(0.2), lambda: layers.GaussianNoise(0.3)]
    decay = keras.optimizers.schedules.ExponentialDecay
    return {
        "dropout and batch normalisation": training(
            lambda: [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.5)]
        ),
        "a frozen batch normalisation": training(frozen),
        "data augmentation layers": training(lambda: [*(make() for make in augment), layers.Conv2D(4, 3)]),
        "spectral normalisation": training(lambda: [layers.SpectralNormalization(layers.Conv2D(4, 3))]),
        "weight decay, a schedule": training(
            convolution, optimizer=lambda: keras.optimizers.AdamW(decay(0.01, 1, 0.5), weight_decay=0.1)
        ),
        "gradient accumulation": training(
            convolution, optimizer=lambda: keras.optimizers.Adam(gradient_accumulation_steps=2)
        ),
        "averaged weights": training(convolution, optimizer=lambda: keras.optimizers.Adam(use_ema=True)),
        "an LSTM with dropout": training(
            lambda: [layers.LSTM(4, dropout=0.3, return_sequences=True, unroll=True)], WAVES
        ),
        "attention with dropout": training(attention, WAVES),
        "run eagerly": training(lambda: [layers.Conv2D(4, 3), layers.Dropout(0.5)], run_eagerly=True),
    }


def torch_trainings():
    import torch
    from torch import nn

    images = torch.from_numpy(IMAGES).movedim(-1, 1).contiguous()
    waves = torch.from_numpy(WAVES)

    def training(build, x=images, optimizer=torch.optim.Adam, every=1, precision=None):
        def make():
            model = nn.Sequential(*build(), nn.Flatten(), nn.LazyLinear(3))
            model(x[:2])
            chosen = optimizer(model.parameters())
            schedule = torch.optim.lr_scheduler.StepLR(chosen, 1, gamma=0.5)
            done = []

            def step(batch):
                with torch.autocast("cpu", torch.bfloat16, enabled=precision is not None):
                    loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
                loss.backward()
                done.append(loss)
                if len(done) % every == 0:
                    chosen.step()
                    chosen.zero_grad()
                    schedule.step()
                return loss.detach()

            return model, step

        labels = torch.from_numpy(LABELS)
        return make, [(x[:8], labels[:8]), (x[8:], labels[8:])]

    def frozen():
        norm = nn.BatchNorm2d(4)
        norm.eval()
        return [nn.Conv2d(1, 4, 3), norm]

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 4, num_layers=2, dropout=0.3, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0]

    def convolution():
        return [nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True)]

    return {
        "dropout and batch normalisation": training(
            lambda: [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)]
        ),
        "a frozen batch normalisation": training(frozen),
        "spectral norm": training(lambda: [nn.utils.spectral_norm(nn.Conv2d(1, 4, 3))]),
        "spectral norm, parametrised": training(
            lambda: [nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 4, 3))]
        ),
        "weight decay, a schedule": training(
            convolution, optimizer=lambda parameters: torch.optim.AdamW(parameters, 0.01, weight_decay=0.1)
        ),
        "gradient accumulation": training(convolution, every=2),
        "an LSTM with dropout": training(lambda: [Recurrent()], waves),
        "attention with dropout": training(
            lambda: [nn.TransformerEncoderLayer(3, 1, 8, dropout=0.2, batch_first=True)], waves
        ),
        "autocast to bfloat16": training(convolution, precision="bf16"),
    }


def lightning_trainings():
    import torch
    from lightning.pytorch import LightningModule

    def training(make):
        def made():
            network, _ = make()

            class Module(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.network = network

                def forward(self, x):
                    return self.network(x)

                def training_step(self, batch, index):
                    loss = torch.nn.functional.cross_entropy(self(batch[0]), batch[1])
                    self.log("loss", loss)
                    return loss

                def configure_optimizers(self):
                    optimizer = torch.optim.Adam(self.parameters())
                    return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

            return Module()

        return made

    chosen = ("dropout and batch normalisation", "spectral norm", "an LSTM with dropout")
    return {
        name: (training(make), given) for name, (make, given) in torch_trainings().items() if name in chosen
    }


FRAMEWORKS = {"keras": keras_trainings, "torch": torch_trainings, "lightning": lightning_trainings}


def verified(framework, chosen=None):
    """Yield the name of each training, or of those that are chosen, and its `Verification`."""
    for name, (make, given) in FRAMEWORKS[framework]().items():
        if not chosen or name in chosen:
            yield name, verify(make, given, views=every_view())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--framework", choices=FRAMEWORKS, action="append", help="default: all three")
    parser.add_argument("--training", action="append", help="such as 'an LSTM with dropout'; default: all")
    given = parser.parse_args()
    logging.getLogger("layerviz_callbacks").setLevel(logging.ERROR)
    touched = 0
    print("framework | training | untouched | what was compared, bit for bit")
    for framework in given.framework or FRAMEWORKS:
        for name, found in verified(framework, given.training):
            touched += not found.untouched
            compared = ", ".join(f"{count} {group}" for group, count in found.compared.items() if count)
            differing = "; ".join(map(str, found.differences + found.unrepeatable))
            print(f"{framework} | {name} | {'yes' if found.untouched else 'NO: ' + differing} | {compared}")
    sys.exit(touched)


if __name__ == "__main__":
    main()
