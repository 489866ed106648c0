"""Local training of many visits, one after another or stacked along a client axis, by the same step plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgesim.models._recurrent import has_recurrence
from edgesim.rng import Streams
from edgesim.training._stacking import stack, unstack
from edgesim.training.batches import Positions, padded, widths
from edgesim.training.objective import ANCHOR, Objective
from edgesim.training.optimizer import Optimizer
from edgesim.training.step_plan import Example, StepPlan, make_plan

Tensors = Mapping[str, Tensor]
_Key = tuple[object, ...]


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
    """The training pool, on the training device: x [n, *input], y [n] or, one per position, [n, length]."""

    x: Tensor
    y: Tensor

    def inputs(self, index: Tensor, *, channels_last: bool) -> Tensor:
        """x[index]; images come out channels-last in memory where asked."""
        taken = self.x[index]
        return _with_channels_last(taken) if channels_last and taken.dim() == 4 else taken


def _with_channels_last(images: Tensor) -> Tensor:
    """The images in that layout, by their strides too: torch takes those of a single channel for either."""
    _, channels, height, width = images.shape
    strides = (channels * height * width, 1, channels * width, channels)
    return images.contiguous(memory_format=torch.channels_last).as_strided(images.shape, strides)


@dataclass(frozen=True)
class Job:
    """One visit's training.

    Attributes:
        network: the architecture of what the device holds; its own values are not used.
        params: the tensors to train, as downloaded; left as they are.
        frozen: the tensors that are only run.
        buffers: the buffers of the network.
        aux: what the strategy's rule reads.
        samples: indices of the device's samples in the pool, [n].
        batches: per step, positions in `samples`.
        lr: learning rate of the visit.
        noise: stream name parts of the visit, for random operators.
        draws: what the rule reads besides `aux`, [steps] each: a number for each batch.
    """

    network: nn.Module
    params: Tensors
    frozen: Tensors
    buffers: Tensors
    aux: Tensors
    samples: NDArray[np.int64]
    batches: Sequence[Positions]
    lr: float
    noise: tuple[int, ...]
    draws: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """What a visit's training gives. Its tensors hold until the next result is asked for, and no longer.

    Attributes:
        params: the trained tensors.
        buffers: the network's buffers after the last step.
        loss: mean over the samples that were processed; nan where none was.
    """

    params: Tensors
    buffers: Tensors
    loss: float

    def lasting(self) -> Trained:
        """The same in memory of its own."""
        params, buffers = (
            {name: tensor.clone() for name, tensor in group.items()} for group in (self.params, self.buffers)
        )
        return Trained(params, buffers, self.loss)


def unstackable(network: nn.Module) -> str | None:
    """Why clients of a network cannot be stacked in cohorts; null where they can."""
    if has_batch_statistics(network):
        return "batch norm would see the padding"
    if has_recurrence(network):
        return "PyTorch cannot run recurrent layers of many clients at once"
    return None


def has_batch_statistics(network: nn.Module) -> bool:
    """Whether a sample's output depends on the other samples of its batch."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


