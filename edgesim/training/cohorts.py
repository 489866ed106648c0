"""Local training of many visits, one after another or stacked along a client axis, by the same step plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgesim.rng import Streams
from edgesim.training.objective import ANCHOR, Objective
from edgesim.training.optimizer import Optimizer
from edgesim.training.step_plan import Example, StepPlan, make_plan

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Execution:
    """How training runs here. Part of what "the same run" means, as it decides the order of float operations.

    Attributes:
        mode: one client after another, or stacked in cohorts.
        cohort: clients per cohort where stacked.
        channels_last: whether image batches are laid out with channels last.
        device: torch device.
    """

    mode: Literal["sequential", "stacked"] = "sequential"
    cohort: int = 50
    channels_last: bool = False
    device: str = "cpu"


@dataclass(frozen=True)
class Samples:
    """The training pool, on the training device: x [n, *input], y [n]."""

    x: Tensor
    y: Tensor

    def inputs(self, index: Tensor, *, channels_last: bool) -> Tensor:
        """x[index]; images come out channels-last in memory where asked."""
        taken = self.x[index]
        return (
            taken.contiguous(memory_format=torch.channels_last)
            if channels_last and taken.dim() == 4
            else taken
        )


@dataclass(frozen=True)
class Job:
    """One visit's training.

    Attributes:
        params: the tensors to train, as downloaded; left as they are.
        frozen: the tensors that are only run.
        buffers: the buffers of the network.
        samples: indices of the device's samples in the pool, [n].
        batches: per step, positions in `samples`.
        lr: learning rate of the visit.
        noise: stream name parts of the visit, for random operators.
    """

    params: Tensors
    frozen: Tensors
    buffers: Tensors
    samples: NDArray[np.int64]
    batches: Sequence[NDArray[np.int64]]
    lr: float
    noise: tuple[int, ...]


@dataclass(frozen=True)
class Trained:
    """What a visit's training gives. Tensors may be reused once the next result is asked for."""

    params: Tensors
    buffers: Tensors
    loss: float


