"""A step plan does what autograd and torch.optim do, alone or stacked, and leaves alone what is frozen."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from edgesim.errors import RunFailed
from edgesim.submodels._rule import Rule
from edgesim.training import _graph
from edgesim.training.cohorts import Execution, Job
from edgesim.training.objective import Objective
from edgesim.training.optimizer import Adam, Sgd
from edgesim.training.step_plan import Example, StepPlan, make_plan
from tests.training.visits import BATCH, difference, eager, jobs, make, pool, trained, trainer

OPTIMIZERS = (Sgd(), Sgd(momentum=0.9), Sgd(weight_decay=0.01), Sgd(0.9, 0.01), Adam(), Adam(0.01))
OBJECTIVES = (Objective(), Objective(proximal=0.3), Objective(clip_norm=0.2))
STACKED = Execution("stacked", cohort=3)
UNEQUAL = (12, 7, 3, 11)  # with batches of 5: short last batches; one, two and three steps an epoch


def calls(plan: StepPlan, target: object) -> int:
    return len(_graph.calls(plan.graph, target))


# ------------------------------------------------------------------------ stacked = sequential = eager


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize(("kind", "suffix"), [("mlp", None), ("conv", 4)])
def test_stacked_equals_sequential_equals_eager_for_every_optimiser(kind, suffix, optimizer):
    check(kind, suffix, Objective(), optimizer)


@pytest.mark.parametrize("objective", OBJECTIVES[1:], ids=["proximal", "clipped"])
@pytest.mark.parametrize(("kind", "suffix"), [("mlp", 4), ("conv", None), ("group_norm", 6)])
def test_stacked_equals_sequential_equals_eager_for_every_objective(kind, suffix, objective):
    check(kind, suffix, objective, Sgd(0.9, 0.01))


def check(kind: str, suffix: int | None, objective: Objective, optimizer: Sgd | Adam) -> None:
    network = make(kind)
    work = jobs(network, UNEQUAL, trained=suffix)
    alone = trained(trainer(network, objective, optimizer), work)
    together = trained(trainer(network, objective, optimizer, STACKED), work)
    for job, a, b in zip(work, alone, together, strict=True):
        assert difference(a, eager(network, job, objective, optimizer)) < 1e-10
        assert difference(a, b) < 1e-10


plans_of_mlp = {
    (suffix, cohort): trainer(make("mlp"), execution=Execution("stacked", cohort))
    for suffix in (None, 2, 4)
    for cohort in (1, 2, 3)
}


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 16), min_size=1, max_size=6),
    epochs=st.integers(1, 3),
    suffix=st.sampled_from([None, 2, 4]),
    cohort=st.integers(1, 3),
)
def test_whatever_the_visits_are_they_can_be_stacked(sizes, epochs, suffix, cohort):
    network = make("mlp")
    work = jobs(network, sizes, trained=suffix, epochs=epochs)
    together = trained(plans_of_mlp[suffix, cohort], work)
    for job, result in zip(work, together, strict=True):
        assert difference(result, eager(network, job, Objective(), Sgd())) < 1e-10


@pytest.mark.parametrize("suffix", [None, 5, 2])
@pytest.mark.parametrize("optimizer", [Sgd(0.9, 0.01), Adam()], ids=str)
def test_batch_norm_and_its_statistics_equal_eager(suffix, optimizer):
    network = make("batch_norm")
    for job, result in zip(
        work := jobs(network, UNEQUAL, trained=suffix),
        trained(trainer(network, None, optimizer), work),
        strict=True,
    ):
        assert difference(result, eager(network, job, Objective(), optimizer)) < 1e-10


def test_images_may_lie_in_memory_with_channels_last():
    network = make("conv")
    work = jobs(network, UNEQUAL)
    results = trained(trainer(network, execution=Execution(channels_last=True)), work)
    for job, result in zip(work, results, strict=True):
        assert difference(result, eager(network, job, Objective(), Sgd())) < 1e-10


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_the_result_does_not_depend_on_the_grouping(kind):
    network = make(kind)
    work = jobs(network, (9, 9, 4, 14, 9, 1, 6))
    executions = (Execution(), Execution("stacked", 2), Execution("stacked", 5))
    alone, by_two, by_five = (trained(trainer(network, execution=e), work) for e in executions)
    for a, b, c in zip(alone, by_two, by_five, strict=True):
        assert max(difference(a, b), difference(a, c)) < 1e-12


def test_a_visit_without_a_step_changes_nothing():
    network = make("mlp")
    work = jobs(network, (3, 4), epochs=0)
    for execution in (Execution(), STACKED):
        for job, result in zip(work, trained(trainer(network, execution=execution), work), strict=True):
            assert all(torch.equal(result[name], tensor) for name, tensor in job.params.items())
            assert torch.isnan(result["loss"])


# ----------------------------------------------------------------------------------------- bit for bit


def test_one_visit_after_another_is_autograd_bit_for_bit():
    """Plain SGD in float32. With a rate of 1/8 the update that is fused into a matmul rounds once too."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 64), nn.ReLU(), nn.Linear(64, 4))
    (job,) = jobs(network, (15,), lr=0.125)
    (result,) = trained(trainer(network), [job])
    by_hand = copy.deepcopy(network)
    params, samples = list(by_hand.parameters()), pool(torch.float32)
    for batch in job.batches:
        index = torch.from_numpy(job.samples[batch])
        loss = functional.cross_entropy(by_hand(samples.x[index]), samples.y[index])
        for p, gradient in zip(params, torch.autograd.grad(loss, params), strict=True):
            p.data.add_(gradient, alpha=-job.lr)
    assert all(torch.equal(result[name], p) for name, p in by_hand.named_parameters())


