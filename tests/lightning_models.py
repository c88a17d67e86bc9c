"""LightningModules for both namespaces, and a small Trainer."""

import importlib

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torch_models import ConvNet, images, process_state, seed_all

NAMESPACES = ["lightning.pytorch", "pytorch_lightning"]


def namespace(name=NAMESPACES[0]):
    return importlib.import_module(name)


def digit_net(name=NAMESPACES[0], **parts):
    """A module around `ConvNet`; `parts` replace or add methods."""
    lightning = namespace(name)

    class DigitNet(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = ConvNet()
            self.order = []

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, batch_idx):
            x, y = batch
            self.order.append(x.sum().item())
            loss = functional.cross_entropy(self(x), y)
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch, batch_idx):
            x, y = batch
            self.log("val_loss", functional.cross_entropy(self(x), y))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    kind = type("DigitNet", (DigitNet,), parts)
    return kind()


def train_loader(**options):
    return DataLoader(TensorDataset(*images(12)), batch_size=4, **{"shuffle": True, **options})


def val_loader():
    return DataLoader(TensorDataset(*images(6, seed=2)), batch_size=6)


def loaders():
    return [train_loader(), val_loader()]


def small_trainer(*callbacks, name=NAMESPACES[0], **options):
    settings = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
    }
    return namespace(name).Trainer(callbacks=list(callbacks), **{**settings, **options})


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.conv(x)


def step_of(call):
    """A training or validation step whose loss is that of `call(module, batch)`, which gives logits and y."""

    def step(self, batch, batch_idx):
        return functional.cross_entropy(*call(self, batch))

    return step


class Latents(nn.Module):
    """A generator: from four numbers to a picture."""

    def __init__(self):
        super().__init__()
        self.spread = nn.Linear(4, 36)
        self.drop = nn.Dropout(0.2)
        self.conv = nn.ConvTranspose2d(1, 1, 3)

    def forward(self, z):
        return self.conv(self.drop(self.spread(z)).unflatten(1, (1, 6, 6))).sigmoid()


def gan(name=NAMESPACES[0]):
    """Two networks and two optimizers, taken in turns by hand; batches are (real pictures, latents)."""
    lightning = namespace(name)

    class Gan(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.generator = Latents()
            self.discriminator = ConvNet(inplace=False)

        def training_step(self, batch, batch_idx):
            real, z = batch
            for_generator, for_discriminator = self.optimizers()
            self.toggle_optimizer(for_generator)
            self.step(for_generator, -self.discriminator(self.generator(z)).mean())
            self.untoggle_optimizer(for_generator)
            self.toggle_optimizer(for_discriminator)
            fake = self.generator(z).detach()
            self.step(for_discriminator, self.discriminator(fake).mean() - self.discriminator(real).mean())
            self.untoggle_optimizer(for_discriminator)

        def step(self, optimizer, loss):
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

        def configure_optimizers(self):
            networks = self.generator, self.discriminator
            return [torch.optim.Adam(network.parameters(), lr=0.01) for network in networks]

    return Gan()


def gan_loader():
    latents = torch.randn(12, 4, generator=torch.Generator().manual_seed(5))
    return DataLoader(TensorDataset(images(12)[0], latents), batch_size=4, shuffle=False)


def outcome(make, loaders, *callbacks, name=NAMESPACES[0], **options):
    """Train what `make()` gives; everything about the training that must not change, and the module."""
    seed_all()
    module = make()
    trainer = small_trainer(*callbacks, name=name, **options)
    trainer.fit(module, *loaders())
    module = trainer.lightning_module
    return {
        "weights": dict(module.state_dict()),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "metrics": dict(trainer.callback_metrics),
        "steps": (trainer.global_step, trainer.current_epoch),
        "modes": [part.training for part in module.modules()],
        "learns": [parameter.requires_grad for parameter in module.parameters()],
        "attributes": sorted(vars(module)),
        "process": process_state(),
    }, module
