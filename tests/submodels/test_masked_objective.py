"""What random masks minimise (algorithms 3.4): filled up and averaged, one local step goes down F_p (P39)."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from edgesim.aggregation.fill import Fill
from edgesim.submodels.random_mask import RandomMask
from edgesim.training.accounting import LocalWork
from edgesim.training.federation import Federation
from tests.training.federations import federation, run_round

DENSITY, LEARNING_RATE, ROUNDS = 0.4, 0.5, 600
ONE_STEP = LocalWork(epochs=None, steps=1, batch_size=100)


class Linear(nn.Module):
    """The first three pixels to four classes: twelve parameters, so that all 4096 masks can be listed."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(3, 4, bias=False, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x.flatten(1)[:, :3])  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def learner() -> Federation:
    torch.manual_seed(0)
    strategy = RandomMask(density=DENSITY, scaler=False)
    made = federation(
        strategy, [DENSITY] * 4, network=Linear(), aggregator=Fill(weights="equal"), work=ONE_STEP
    )
    made.learning_rate = lambda version: LEARNING_RATE  # noqa: ARG005
    return made


def gradient_of_masked_objective(learner: Federation) -> Tensor:
    """grad F_p(w), F_p(w) = mean over clients of E_m f_i(m w), over all masks."""
    masks = torch.tensor(list(itertools.product((0.0, 1.0), repeat=12)), dtype=torch.float64).reshape(
        -1, 4, 3
    )
    held = masks.sum((1, 2))
    chance = DENSITY**held * (1 - DENSITY) ** (12 - held)
    weights = learner.weights["output.weight"].clone().requires_grad_()
    samples, objective = learner.trainer.samples, torch.zeros((), dtype=torch.float64)
    for shard in learner.shards:
        index = torch.from_numpy(shard)
        x, y = samples.x[index].flatten(1)[:, :3], samples.y[index]
        logits = torch.einsum("moi,ni->mon", masks * weights, x)
        losses = nn.functional.cross_entropy(logits, y.expand(len(masks), -1), reduction="none").mean(1)
        objective = objective + (chance * losses).sum() / len(learner.shards)
    (gradient,) = torch.autograd.grad(objective, weights)
    return gradient


def test_the_mean_update_is_a_step_down_the_masked_objective(learner: Federation) -> None:
    start = dict(learner.weights)
    expected = -LEARNING_RATE * gradient_of_masked_objective(learner)
    steps = []
    for version in range(ROUNDS):
        learner.weights = dict(start)
        run_round(learner, version, range(4))
        steps.append(learner.weights["output.weight"] - start["output.weight"])
    found = torch.stack(steps)
    error = found.std(0) / ROUNDS**0.5
    assert ((found.mean(0) - expected).abs() < 3 * error).all()
    assert expected.abs().max() > 20 * error.max()  # so that no step at all would be found out