@pytest.mark.parametrize("optimizer", [Sgd(), Sgd(momentum=0.9)], ids=str)
def test_sgd_equals_that_of_torch_bit_for_bit_where_nothing_is_fused(optimizer):
    network = make("conv", torch.float32)  # a convolution's gradient is no matmul to fuse into
    (job,) = jobs(network, (15,), lr=0.125)
    (result,) = trained(trainer(network, None, optimizer), [job])
    expected = eager(network, job, Objective(), optimizer)
    convolutions = [name for name, p in job.params.items() if p.dim() == 4]
    assert len(convolutions) == 2
    assert all(torch.equal(result[name], expected[name]) for name in convolutions)


def test_training_again_gives_the_same_bits():
    network = make("dropout", torch.float32)
    work = jobs(network, UNEQUAL)
    made = trainer(network)
    first, second = trained(made, work), trained(made, work[::-1])[::-1]
    assert all(difference(a, b) == 0 for a, b in zip(first, second, strict=True))


def test_what_goes_in_is_left_as_it_was():
    network = make("batch_norm")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained(trainer(network), jobs(network, UNEQUAL))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


# ----------------------------------------------------------------------- frozen and masked coordinates


@pytest.mark.parametrize("execution", [Execution(), STACKED], ids=["sequential", "stacked"])
def test_frozen_tensors_keep_their_bits_under_momentum_and_weight_decay(execution):
    network = make("conv")
    work = jobs(network, UNEQUAL, trained=2)
    before = [{name: tensor.clone() for name, tensor in job.frozen.items()} for job in work]
    results = trained(trainer(network, None, Sgd(0.9, 0.1), execution), work)
    for job, kept, result in zip(work, before, results, strict=True):
        assert not set(result) & set(job.frozen)
        assert all(torch.equal(job.frozen[name], tensor) for name, tensor in kept.items())


