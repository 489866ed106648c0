"""Small networks, visits to train on them, and the same visits by plain PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgesim.rng import Streams
from edgesim.training.cohorts import Execution, Job, Samples, Trainer
from edgesim.training.objective import Objective
from edgesim.training.optimizer import Adam, Optimizer, Sgd

CLASSES = 4
BATCH = 5
POOL = 40


def make(kind: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A network for images of 1x6x6; the same weights each time."""
    body: list[nn.Module] = {
        "mlp": [nn.Flatten(), nn.Linear(36, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, CLASSES)],
        "dropout": [nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, CLASSES)],
        "conv": [*_stage(1, 3, nn.ReLU()), nn.MaxPool2d(2), *_stage(3, 4, nn.ReLU()), *_head(36)],
        "cnn": [
            *(*_stage(1, 4, nn.ReLU()), nn.MaxPool2d(2), *_stage(4, 5, nn.ReLU())),
            *(nn.Flatten(), nn.Linear(45, 6), nn.Tanh(), nn.Linear(6, CLASSES)),
        ],
        "group_norm": [*_stage(1, 4, nn.GroupNorm(2, 4)), *_stage(4, 4, nn.GroupNorm(4, 4)), *_head(144)],
        # No bias before a batch norm: its gradient is rounding error around zero, which Adam would blow up.
        "batch_norm": [*_stage(1, 3, nn.BatchNorm2d(3)), *_stage(3, 3, nn.BatchNorm2d(3)), *_head(108)],
    }[kind]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = nn.Sequential(*(copy.deepcopy(layer) for layer in body))
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.3)
    return network.to(dtype)


def _stage(channels: int, out: int, then: nn.Module) -> list[nn.Module]:
    bias = not isinstance(then, nn.BatchNorm2d)
    return [nn.Conv2d(channels, out, 3, padding=1, bias=bias), then, nn.Tanh()]


def _head(features: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(features, CLASSES)]


def pool(dtype: torch.dtype = torch.float64) -> Samples:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(POOL, 1, 6, 6, generator=generator, dtype=torch.float64)
    return Samples(x.to(dtype), torch.randint(0, CLASSES, (POOL,), generator=generator))


def jobs(
    network: nn.Module, sizes: Sequence[int], *, trained: int | None = None, epochs: int = 2, lr: float = 0.1
) -> list[Job]:
    """One job per size, with short last batches; `trained` counts tensors from the classifier."""
    draw = np.random.default_rng(3)
    params = {name: p.detach() for name, p in network.named_parameters()}
    names = list(params)
    suffix = names if trained is None else names[-trained:]
    made = []
    for number, size in enumerate(sizes):
        orders = [draw.permutation(size) for _ in range(epochs)]
        made.append(
            Job(
                network=network,
                aux={},
                params={name: params[name] for name in suffix},
                frozen={name: params[name] for name in names if name not in suffix},
                buffers={name: b.detach() for name, b in network.named_buffers()},
                samples=draw.choice(POOL, size, replace=False),
                batches=[order[at : at + BATCH] for order in orders for at in range(0, size, BATCH)],
                lr=lr,
                noise=(number, 0),
            )
        )
    return made


def trainer(
    network: nn.Module,
    objective: Objective | None = None,
    optimizer: Optimizer | None = None,
    execution: Execution | None = None,
) -> Trainer:
    dtype = next(network.parameters()).dtype
    return Trainer(
        network=network,
        objective=objective or Objective(),
        optimizer=optimizer or Sgd(),
        samples=pool(dtype),
        execution=execution or Execution(),
        streams=Streams(1),
        batch_size=BATCH,
    )


def trained(made: Trainer, work: Sequence[Job]) -> list[dict[str, Tensor]]:
    """Parameters, buffers and the loss after each job."""
    results = []
    for result in made.train(work):
        tensors = {**result.params, **result.buffers}
        loss = torch.tensor(result.loss, dtype=torch.float64)
        results.append({name: tensor.clone() for name, tensor in tensors.items()} | {"loss": loss})
    return results


def eager(network: nn.Module, job: Job, objective: Objective, optimizer: Optimizer) -> dict[str, Tensor]:
    """The same job by autograd, torch.optim and torch's own clipping."""
    network = copy.deepcopy(network).train()
    for name, p in network.named_parameters():
        p.requires_grad_(name in job.params)
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.BatchNorm2d) and not any(p.requires_grad for p in own):
            module.eval()
    params = [p for p in network.parameters() if p.requires_grad]
    step_with = _torch_optimizer(params, job.lr, optimizer)
    samples = pool(params[0].dtype)
    losses = []
    for batch in job.batches:
        index = torch.from_numpy(job.samples[batch])
        loss = functional.cross_entropy(network(samples.x[index]), samples.y[index])
        pairs = zip(params, job.params.values(), strict=True)
        loss = loss + objective.proximal / 2 * sum((p - start).square().sum() for p, start in pairs)
        step_with.zero_grad()
        loss.backward()
        if objective.clip_norm is not None:
            nn.utils.clip_grad_norm_(params, objective.clip_norm)
        step_with.step()
        losses.append(float(loss.detach()) * len(batch))
    mean = torch.tensor(sum(losses) / sum(len(batch) for batch in job.batches), dtype=torch.float64)
    tensors: dict[str, Tensor] = dict(zip(job.params, (p.detach() for p in params), strict=True))
    return {**tensors, **dict(network.named_buffers()), "loss": mean}


def _torch_optimizer(params: list[nn.Parameter], lr: float, like: Optimizer) -> Any:
    if isinstance(like, Adam):
        return torch.optim.Adam(params, lr=lr, weight_decay=like.weight_decay)
    return torch.optim.SGD(params, lr=lr, momentum=like.momentum, weight_decay=like.weight_decay)


def difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Largest absolute difference between two results."""
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)