@dataclass
class Trainer:
    """Trains jobs with step plans, which are made once per shape and kept as long as their network.

    Attributes:
        network: the whole model's architecture.
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
    _plans: WeakKeyDictionary[nn.Module, dict[_Key, StepPlan]] = field(default_factory=WeakKeyDictionary)
    _scratch: WeakKeyDictionary[nn.Module, dict[_Key, dict[str, Tensor]]] = field(
        default_factory=WeakKeyDictionary
    )

    def __post_init__(self) -> None:
        self._widths = widths(self.batch_size)
        self._exact_width = has_batch_statistics(self.network)

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        """Train all jobs; results come in the order of the jobs."""
        if self.execution.mode == "sequential":
            yield from (self._alone(job) for job in jobs)
            return
        waiting: dict[int, Trained] = {}
        following = 0
        for cohort in self._cohorts(jobs):
            trained = self._stacked([jobs[place] for place in cohort], reuse=not waiting)
            waiting.update(zip(cohort, trained, strict=True))
            while following in waiting:
                yield waiting.pop(following)
                following += 1

    # ------------------------------------------------------------------------------------- one client

    @torch.inference_mode()
    def _alone(self, job: Job) -> Trained:
        params = self._copies(job, job.params, None)
        states = [torch.zeros_like(p) for p in params.values() for _ in range(self.optimizer.states)]
        buffers = list(job.buffers.values())
        aux = {**job.aux, **self._anchors(job.params)}
        losses = []
        features: Sequence[Tensor] | None = None
        for step, positions in enumerate(job.batches):
            plan = self.plan(job, self._width(len(positions)), None)
            if plan.prefix is not None and features is None:
                features = self._features(plan, job)
            (index,), (weight,) = self._padded([positions], plan.batch, job)
            loss, *buffers = plan.step(
                *params.values(),
                *states,
                *job.frozen.values(),
                *buffers,
                *aux.values(),
                *(self._numbers(drawn[step], job) for drawn in job.draws.values()),
                *self._batch(job, features, index),
                self.samples.y[torch.from_numpy(job.samples[index])],
                weight,
                *self._noise(plan, [job], step),
                *self.optimizer.scalar_values(job.lr, step),
            )
            losses.append(loss * len(positions))
        total = float(torch.stack(losses).sum()) if losses else 0.0
        return Trained(params, dict(zip(job.buffers, buffers, strict=True)), _mean(total, job))

    def _batch(self, job: Job, features: Sequence[Tensor] | None, index: Positions) -> Sequence[Tensor]:
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

    # ------------------------------------------------------------------------------------- many clients

    def _cohorts(self, jobs: Sequence[Job]) -> Iterator[list[int]]:
        """Places of jobs that can be stacked: the same shapes and batch width, the longest visits first."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for place, job in enumerate(jobs):
            key = (job.network, self._widest(job), job.lr, *_names(job))
            groups.setdefault(key, []).append(place)
        for members in groups.values():
            members.sort(key=lambda place: -len(jobs[place].batches))
            for start in range(0, len(members), self.execution.cohort):
                yield members[start : start + self.execution.cohort]

    @torch.inference_mode()
    def _stacked(self, jobs: Sequence[Job], *, reuse: bool) -> list[Trained]:
        """Train a cohort, the longest visit first; each step runs those that still have one to do."""
        width = self._widest(jobs[0])
        given = stack([job.params for job in jobs])
        params = (
            self._copies(jobs[0], given, len(jobs))
            if reuse
            else {name: p.clone() for name, p in given.items()}
        )
        frozen = stack([job.frozen for job in jobs])
        buffers = {name: b.clone() for name, b in stack([job.buffers for job in jobs]).items()}
        aux = stack([job.aux for job in jobs]) | self._anchors(given)
        states = [torch.zeros_like(p) for p in params.values() for _ in range(self.optimizer.states)]
        losses = torch.zeros(len(jobs), dtype=_dtype(jobs[0]), device=self.execution.device)
        features = self._stacked_features(jobs, width, frozen)
        for step in range(len(jobs[0].batches)):
            active = [job for job in jobs if len(job.batches) > step]
            count = len(active)
            plan = self.plan(jobs[0], width, count)
            index, weight = self._padded([job.batches[step] for job in active], width, jobs[0])
            loss, *fresh = plan.step(
                *(value[:count] for group in (params.values(), states, frozen.values()) for value in group),
                *(value[:count] for group in (buffers.values(), aux.values()) for value in group),
                *self._drawn(active, step),
                *self._stacked_batch(active, features, index),
                self.samples.y[_places(active, index)],
                weight,
                *self._noise(plan, active, step),
                *self.optimizer.scalar_values(jobs[0].lr, step),
            )
            for name, value in zip(buffers, fresh, strict=True):
                buffers[name][:count] = value
            sizes = torch.tensor([len(job.batches[step]) for job in active], dtype=loss.dtype)
            losses[:count] += loss * sizes.to(loss.device)
        rows = zip(
            unstack(params, len(jobs)), unstack(buffers, len(jobs)), losses.tolist(), jobs, strict=True
        )
        return [Trained(own, statistics, _mean(total, job)) for own, statistics, total, job in rows]

    def _stacked_batch(
        self, jobs: Sequence[Job], features: Sequence[Tensor] | None, index: Positions
    ) -> Sequence[Tensor]:
        if features is not None:
            rows = torch.arange(len(jobs), device=self.execution.device).unsqueeze(1)
            positions = torch.from_numpy(index).to(self.execution.device)
            return [feature[rows, positions] for feature in features]
        return [self.samples.x[_places(jobs, index)]]

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

    # ------------------------------------------------------------------------------------- both

    def plan(self, job: Job, width: int, clients: int | None) -> StepPlan:
        """The plan for jobs of this shape, batches of this width and so many clients; made on first use."""
        plans, key = self._plans.setdefault(job.network, {}), (width, clients, *_names(job))
        if key not in plans:
            x = self.samples.x.new_empty(width, *self.samples.x.shape[1:])
            if self.execution.channels_last and clients is None and x.dim() == 4:
                x = _with_channels_last(x)
            y = self.samples.y.new_empty(width, *self.samples.y.shape[1:])
            example = Example(job.params, job.frozen, job.buffers, self._all_aux(job), x, y)
            plans[key] = make_plan(job.network, self.objective, self.optimizer, example, clients)
        return plans[key]

    def _all_aux(self, job: Job) -> dict[str, Tensor]:
        """What a plan reads as aux, in its order: of the visit, then what is drawn per batch."""
        drawn = {name: self._numbers(0.0, job) for name in job.draws}
        return {**job.aux, **self._anchors(job.params), **drawn}

    def _drawn(self, jobs: Sequence[Job], step: int) -> list[Tensor]:
        """What is drawn for a batch of each job, [jobs] each."""
        return [self._numbers([job.draws[name][step] for job in jobs], jobs[0]) for name in jobs[0].draws]

    def _numbers(self, values: float | Sequence[float], job: Job) -> Tensor:
        return torch.as_tensor(values, dtype=_dtype(job), device=self.execution.device)

    def _anchors(self, params: Tensors) -> dict[str, Tensor]:
        return {ANCHOR + name: p for name, p in params.items()} if self.objective.proximal else {}

    def _copies(self, job: Job, params: Tensors, clients: int | None) -> dict[str, Tensor]:
        """Copies to train in, in memory that is reused from visit to visit: new pages are slow."""
        known, key = self._scratch.setdefault(job.network, {}), (clients is None, *_names(job))
        if key not in known:
            room = self.execution.cohort
            known[key] = {
                name: torch.empty_like(p) if clients is None else p.new_empty(room, *p.shape[1:])
                for name, p in params.items()
            }
        scratch = known[key]
        return {
            name: (scratch[name] if clients is None else scratch[name][:clients]).copy_(p)
            for name, p in params.items()
        }

    def _width(self, size: int) -> int:
        """Width of the plan for so many samples; exact under batch statistics, which padding would enter."""
        return size if self._exact_width else min(width for width in self._widths if width >= size)

    def _widest(self, job: Job) -> int:
        return self._width(max((len(positions) for positions in job.batches), default=1))

    def _padded(self, batches: Sequence[Positions], width: int, job: Job) -> tuple[Positions, Tensor]:
        index, weight = padded(batches, width)
        return index, torch.from_numpy(weight).to(self.execution.device, _dtype(job))

    def _noise(self, plan: StepPlan, jobs: Sequence[Job], step: int) -> list[Tensor]:
        """Kept or dropped for each element of each random input, from each visit's own stream."""
        drawn = []
        for number, noise in enumerate(plan.noise):
            shape = noise.shape if plan.clients is None else noise.shape[1:]
            rows = [
                self.streams.generator("dropout", *job.noise, step, number).random(shape) < noise.keep
                for job in jobs
            ]
            stacked = rows[0] if plan.clients is None else np.stack(rows)
            drawn.append(torch.from_numpy(stacked).to(self.execution.device, noise.dtype))
        return drawn


def _names(job: Job) -> _Key:
    """What jobs of one network must share to run by the same plan."""
    return tuple(job.params), tuple(job.frozen), tuple(job.aux)


def _dtype(job: Job) -> torch.dtype:
    """Floating-point type of the parameters, in which losses are weighted; samples may be tokens."""
    return next(iter(job.params.values())).dtype


def _places(jobs: Sequence[Job], index: Positions) -> Tensor:
    """Where in the pool the samples of a batch lie, [clients, width]."""
    return torch.from_numpy(np.stack([job.samples[rows] for job, rows in zip(jobs, index, strict=True)]))


def _mean(total: float, job: Job) -> float:
    """Mean loss from the sum over all samples that a visit processed."""
    processed = sum(len(positions) for positions in job.batches)
    return total / processed if processed else float("nan")