@dataclass(frozen=True)
class Masked(Rule):
    """Every second element alone is held and trained."""

    def view(self, params: Mapping[str, Tensor], aux: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG002
        return {name: p * every_second(p) for name, p in params.items()}

    project = view


def every_second(p: Tensor) -> Tensor:
    return (torch.arange(p.numel(), device=p.device).reshape(p.shape) % 2).to(p.dtype)


@pytest.mark.parametrize("optimizer", [Sgd(0.9, 0.1), Adam(0.1)], ids=str)
@pytest.mark.parametrize("execution", [Execution(), STACKED], ids=["sequential", "stacked"])
def test_outside_its_mask_a_parameter_is_exactly_zero_after_every_visit(execution, optimizer):
    network = make("mlp")
    for result in trained(
        trainer(network, Objective(Masked()), optimizer, execution), jobs(network, UNEQUAL)
    ):
        del result["loss"]
        for p in result.values():
            assert torch.equal(p * (1 - every_second(p)), torch.zeros_like(p))
            assert p.any()


# ----------------------------------------------------------------------------------- the frozen prefix


def plan_of(kind: str, suffix: int | None, clients: int | None = None) -> StepPlan:
    network = make(kind)
    (job,) = jobs(network, (BATCH,), trained=suffix)
    return trainer(network).plan(job, BATCH, clients)


@pytest.mark.parametrize("clients", [None, 3])
def test_what_is_frozen_is_not_run_in_the_step(clients):
    full, two, one = (plan_of("conv", suffix, clients) for suffix in (None, 4, 2))
    convolution = torch.ops.aten.convolution.default
    assert [calls(plan, convolution) for plan in (full, two, one)] == [2, 1, 0]
    assert [calls(plan, torch.ops.aten.convolution_backward.default) for plan in (full, two, one)] == [
        2,
        1,
        0,
    ]
    assert full.prefix is None
    assert (two.features, one.features) == (1, 1)


def test_the_prefix_runs_once_per_visit_whatever_the_epochs():
    network = make("conv")
    made = trainer(network)
    (job,) = jobs(network, (12,), trained=2, epochs=4)
    plan = made.plan(job, BATCH, None)
    seen: list[int] = []

    def counted(*inputs: Tensor) -> list[Tensor]:
        seen.append(len(inputs[-1]))
        return plan.prefix(*inputs)

    plans = made._plans[network]
    plans[next(iter(plans))] = StepPlan(**{**vars(plan), "prefix": counted})
    (result,) = trained(made, [job])
    assert seen == [5, 5, 5]  # 12 samples once, in batches of the plan's width
    assert difference(result, eager(network, job, Objective(), Sgd())) < 1e-10


def test_a_frozen_layer_that_sees_the_whole_batch_stays_in_the_step():
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), norm, nn.Flatten(), nn.Linear(48, 4)).double()
    (job,) = jobs(network, (10,), trained=2)
    assert trainer(network).plan(job, BATCH, None).prefix is not None  # the convolution alone
    (result,) = trained(trainer(network), [job])
    assert difference(result, eager(network, job, Objective(), Sgd())) < 1e-10


class Sequences(nn.Module):
    """Rows as time steps, time first, as many of them as samples in a batch; attention over them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 4)
        self.attend = nn.MultiheadAttention(4, 2)
        self.out = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.embed(x[:, 0, :BATCH].transpose(0, 1)))
        return self.out(self.attend(h, h, h, need_weights=False)[0].mean(0))


@pytest.mark.parametrize("suffix", [None, 2, 4])
def test_features_are_not_cut_where_the_samples_are_not_the_rows(suffix):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Sequences().double()
    work = jobs(network, (9, 5, 7), trained=suffix)
    for execution in (Execution(), STACKED):
        for job, result in zip(work, trained(trainer(network, execution=execution), work), strict=True):
            assert difference(result, eager(network, job, Objective(), Sgd())) < 1e-10


# ------------------------------------------------------------------------------------ random operators


def test_dropout_is_drawn_from_the_visits_own_stream():
    network = make("dropout")
    work = jobs(network, (9, 9, 9))
    twins = [work[0], Job(**{**vars(work[0]), "noise": (99, 0)}), work[0]]
    first, other, again = trained(trainer(network), twins)
    assert difference(first, again) == 0
    assert difference(first, other) > 1e-3


def test_dropout_does_not_depend_on_the_grouping_nor_on_a_short_batch():
    network = make("dropout")
    work = jobs(network, UNEQUAL)
    alone = trained(trainer(network), work)
    together = trained(trainer(network, execution=STACKED), work)
    assert max(difference(a, b) for a, b in zip(alone, together, strict=True)) < 1e-12


class FusedDropout(nn.Module):
    """What nn.Dropout runs on a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.native_dropout(x, 0.25, True)[0]


