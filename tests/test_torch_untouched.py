"""A model that is read trains exactly as one that is not."""

import collections
import random

import numpy as np
import pytest
import torch
from fakes import ListSink
from statistics_oracles import AsksForStatistics
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torch_models import ConvNet, images, process_state, read_all, same, seed_all

from layerviz_callbacks import SnapshotFile, Snapshots, inspect, views
from layerviz_callbacks.torch import attach


def train(visit=None, *, epochs=3, freeze=False):
    """Train with a shuffling loader; `visit(model, epoch)` between the epochs; everything that counts."""
    seed_all()
    model = ConvNet()
    optimizer = torch.optim.Adam(model.parameters())
    loader = DataLoader(TensorDataset(*images()), batch_size=4, shuffle=True)
    losses, order = [], []
    for epoch in range(epochs + 1):
        if visit is not None:
            visit(model, epoch)
        if epoch == epochs:
            break
        if epoch == 0:
            model.train()
            if freeze:
                model.norm.eval()
        for x, y in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            order.append(x.sum().item())
    return {
        "weights": dict(model.state_dict()),
        "optimizer": optimizer.state_dict(),
        "gradients": [parameter.grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "losses": losses,
        "order": order,
        "process": process_state(),
    }


def test_training_is_the_same_bit_for_bit_with_attach(tmp_path):
    records = {}

    def visit(model, epoch):
        if epoch == 0:
            records["now"] = attach(model, images(2, seed=5)[0], log_dir=tmp_path, layers="*")
        else:
            records["now"](epoch)

    assert same(train(visit), train())
    records["now"].close()


def test_training_is_the_same_where_the_best_epoch_and_snapshots_are_kept(tmp_path):
    pytest.importorskip("h5py")
    records, options = {}, {"monitor": "loss", "snapshots": Snapshots(tmp_path / "run.h5", everything=True)}

    def visit(model, epoch):
        if epoch == 0:
            records["now"] = attach(model, images(2, seed=5)[0], log_dir=tmp_path, **options)
        else:
            records["now"](epoch, loss=(0.5, 0.9, 0.3)[epoch - 1])

    assert same(train(visit), train())
    records["now"].close()
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file.best_step == 3


@pytest.mark.parametrize(
    "options", [{"nesterov": True, "foreach": True}, {"weight_decay": 0.1, "foreach": False}], ids=str
)
def test_training_is_the_same_bit_for_bit_where_statistics_are_taken_of_all_layers(options):
    view = AsksForStatistics(layers="*")

    def trained(*, watched):
        seed_all()
        model, (x, y) = ConvNet(), images()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, **options)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

        def epochs(record):
            for epoch in range(1, 4):
                optimizer.zero_grad()
                functional.cross_entropy(model(x), y).backward()
                optimizer.step()
                schedule.step()
                record(epoch)

        if watched:
            arguments = {"log_dir": ListSink(), "views": [view], "optimizer": optimizer}
            with attach(model, x[:2].numpy(), **arguments) as record:
                epochs(record)
        else:
            epochs(lambda epoch: None)
        return {
            "weights": dict(model.state_dict()),
            "optimizer": optimizer.state_dict(),
            "gradients": [parameter.grad for parameter in model.parameters()],
            "modes": [module.training for module in model.modules()],
            "hooks": [len(optimizer._optimizer_step_post_hooks), len(optimizer._optimizer_step_pre_hooks)],
            "process": process_state(),
        }

    assert same(trained(watched=True), trained(watched=False))
    for name in ("conv", "head"):
        found = view.snapshots[-1][name].statistics
        assert found.output is not None and found.weights.gradient.any() and found.weights.update.any()


def test_training_with_a_frozen_batch_norm_is_the_same_and_stays_frozen():
    visited = train(lambda model, epoch: read_all(model, images(2)[0]), freeze=True)
    assert visited["modes"][2] is False and visited["modes"][1] is True
    assert same(visited, train(freeze=True))


def test_the_comparison_catches_a_visit_that_leaves_evaluation_mode_on():
    assert not same(train(lambda model, epoch: model.eval()), train())