def widths(batch: int) -> tuple[int, ...]:
    """The batch sizes that plans are made for: the full one and its halves. Short batches are padded up to one."""
    found = [batch]
    while found[-1] > 1:
        found.append(-(-found[-1] // 2))
    return tuple(found)


def has_batch_statistics(network: nn.Module) -> bool:
    """Whether a sample's output depends on the other samples of its batch."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


@dataclass
class Trainer:
    """Trains jobs with step plans, which are made once per shape and kept.

    Attributes:
        network: the architecture.
        objective: what is minimised.
        optimizer: the local optimiser; its state starts at zero in each visit.
        samples: the pool that jobs index.
        execution: sequential or stacked.
        streams: for the noise of random operators.
        batch_size: the largest batch.
    """

    network: nn.Module
    objective: Objective
    optimizer: Optimizer
    samples: Samples
    execution: Execution
    streams: Streams
    batch_size: int
    _plans: dict[tuple[object, ...], StepPlan] = field(default_factory=dict)
    _scratch: dict[tuple[object, ...], dict[str, Tensor]] = field(default_factory=dict)

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        """Train all jobs; results come in the order of the jobs."""
        if self.execution.mode == "sequential":
            yield from (self._alone(job) for job in jobs)
            return
        results: dict[int, Trained] = {}
        for cohort in self._cohorts(jobs):
            trained = self._stacked([jobs[place] for place in cohort])
            results.update(zip(cohort, trained, strict=True))
        yield from (results.pop(place) for place in range(len(jobs)))

    # ------------------------------------------------------------------------------------- one client

    @torch.inference_mode()
    def _alone(self, job: Job) -> Trained:
        params = self._fresh_copy(job)
        states = [torch.zeros_like(p) for p in params.values() for _ in range(self.optimizer.states)]
        buffers = list(job.buffers.values())
        aux = self._aux(job)
        losses = []
        features: Sequence[Tensor] | None = None
        for step, positions in enumerate(job.batches):
            plan = self.plan(job, self._width(len(positions)), None)
            if plan.prefix is not None and features is None:
                features = self._features(plan, job)
            index, weight = self._padded(positions, plan.batch)
            x = self._batch(job, features, index)
            y = self.samples.y[torch.from_numpy(job.samples[index])]
            loss, *buffers = plan.step(
                *params.values(),
                *states,
                *job.frozen.values(),
                *buffers,
                *aux.values(),
                *x,
                y,
                weight,
                *self._noise(plan, [job], step),
                *self.optimizer.scalar_values(job.lr, step),
            )
            losses.append(loss * len(positions))
        total = sum(len(positions) for positions in job.batches)
        mean = float(torch.stack(losses).sum()) / total if losses else float("nan")
        return Trained(params, dict(zip(job.buffers, buffers, strict=True)), mean)

    def _fresh_copy(self, job: Job) -> dict[str, Tensor]:
        """A copy of the job's parameters in memory that is reused from visit to visit: new pages are slow."""
        key = tuple((name, value.shape) for name, value in job.params.items())
        scratch = self._scratch.setdefault(key, {name: torch.empty_like(p) for name, p in job.params.items()})
        for name, value in job.params.items():
            scratch[name].copy_(value)
        return scratch

    def _batch(
        self, job: Job, features: Sequence[Tensor] | None, index: NDArray[np.int64]
    ) -> Sequence[Tensor]:
        if features is not None:
            positions = torch.from_numpy(index).to(self.execution.device)
            return [feature[positions] for feature in features]
        places = torch.from_numpy(job.samples[index])
        return [self.samples.inputs(places, channels_last=self.execution.channels_last)]

    def _features(self, plan: StepPlan, job: Job) -> list[Tensor]:
        """The prefix's outputs for all samples of the visit, in batches of the plan's size."""
        assert plan.prefix is not None
        count = len(job.samples)
        chunks = []
        for start in range(0, count, plan.batch):
            index = np.minimum(np.arange(start, start + plan.batch), count - 1)
            (x,) = self._batch(job, None, index)
            chunks.append(plan.prefix(*job.frozen.values(), x))
        return [torch.cat(parts)[:count] for parts in zip(*chunks, strict=True)]

    # ------------------------------------------------------------------------------------------- many clients

    def _cohorts(self, jobs: Sequence[Job]) -> Iterator[list[int]]:
        """Places of jobs that can be stacked: the same shapes and batch width, the longest visits first."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for place, job in enumerate(jobs):
            width = self._width(max(len(positions) for positions in job.batches))
            groups.setdefault((width, job.lr, tuple(job.params), tuple(job.frozen)), []).append(place)
        for members in groups.values():
            members.sort(key=lambda place: -len(jobs[place].batches))
            for start in range(0, len(members), self.execution.cohort):
                yield members[start : start + self.execution.cohort]

    @torch.inference_mode()
    def _stacked(self, jobs: Sequence[Job]) -> list[Trained]:
        width = self._width(max(len(positions) for job in jobs for positions in job.batches))
        params = {name: _stack([job.params[name] for job in jobs]).clone() for name in jobs[0].params}
        frozen = {name: _stack([job.frozen[name] for job in jobs]) for name in jobs[0].frozen}
        buffers = {name: _stack([job.buffers[name] for job in jobs]).clone() for name in jobs[0].buffers}
        aux = (
            {ANCHOR + name: value.clone() for name, value in params.items()}
            if self.objective.proximal
            else {}
        )
        states = [torch.zeros_like(p) for p in params.values() for _ in range(self.optimizer.states)]
        losses = torch.zeros(len(jobs), dtype=next(iter(params.values())).dtype, device=self.execution.device)
        features = self._stacked_features(jobs, width, frozen)
        for step in range(len(jobs[0].batches)):
            active = [job for job in jobs if len(job.batches) > step]
            count = len(active)
            plan = self.plan(jobs[0], width, count)
            index, weight = self._padded_many([job.batches[step] for job in active], width)
            x = self._stacked_batch(active, features, index)
            places = np.stack([job.samples[rows] for job, rows in zip(active, index, strict=True)])
            loss, *fresh = plan.step(
                *(value[:count] for group in (params.values(), states, frozen.values()) for value in group),
                *(value[:count] for value in buffers.values()),
                *(value[:count] for value in aux.values()),
                *x,
                self.samples.y[torch.from_numpy(places)],
                weight,
                *self._noise(plan, active, step),
                *self.optimizer.scalar_values(jobs[0].lr, step),
            )
            for name, value in zip(buffers, fresh, strict=True):
                buffers[name][:count] = value
            sizes = torch.tensor([len(job.batches[step]) for job in active], dtype=loss.dtype)
            losses[:count] += loss * sizes.to(loss.device)
        return _unstacked(jobs, params, buffers, losses.tolist())

    def _stacked_batch(
        self, jobs: Sequence[Job], features: Sequence[Tensor] | None, index: NDArray[np.int64]
    ) -> Sequence[Tensor]:
        if features is not None:
            rows = torch.arange(len(jobs), device=self.execution.device).unsqueeze(1)
            positions = torch.from_numpy(index).to(self.execution.device)
            return [feature[rows, positions] for feature in features]
        places = np.stack([job.samples[rows] for job, rows in zip(jobs, index, strict=True)])
        return [self.samples.x[torch.from_numpy(places)]]

    def _stacked_features(self, jobs: Sequence[Job], width: int, frozen: Tensors) -> Sequence[Tensor] | None:
        plan = self.plan(jobs[0], width, len(jobs))
        if plan.prefix is None:
            return None
        counts = np.array([len(job.samples) for job in jobs])
        chunks = []
        for start in range(0, counts.max(), width):
            index = np.minimum(np.arange(start, start + width), counts[:, None] - 1)
            (x,) = self._stacked_batch(jobs, None, index)
            chunks.append(plan.prefix(*frozen.values(), x))
        return [torch.cat(parts, dim=1) for parts in zip(*chunks, strict=True)]

    # ------------------------------------------------------------------------------------------- both

    def plan(self, job: Job, width: int, clients: int | None) -> StepPlan:
        """The plan for jobs of this shape, batches of this width and so many clients; made on first use."""
        key = (tuple(job.params), tuple(job.frozen), width, clients)
        if key not in self._plans:
            x = self.samples.x.new_empty(width, *self.samples.x.shape[1:])
            if self.execution.channels_last and clients is None and x.dim() == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            y = self.samples.y.new_empty(width)
            example = Example(job.params, job.frozen, job.buffers, self._aux(job), x, y)
            self._plans[key] = make_plan(self.network, self.objective, self.optimizer, example, clients)
        return self._plans[key]

    def _aux(self, job: Job) -> dict[str, Tensor]:
        return {ANCHOR + name: p for name, p in job.params.items()} if self.objective.proximal else {}

    def _width(self, size: int) -> int:
        """Batch width of the plan for so many samples; exact under batch statistics, which padding would enter."""
        return (
            size
            if has_batch_statistics(self.network)
            else min(width for width in widths(self.batch_size) if width >= size)
        )

    def _padded(self, positions: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], Tensor]:
        index, weight = self._padded_many([positions], width)
        return index[0], weight[0]

    def _padded_many(
        self, positions: Sequence[NDArray[np.int64]], width: int
    ) -> tuple[NDArray[np.int64], Tensor]:
        """Index [clients, width] and weight of the same shape; a padded place repeats a sample at weight zero."""
        sizes = np.array([len(each) for each in positions])
        index = np.stack([np.resize(each, width) for each in positions])
        weight = (np.arange(width) < sizes[:, None]) / sizes[:, None]
        return index, torch.from_numpy(weight).to(self.execution.device, self.samples.x.dtype)

    def _noise(self, plan: StepPlan, jobs: Sequence[Job], step: int) -> list[Tensor]:
        """Kept or dropped (1 or 0) for each random input, from each visit's own stream."""
        drawn = []
        for number, noise in enumerate(plan.noise):
            shape = noise.shape if plan.clients is None else noise.shape[1:]
            rows = [
                self.streams.generator("dropout", *job.noise, step, number).random(shape) < noise.keep
                for job in jobs
            ]
            stacked = rows[0] if plan.clients is None else np.stack(rows)
            drawn.append(torch.from_numpy(stacked).to(self.execution.device, self.samples.x.dtype))
        return drawn


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors along a new leading axis; without copying where all are the same one."""
    first = tensors[0]
    if all(tensor is first for tensor in tensors):
        return first.expand(len(tensors), *first.shape)
    return torch.stack(list(tensors))


def _unstacked(
    jobs: Sequence[Job], params: Tensors, buffers: Tensors, losses: Sequence[float]
) -> list[Trained]:
    return [
        Trained(
            {name: value[row] for name, value in params.items()},
            {name: value[row] for name, value in buffers.items()},
            losses[row] / sum(len(positions) for positions in job.batches),
        )
        for row, job in enumerate(jobs)
    ]