@pytest.mark.parametrize(
    ("dropout", "keep"),
    [(nn.Dropout(0.25), 0.75), (nn.Dropout(0.5), 0.5), (FusedDropout(), 0.75)],
    ids=["parts", "a half", "fused"],
)
def test_dropout_keeps_its_share_and_scales_what_it_keeps(dropout, keep):
    layers = nn.Sequential(nn.Flatten(), nn.Linear(36, 500, bias=False), dropout, nn.Linear(500, 4)).double()
    made = trainer(layers)
    (job,) = jobs(layers, (BATCH,))
    plan = made.plan(job, BATCH, None)
    (noise,) = plan.noise
    assert (noise.shape, noise.keep) == ((BATCH, 500), keep)
    kept = torch.cat([made._noise(plan, [job], step)[0].double().flatten() for step in range(20)])
    assert abs(float(kept.mean()) - keep) < 4 * (keep * (1 - keep) / len(kept)) ** 0.5
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    loss = one_loss(plan, made, job, torch.ones(noise.shape, dtype=noise.dtype))
    with torch.no_grad():
        hidden = layers[1](made.samples.x[:BATCH].flatten(1)) / keep
        expected = functional.cross_entropy(layers[3](hidden), made.samples.y[:BATCH])
    assert abs(loss - float(expected)) < 1e-12


def one_loss(plan: StepPlan, made, job: Job, noise: Tensor) -> float:
    params = [p.clone() for p in job.params.values()]
    weight = torch.full((BATCH,), 1 / BATCH, dtype=torch.float64)
    with torch.inference_mode():
        return float(
            plan.step(*params, made.samples.x[:BATCH], made.samples.y[:BATCH], weight, noise, -0.1, 1.0)[0]
        )


class Noisy(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1)) + torch.randn(4)


def test_an_operator_that_cannot_be_repeated_is_an_error_that_names_it():
    network = Noisy(36, 4).double()
    with pytest.raises(
        RunFailed, match=r"draws random numbers by aten\.randn\.default, .* use torch\.nn\.Dropout"
    ):
        trained(trainer(network), jobs(network, (3,)))


class Branching(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x.flatten(1))
        return y if y.sum() > 0 else -y


@pytest.mark.parametrize("execution", [Execution(), STACKED], ids=["sequential", "stacked"])
def test_a_branch_on_a_value_is_an_error(execution):
    network = Branching(36, 4).double()
    with pytest.raises(RunFailed, match=r"cannot be traced for batches of 3 .*may not branch on values"):
        trained(trainer(network, execution=execution), jobs(network, (3,)))


class Constants(nn.Linear):
    """Makes tensors of its own in the forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=x.dtype)
        return super().forward(x.flatten(1)) * scale + torch.arange(4, dtype=x.dtype)


def test_a_network_may_make_constants():
    network = Constants(36, 4).double()
    (job,) = jobs(network, (7,))
    (result,) = trained(trainer(network), [job])
    assert difference(result, eager(network, job, Objective(), Sgd())) < 1e-10


def test_a_buffer_that_is_not_part_of_the_state_is_an_error():
    network = make("mlp")
    network.register_buffer("scale", torch.ones(1), persistent=False)
    params = {name: p.detach() for name, p in network.named_parameters()}
    samples = pool()
    example = Example(params, {}, {}, {}, samples.x[:3], samples.y[:3])
    with pytest.raises(RunFailed, match="scale is no part of its state"):
        make_plan(network, Objective(), Sgd(), example)


# ---------------------------------------------------------------------------------- precision and loss


def test_bfloat16_runs_the_forward_pass_and_keeps_parameters_in_float32():
    network = make("conv", torch.float32)
    work = jobs(network, (15,), lr=0.01)
    (low,) = trained(trainer(network, Objective(precision="bfloat16")), work)
    (full,) = trained(trainer(network), work)
    assert all(low[name].dtype == torch.float32 for name in work[0].params)
    assert 0 < difference(low, full) < 0.02


def test_bce_with_logits_is_that_of_torch():
    network = make("mlp")
    (job,) = jobs(network, (BATCH,), epochs=1)
    (result,) = trained(trainer(network, Objective(loss="bce_with_logits")), [job])
    samples = pool()
    index = torch.from_numpy(job.samples[np.concatenate(job.batches)])
    target = functional.one_hot(samples.y[index], 4).double()
    expected = functional.binary_cross_entropy_with_logits(network(samples.x[index]), target).detach()
    assert abs(float(result["loss"]) - float(expected)) < 1e-12
