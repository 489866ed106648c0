"""The closed form of a run on quadratics: how the model moves on average over all that is drawn.

Where client i steps from x by gamma (M_i x - v_i) on average, with draws that are fresh in every round, the
mean of the model moves linearly:

    E[x+] = E[x] - gamma (M E[x] - v)          M, v: means of the M_i, v_i over the clients, as weighted

Several steps that nothing is drawn for are taken one after the other by each client. As gap and distance are
convex, those of the mean are a lower bound of the mean ones (Jensen), and where nothing is drawn they are
what a run has but for rounding. The methods say themselves what M_i and v_i are
(`SubmodelStrategy.expected_step`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesim.aggregation._server_optimizer import ServerSgd
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.fill import Fill
from edgesim.coordination.synchronous import Synchronous
from edgesim.experiment import Outcome, initial_weights
from edgesim.models.vector import Vector
from edgesim.parts import Parts
from edgesim.scenario import Scenario
from edgesim.sections import Training
from edgesim.submodels._submodel import SubmodelStrategy

Floats = NDArray[np.float64]


def closed_form(parts: Parts, outcome: Outcome) -> dict[str, Sequence[float]] | None:
    """Columns `version`, `gap` and `distance` of the mean model, for each version that the run evaluated.

    Null where that is not known exactly: it is for the model `vector` in synchronous rounds of all devices,
    each with plain full-gradient steps (one, where anything is drawn), and a plain mean of what they did.
    """
    if not (_applies(parts, outcome) and _whole_rounds(outcome, len(parts.shards))):
        return None
    training = parts.scenario.training
    with np.errstate(all="ignore"):  # steps that are too large end at infinity, in the run as here
        mean = _mean_step(parts)
        if mean is None:
            return None
        start = np.concatenate([value.numpy(force=True).ravel() for value in initial_weights(parts).values()])
        models = mean.models(
            start.astype(np.float64),
            lambda version: training.learning_rate * training.schedule.factor(version),
        )
        return _measured(parts, models, sorted(set(outcome.tables["evaluations"]["version"])))


@dataclass(frozen=True)
class _MeanStep:
    """What a visit does to the model on average.

    Attributes:
        curvatures: M_i [n, d, d].
        offsets: v_i [n, d].
        shares: of each client in the mean, [n].
        steps: of each visit.
    """

    curvatures: Floats
    offsets: Floats
    shares: Floats
    steps: int

    def models(self, start: Floats, rate: Callable[[int], float]) -> Iterator[Floats]:
        """The mean of version 0, 1, .. [d], from that of version 0 and the learning rate of each version."""
        model, version = start, 0
        while True:
            yield model
            clients = np.broadcast_to(model, self.offsets.shape)
            for _ in range(self.steps):
                slopes = (self.curvatures @ clients[:, :, None])[:, :, 0] - self.offsets
                clients = clients - rate(version) * slopes
            model, version = self.shares @ clients, version + 1


def _applies(parts: Parts, outcome: Outcome) -> bool:
    """Whether the run trained on quadratics, and did nothing but plain steps and a plain mean."""
    scenario, largest = parts.scenario, int(parts.ledger.samples.max())
    return all(
        (
            outcome.weights is not None,
            type(scenario.model) is Vector and parts.data.optimum is not None,
            type(scenario.coordination) is Synchronous and not scenario.growth.grows,
            _plain_mean(scenario),
            _plain_descent(scenario.training) and scenario.execution.precision != "bfloat16",
            scenario.training.batch_size >= largest,
            _speaks_for_itself(scenario.submodel),
        )
    )


def _plain_mean(scenario: Scenario) -> bool:
    """Whether the next version is the mean of all devices' models, as it was where they hold nothing."""
    aggregation = scenario.aggregation
    covers = type(aggregation) is Covered and not scenario.submodel.partial
    return (covers or type(aggregation) is Fill) and aggregation.server_optimizer == ServerSgd()


def _plain_descent(training: Training) -> bool:
    """Whether a step is the learning rate times the gradient, and nothing else."""
    extras = (training.momentum, training.weight_decay, training.clip_norm, training.proximal)
    return training.optimizer == "sgd" and not any(extras)


def _speaks_for_itself(strategy: SubmodelStrategy) -> bool:
    """Whether what it says of its mean step is of this very method: not where a class below changes that."""

    def home(name: str) -> type[object]:
        return next(cls for cls in type(strategy).__mro__ if name in vars(cls))

    return all(issubclass(home("expected_step"), home(name)) for name in ("assign", "rule"))


def _whole_rounds(outcome: Outcome, devices: int) -> bool:
    """Whether every version came of one update of every device, all from the version before."""
    visits, last = outcome.tables["dispatches"], max(outcome.tables["aggregations"]["version"], default=0)
    base = np.array(visits["base_version"], dtype=np.int64)
    merged = np.array([ended == "aggregated" for ended in visits["outcome"]], dtype=bool)
    used = base < last
    return bool(merged[used].all() and (np.bincount(base[used], minlength=last) == devices).all())


def _mean_step(parts: Parts) -> _MeanStep | None:
    """Of all devices; null where the method does not know it, or draws for several steps at once."""
    strategy, samples = parts.scenario.submodel, parts.ledger.samples.tolist()
    steps = {parts.ledger.work.steps_of(count) for count in samples}
    if len(steps) > 1 or (strategy.partial and steps != {1}):
        return None
    held = [parts.data.train_x[parts.pool[shard]].astype(np.float64) for shard in parts.shards]
    curvatures = np.stack([_curvature(own) for own in held])
    expected = strategy.expected_step(curvatures, np.stack([own[:, -1].mean(0) for own in held]))
    if expected is None:
        return None
    weights = np.array([parts.scenario.aggregation.client_weight(count) for count in samples])
    step = _MeanStep(*expected, weights / weights.sum(), steps.pop())
    return _at_once(step) if step.steps == 1 else step


def _at_once(step: _MeanStep) -> _MeanStep:
    """The same with one client for all, as the mean of single steps is the step of the means."""
    curvature = np.tensordot(step.shares, step.curvatures, 1)
    return _MeanStep(curvature[None], (step.shares @ step.offsets)[None], np.ones(1), 1)


def _curvature(samples: Floats) -> Floats:
    """Mean of the R'R [d, d] of samples [n, rows + 1, d] (see `models.vector`)."""
    factors = samples[:, :-1].reshape(-1, samples.shape[-1])
    return np.asarray(factors.T @ factors / len(samples))


def _measured(parts: Parts, models: Iterator[Floats], versions: Sequence[int]) -> dict[str, Sequence[float]]:
    """Gap and distance of some versions, ascending, of a sequence of models."""
    optimum, wanted = parts.data.optimum, set(versions)
    assert optimum is not None
    curvature, rows = _curvature(parts.data.test_x.astype(np.float64)), []
    for version, model in zip(range(versions[-1] + 1), models, strict=False):
        if version in wanted:
            apart = model - optimum
            rows.append((version, float(apart @ curvature @ apart) / 2, float(np.linalg.norm(apart))))
    columns = [list(column) for column in zip(*rows, strict=True)]
    return dict(zip(("version", "gap", "distance"), columns, strict=True))