def test_the_comparison_catches_a_visit_that_draws_random_numbers():
    assert not same(train(lambda model, epoch: torch.rand(1)), train())


def test_the_comparison_catches_a_visit_in_training_mode():
    def visit(model, epoch):
        with torch.no_grad():
            model(images(2)[0])

    assert not same(train(visit)["weights"], train()["weights"])


class WithScript(nn.Module):
    """A block that TorchScript compiled, with a frozen layer in it."""

    def __init__(self):
        super().__init__()
        block = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.BatchNorm2d(4))
        self.block = torch.jit.script(block)
        self.head = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x):
        return self.head(self.block(x).flatten(1))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_block_that_torchscript_compiled_trains_the_same():
    def trained(*, read):
        seed_all()
        model = WithScript()
        model.train()
        dict(model.named_modules())["block.3"].eval()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        x, y = images()
        for _ in range(3):
            if read:
                assert read_all(model, x[:2])["block.0"].output is not None
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        modes = {name: module.training for name, module in model.named_modules()}
        return {"weights": dict(model.state_dict()), "modes": modes, "process": process_state()}

    visited = trained(read=True)
    assert visited["modes"]["block.2"] is True and visited["modes"]["block.3"] is False
    assert same(visited, trained(read=False))


class Stateful(nn.Module):
    """Changes all it has in each forward pass."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("replaced", torch.zeros(1))
        self.plain = torch.zeros(2)
        self.seen = []
        self.table = {"calls": 0}
        self.queue = collections.deque([1, 2], maxlen=2)
        self.names = {"a"}
        self.generator = torch.Generator()
        self.numpy_generator = np.random.default_rng(0)
        self.python_generator = random.Random(0)

    def forward(self, x):
        self.count += 1
        self.replaced = self.replaced + 1
        self.plain.add_(1)
        self.seen.append(x)
        self.table["calls"] += 1
        self.queue.append(9)
        self.names.add("b")
        self.cache = x
        noise = torch.rand(2) + torch.rand(2, generator=self.generator)
        noise = noise + self.numpy_generator.random() + self.python_generator.random()
        noise = noise + random.random() + np.random.rand()  # noqa: NPY002
        return self.linear(x) + noise


def state_of(model):
    return {
        "count": model.count.clone(),
        "replaced": model.replaced.clone(),
        "plain": model.plain.clone(),
        "seen": len(model.seen),
        "table": dict(model.table),
        "queue": list(model.queue),
        "names": sorted(model.names),
        "generator": model.generator.get_state(),
        "numpy": repr(model.numpy_generator.bit_generator.state),
        "python": model.python_generator.getstate(),
        "attributes": sorted(vars(model)),
        "process": process_state(),
    }


def test_everything_that_a_forward_pass_changes_is_put_back():
    model = Stateful()
    identities = [id(model.count), id(model.replaced), id(model.seen), id(model.table)]
    before = state_of(model)
    read_all(model, np.ones((1, 2)))
    assert same(state_of(model), before)
    assert identities == [id(model.count), id(model.replaced), id(model.seen), id(model.table)]
    model(torch.ones(1, 2))
    changed = state_of(model)
    assert all(not same(changed[name], before[name]) for name in before)  # each is really changed by it


def test_a_model_that_is_random_at_inference_shows_the_same_draw_each_time():
    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    model = nn.Sequential(Noise())
    first = read_all(model, np.zeros((1, 2)))["0"].output
    torch.rand(7)
    np.testing.assert_array_equal(read_all(model, np.zeros((1, 2)))["0"].output, first)


def test_all_is_put_back_after_a_failure_in_the_model():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout()

        def forward(self, x):
            self.drop(x)
            torch.rand(1)
            raise RuntimeError("on purpose")

    model, before = Fails(), process_state()
    try:
        read_all(model, np.zeros((1, 2)))
    except ValueError as error:
        assert "on purpose" in str(error)
    else:
        raise AssertionError("the fault was swallowed")
    assert model.training and model.drop.training
    assert same(process_state(), before)
    assert not model.drop._forward_hooks


def test_train_and_eval_of_the_user_are_not_called():
    class Merging(nn.Linear):
        def train(self, mode=True):
            raise AssertionError("train() was called")

    read_all(nn.Sequential(Merging(2, 2)), np.zeros((1, 2)))


def test_the_model_can_be_read_under_inference_mode_and_trained_afterwards():
    model = ConvNet()
    with torch.inference_mode():
        read_all(model, images(2)[0])
    functional.cross_entropy(model(images(4)[0]), images(4)[1]).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_model_that_differentiates_in_its_forward_pass_is_read_under_inference_mode():
    class Force(nn.Module):
        def __init__(self):
            super().__init__()
            self.energy = nn.Linear(2, 1, bias=False)

        def forward(self, x):
            with torch.enable_grad():
                x = x.clone().requires_grad_()
                return torch.autograd.grad(self.energy(x).sum(), x)[0]

    model = Force()
    with torch.inference_mode():
        snapshot = read_all(model, np.ones((3, 2)))
    np.testing.assert_array_equal(snapshot.outputs["output"], model.energy.weight.detach().expand(3, 2))


def test_reading_inside_autocast_leaves_the_gradients_whole():
    def gradients(*, read):
        seed_all()
        model = ConvNet()
        x, y = images(4)
        with torch.autocast("cpu", torch.bfloat16):
            if read:
                read_all(model, x)
            functional.cross_entropy(model(x), y).backward()
        return [parameter.grad for parameter in model.parameters()]

    assert same(gradients(read=True), gradients(read=False))


def test_a_compiled_model_is_not_compiled_again():
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    model = torch.compile(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), backend=counter)
    x = torch.ones(3, 2)
    model(x)
    compiled = counter.frame_count
    read_all(model, x)
    model(x)
    assert counter.frame_count == compiled == 1


def test_views_draw_what_the_reader_read():
    snapshot = read_all(ConvNet(), images(2)[0])
    tags = [picture.tag for picture in snapshot.pictures(views.Filters(), views.FeatureMaps())]
    assert any(tag.endswith("_conv") and tag.startswith("filters/") for tag in tags)
    assert any(tag.endswith("_head") and tag.startswith("feature maps/") for tag in tags)


def test_a_batch_normalisation_that_is_called_in_training_mode_keeps_its_statistics():
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)
            self.kept = torch.zeros(3)  # a plain attribute, changed behind the back of version counters

        def forward(self, x):
            nn.functional.batch_norm(x, self.kept, torch.ones(3), training=True)
            return nn.functional.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=True)

    model = Stubborn()
    inspect(model, torch.arange(12.0).reshape(4, 3))
    assert model.norm.running_mean.tolist() == [0, 0, 0]
    assert model.norm.running_var.tolist() == [1, 1, 1]
    assert model.kept.tolist() == [0, 0, 0]


class NoisyDigits(torch.utils.data.Dataset):
    """Each worker process draws noise of its own."""

    def __len__(self):
        return 12

    def __getitem__(self, place):
        return torch.full((1, 8, 8), float(place)) + torch.randn(1, 8, 8), place % 3


@pytest.mark.filterwarnings("ignore:This process")
def test_shuffled_loaders_with_worker_processes_give_the_same_training(tmp_path):
    def trained(log_dir):
        torch.manual_seed(5)
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(72, 3)
        )
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
        loader = DataLoader(NoisyDigits(), batch_size=4, shuffle=True, num_workers=2)

        def epochs(record):
            for epoch in range(1, 4):
                for x, y in loader:
                    optimizer.zero_grad()
                    functional.cross_entropy(model(x), y).backward()
                    optimizer.step()
                record(epoch)

        if log_dir is None:
            epochs(lambda epoch: None)
        else:
            with attach(model, torch.ones(2, 1, 8, 8), log_dir=log_dir, on_error="raise") as record:
                epochs(record)
        return [tensor.clone() for tensor in model.state_dict().values()], torch.get_rng_state()

    plain, random_state = trained(None)
    pictured, random_state_too = trained(tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(plain, pictured, strict=True))
    assert torch.equal(random_state, random_state_too)
