# ruff: noqa: T201
"""A plain PyTorch loop in one of two processes, with DistributedDataParallel. Run by test_torch_devices.py.

python torch_processes.py RANK PORT FOLDER all|first|none|sharded
"""

import json
import os
import sys

import numpy as np
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from layerviz_callbacks import ArgumentError
from layerviz_callbacks.torch import attach

rank, port, folder, who = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
torch.manual_seed(0)
network = nn.Sequential(nn.Conv1d(1, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2))
x = torch.from_numpy(np.random.default_rng(rank).normal(size=(6, 1, 8)).astype(np.float32))

if who == "sharded":
    try:
        attach(fully_shard(network), x[:2], log_dir=folder)
    except ArgumentError as error:
        print(json.dumps({"told": str(error)}))
    sys.exit()

model = DistributedDataParallel(network)
optimizer = torch.optim.SGD(model.parameters(), 0.1)


def epoch():
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()


if who == "all" or (who == "first" and rank == 0):
    with attach(model, x[:2], log_dir=folder, on_error="raise") as record:
        for number in range(1, 4):
            epoch()
            record(number)
else:
    for _ in range(3):
        epoch()
weights = [tensor.tolist() for tensor in network.state_dict().values()]
print(json.dumps({"weights": weights}))
torch.distributed.barrier()
torch.distributed.destroy_process_group()
