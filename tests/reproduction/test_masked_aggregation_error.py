"""How far masks move an aggregation from FedAvg (end of algorithms 3.7, "Theory"):

    e(P) = |MA_P - FedAvg|^2 / |FedAvg - W|^2

with start model, data order and deltas held fixed. It falls in each density where a reference client holds
the whole model, as in FedGMR: then a further client on a coordinate makes an average of more. Where nobody
else holds a coordinate it may rise, as one client alone can be further from the average than no change is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation.covered import Covered
from edgesim.experiment import threads
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.submodels._submodel import Context
from edgesim.submodels.fedgmr import FedGMR, Refresh
from tests.aggregation.merging import merged

CLIENTS, SEEDS = 5, range(6)
STRATEGY = FedGMR()
CLASSES = (1.0, 0.5, 0.2, 0.1, 0.05)
LEAST = (1.0, 0.05, 0.05, 0.05, 0.05)
LADDER = CLASSES[::-1]
DELAYED = pytest.mark.parametrize(
    "delayed", [(), (3, 4), (1, 2, 3, 4)], ids=["fresh", "some late", "all late"]
)
SKEW = pytest.mark.parametrize("skewed", [False, True], ids=["alike", "two classes each"])

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Situation:
    """A model and what each client makes of it, with the refreshes that masks may come from.

    Attributes:
        structure: of the model.
        weights: of the model.
        returned: by each client, trained without a mask.
        before: the refresh before the last one.
        now: the last refresh.
    """

    structure: ModelStructure
    weights: Weights
    returned: Sequence[Weights]
    before: Refresh
    now: Refresh

    def update(self, client: int, density: float, *, late: bool) -> Update:
        """What a client with this density returns; masks of a late one are those of the refresh before."""
        memory = self.before if late else self.now
        mask = STRATEGY.assign(self.weights, self.structure, Context(0, 0, 0, density, memory=memory)).mask
        held = {} if mask is None else {name: torch.from_numpy(own) for name, own in mask.tensors.items()}
        return Update(self.returned[client], 1.0, masks=held)

    def error(self, densities: Sequence[float], delayed: Collection[int]) -> float:
        """e(P)."""
        updates = [self.update(i, density, late=i in delayed) for i, density in enumerate(densities)]
        average = merged(Covered(), self.weights, [Update(values, 1.0) for values in self.returned])
        masked = merged(Covered(), self.weights, updates)
        return distance(masked, average) / distance(average, self.weights)


def distance(one: Weights, other: Weights) -> float:
    return sum(float((one[name] - other[name]).double().square().sum()) for name in one)


@cache
def situations(skewed: bool) -> Sequence[Situation]:
    with threads(1):
        return [situation(seed, skewed) for seed in SEEDS]


def situation(seed: int, skewed: bool) -> Situation:
    """Digits on an MLP: 100 steps, a refresh, 25 more, another, and five local steps of each client."""
    x, y = (torch.from_numpy(each) for each in load_digits(return_X_y=True))
    pool, generator = (x.float() / 16, y), torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = pairwise((64, 32, 32, 10))
        layers = [layer for size in sizes for layer in (nn.Linear(*size), nn.ReLU())][:-1]
        network = nn.Sequential(*layers)
    structure = read_structure(network, (64,))
    order = torch.randperm(len(y), generator=generator)
    dealt = order[torch.sort(y[order], stable=True).indices] if skewed else order
    weights: Weights = {name: p.detach() for name, p in network.named_parameters()}
    memories = [STRATEGY.remember(weights, structure, None, 0)]
    for number, steps in enumerate((100, STRATEGY.refresh), start=1):
        weights = trained(network, weights, pool, order, steps, generator)
        memories.append(STRATEGY.remember(weights, structure, memories[-1], number * STRATEGY.refresh))
    shards = dealt.chunk(CLIENTS)
    returned = [trained(network, weights, pool, shard, 5, generator) for shard in shards]
    return Situation(structure, weights, returned, *memories[1:])


def trained(
    network: nn.Module,
    weights: Weights,
    pool: tuple[Tensor, Tensor],
    samples: Tensor,
    steps: int,
    generator: torch.Generator,
) -> Weights:
    """SGD with batches of 20 and a learning rate of 0.05."""
    x, y = pool
    for _ in range(steps):
        batch = samples[torch.randint(len(samples), (20,), generator=generator)]
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
        loss = nn.functional.cross_entropy(functional_call(network, leaves, (x[batch],)), y[batch])
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        steps_of = zip(leaves.items(), gradients, strict=True)
        weights = {name: (leaf - 0.05 * gradient).detach() for (name, leaf), gradient in steps_of}
    return weights


def mean_error(skewed: bool, densities: Sequence[float], delayed: Collection[int]) -> float:
    return float(np.mean([each.error(densities, delayed) for each in situations(skewed)]))


@SKEW
@DELAYED
def test_whole_models_have_no_error(skewed: bool, delayed: tuple[int, ...]) -> None:
    assert [each.error((1.0,) * CLIENTS, delayed) for each in situations(skewed)] == [0] * len(SEEDS)


@SKEW
@DELAYED
@pytest.mark.parametrize("others", [CLASSES, LEAST], ids=["classes", "least"])
def test_the_mean_error_falls_in_the_density_of_each_client_beside_the_reference(
    skewed: bool, delayed: tuple[int, ...], others: Sequence[float]
) -> None:
    for client in range(1, CLIENTS):
        errors = [
            mean_error(skewed, [*others[:client], density, *others[client + 1 :]], delayed)
            for density in LADDER
        ]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < errors[0]


@SKEW
@DELAYED
def test_each_step_of_a_growing_floor_brings_the_aggregation_nearer_to_fedavg(
    skewed: bool, delayed: tuple[int, ...]
) -> None:
    errors = [mean_error(skewed, [max(floor, c) for c in CLASSES], delayed) for floor in LADDER]
    assert all(larger > smaller for larger, smaller in pairwise(errors))
    assert errors[-1] == 0


def test_late_masks_are_other_masks() -> None:
    for each in situations(False):
        fresh, late = (each.update(4, 0.05, late=flag).masks for flag in (False, True))
        assert any(not torch.equal(mask, late[name]) for name, mask in fresh.items())


def test_without_a_reference_a_lone_client_may_be_worse_than_none() -> None:
    """Three clients want 1, -1 and 0.5: from their average, 1/6, the first is five times as far as 0 is."""
    before = {"w": torch.zeros(1, dtype=torch.float64)}
    wanted = [{"w": torch.full((1,), value, dtype=torch.float64)} for value in (1.0, -1.0, 0.5)]
    nobody, held = ({"w": torch.tensor([flag])} for flag in (False, True))
    average = merged(Covered(), before, [Update(values, 1.0) for values in wanted])
    for masks, error in (((nobody,) * 3, 1), ((held, nobody, nobody), 25), ((held, held, nobody), 1)):
        updates = [Update(values, 1.0, masks=mask) for values, mask in zip(wanted, masks, strict=True)]
        found = distance(merged(Covered(), before, updates), average) / distance(average, before)
        assert found == pytest.approx(error)
