"""The server's optimiser against torch.optim on the pseudo-gradient, old model - aggregated model."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import ServerAdam, ServerSgd
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.delta import Delta
from edgesim.aggregation.fill import Fill
from tests.aggregation.merging import merged, sent
from tests.scenarios import BASE, refusal, scenario

SIZE = 5
KINDS = [
    (ServerSgd(learning_rate=0.5, momentum=0.9), lambda p: torch.optim.SGD([p], lr=0.5, momentum=0.9)),
    (ServerSgd(learning_rate=0.3), lambda p: torch.optim.SGD([p], lr=0.3)),
    (
        ServerAdam(learning_rate=0.1, beta1=0.8, beta2=0.99, epsilon=1e-3),
        lambda p: torch.optim.Adam([p], lr=0.1, betas=(0.8, 0.99), eps=1e-3),
    ),
]
AGAINST_TORCH = pytest.mark.parametrize(("optimizer", "torchs"), KINDS, ids=["momentum", "sgd", "adam"])


def rounds(seed: int, count: int = 6) -> list[list[Update]]:
    """Random updates that train parts of a tensor; its last coordinate always, its first never."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        crowd = []
        for weight in (1.0, 3.0):
            mask = torch.rand(SIZE, generator=generator) < 0.4
            mask[0], mask[-1] = False, True
            values = torch.randn(SIZE, dtype=torch.float64, generator=generator)
            crowd.append(Update({"w": values}, weight, {"w": mask}, base={"w": torch.ones_like(values)}))
        made.append(crowd)
    return made


def run(aggregator: Aggregator, history: Iterable[list[Update]]) -> list[Tensor]:
    """The tensor after each aggregation, from zero."""
    weights, moments, found = {"w": torch.zeros(SIZE, dtype=torch.float64)}, {}, []
    for crowd in history:
        weights, moments = aggregator.aggregate(weights, crowd, moments)
        found.append(weights["w"])
    return found


@AGAINST_TORCH
@pytest.mark.parametrize("rule", [Covered, Fill, Delta])
def test_each_coordinate_follows_torch_over_the_aggregations_that_trained_it(
    rule: type[Aggregator], optimizer: ServerSgd | ServerAdam, torchs
) -> None:
    history = rounds(seed=3)
    weights = run(rule(server_optimizer=optimizer), history)
    for at in range(SIZE):
        parameter = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        reference = torchs(parameter)
        for crowd, after in zip(history, weights, strict=True):
            if any(update.masks["w"][at] for update in crowd):
                before = {"w": torch.zeros(SIZE, dtype=torch.float64)}
                before["w"][at] = parameter.item()
                parameter.grad = (before["w"] - merged(rule(), before, crowd)["w"])[at : at + 1]
                reference.step()
            assert after[at].item() == pytest.approx(parameter.item(), rel=1e-12, abs=1e-14)


def test_the_default_takes_the_aggregation_as_it_is_bit_for_bit() -> None:
    before = {"w": torch.tensor([0.1, 0.7, -3.3])}
    crowd = [Update({"w": torch.tensor(row)}, 1.0) for row in ([0.3, 1e-7, 5.1], [-2.9, 0.7, 1e9])]
    expected = before["w"] + sum(u.values["w"] - before["w"] for u in crowd) / 2
    after, moments = Covered().aggregate(before, crowd, {})
    assert torch.equal(after["w"], expected)
    assert moments == {}


def test_momentum_by_hand() -> None:
    """Two updates that ask for +1 each: the first moves by 1/2, the second by (1/2)(1/2 + 1)."""
    rule = Covered(server_optimizer=ServerSgd(learning_rate=0.5, momentum=0.5))
    weights, moments = rule.aggregate(
        {"w": torch.tensor([0.0])}, [Update({"w": torch.tensor([1.0])}, 1.0)], {}
    )
    assert (weights["w"].item(), moments["w"][0].item()) == (0.5, 1.0)
    weights, moments = rule.aggregate(weights, [Update({"w": torch.tensor([1.5])}, 1.0)], moments)
    assert (weights["w"].item(), moments["w"][0].item()) == (1.25, 1.5)


def test_state_goes_in_and_comes_out_and_is_left_as_it_was() -> None:
    rule = Covered(server_optimizer=ServerAdam(learning_rate=0.1))
    first, second = rounds(seed=1, count=2)
    before, moments = rule.aggregate({"w": torch.zeros(SIZE, dtype=torch.float64)}, first, {})
    copies = [tensor.clone() for tensor in moments["w"]]
    one, other = (rule.aggregate(before, second, moments) for _ in range(2))
    assert torch.equal(one[0]["w"], other[0]["w"])
    assert all(torch.equal(*pair) for pair in zip(moments["w"], copies, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(steps=st.integers(1, 200))
def test_adams_first_steps_have_the_size_of_its_learning_rate_in_any_precision(
    dtype: torch.dtype, steps: int
) -> None:
    """Under a constant gradient both means are exact once their bias is corrected."""
    optimizer = ServerAdam(learning_rate=0.1, beta2=0.999, epsilon=1e-12)
    counted = torch.full((1,), steps - 1.0, dtype=dtype)
    share = 1 - torch.tensor([0.9, 0.999], dtype=torch.float64) ** (steps - 1)
    state = (share[0:1].to(dtype) * 0.01, share[1:2].to(dtype) * 0.0001, counted)
    after, *_ = optimizer.step(torch.zeros(1, dtype=dtype), torch.full((1,), 0.01, dtype=dtype), state)
    assert after.item() == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("rule", [Covered, Delta])
def test_statistics_of_norms_are_averaged_and_meet_no_optimiser(rule: type[Aggregator]) -> None:
    before = {"w": torch.tensor([0.0]), "running_var": torch.tensor([1.0])}
    values = {"w": torch.tensor([1.0]), "running_var": torch.tensor([0.5])}
    update = sent(before, values, 1.0, statistics=frozenset(["running_var"]))
    optimizer = ServerSgd(learning_rate=4.0, momentum=0.5)
    after, moments = rule(server_optimizer=optimizer).aggregate(before, [update], {})
    assert (after["w"].item(), after["running_var"].item()) == (4.0, 0.5)
    assert set(moments) == {"w"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sgd", ServerSgd(learning_rate=1.0, momentum=0.0)),
        ("{name: sgd, learning_rate: 0.7, momentum: 0.9}", ServerSgd(learning_rate=0.7, momentum=0.9)),
        ("{name: adam, learning_rate: 0.1, beta1: 0.5}", ServerAdam(learning_rate=0.1, beta1=0.5)),
    ],
)
@pytest.mark.parametrize("name", ["covered", "fill", "zero_inclusive", "mix", "delta"])
def test_every_aggregation_takes_one_from_the_scenario(
    name: str, text: str, expected: ServerSgd | ServerAdam
) -> None:
    several = name in ("covered", "fill", "zero_inclusive")
    policy = f"{{name: buffered, buffer: {1 + several}, concurrency: 2}}"
    fleet = BASE[: BASE.index("coordination")]
    base = f"{fleet}coordination: {policy}\nstop: {{rounds: 3}}\n"
    written = scenario(f"{base}aggregation: {{name: {name}, server_optimizer: {text}}}\n")
    assert written.aggregation is not None
    assert written.aggregation.server_optimizer == expected
    assert scenario(written.to_yaml()) == written


def test_adam_needs_a_learning_rate() -> None:
    (line,) = refusal(f"{BASE}aggregation: {{name: delta, server_optimizer: adam}}\n")
    assert line.startswith("x.yaml:10: aggregation.server_optimizer.learning_rate: ")
