"""The learner that learns: nothing too early, nothing twice, nothing that depends on who else is there."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgesim.aggregation.fill import Fill
from edgesim.submodels.fedpmt import FedPMT
from edgesim.training.batches import draw_batches
from edgesim.training.cohorts import Execution
from edgesim.training.optimizer import Sgd
from tests.training.federations import SIZES, federation, order, run_round, same_bits, weights_after
from tests.training.visits import difference, make, pool

# ----------------------------------------------------------------------------------- deferred training


def test_nothing_is_trained_before_an_aggregation_asks_for_it() -> None:
    learner = federation()
    learner.assign([order(0, 0), order(1, 1), order(2, 2)])
    assert not hasattr(learner.trainer, "calls")
    learner.aggregate([0, 2], [0, 0], 1.0)
    assert learner.trainer.calls == [2]


def test_what_is_released_is_never_trained() -> None:
    learner = federation()
    learner.assign([order(device, device) for device in range(4)])
    learner.release([1, 3])
    learner.aggregate([0, 2], [0, 0], 1.0)
    assert learner.trainer.calls == [2]
    assert not learner.ledger.open


@pytest.mark.parametrize("call", [lambda f: f.aggregate([1], [0], 1.0), lambda f: f.release([1])])
def test_a_dispatch_is_named_once(call) -> None:
    learner = federation()
    learner.assign([order(0, 0), order(1, 1)])
    call(learner)
    for again in (lambda: learner.aggregate([1], [0], 2.0), lambda: learner.release([1])):
        with pytest.raises(KeyError):
            again()


def test_a_late_dispatch_starts_from_the_version_that_it_downloaded() -> None:
    late, fresh = federation(), federation()
    late.assign([order(0, 0), order(1, 1)])
    late.aggregate([0], [0], 1.0)
    before = dict(late.weights)
    late.aggregate([1], [1], 2.0)
    fresh.assign([order(0, 1)])
    fresh.aggregate([0], [0], 1.0)
    assert not same_bits(before, late.weights)
    assert difference(dict(late.weights), dict(fresh.weights)) < 1e-12  # one client alone replaces the model


# ----------------------------------------------------------------------------- what a visit depends on


def test_batches_depend_on_device_and_visit_alone() -> None:
    learner = federation()
    draws = {
        (device, visit): np.concatenate(draw_batches(learner.streams, device, visit, 9, learner.ledger.work))
        for device in (0, 5)
        for visit in (0, 1)
    }
    again = draw_batches(learner.streams, 5, 1, 9, learner.ledger.work)
    assert np.array_equal(np.concatenate(again), draws[5, 1])
    assert len({tuple(draw) for draw in draws.values()}) == 4


def test_the_update_of_a_device_does_not_depend_on_the_others() -> None:
    alone, among = federation(), federation()
    alone.assign([order(7, 2)])
    alone.aggregate([7], [0], 1.0)
    among.assign([order(0, 0), order(1, 1), order(2, 2), order(3, 3)])
    jobs = [among._job(among.ledger.open[dispatch]) for dispatch in range(4)]
    results = [{name: p.clone() for name, p in result.params.items()} for result in among.trainer.train(jobs)]
    assert difference(results[2], dict(alone.weights)) < 1e-12


def test_how_orders_are_batched_changes_nothing() -> None:
    at_once, one_by_one = federation(), federation()
    at_once.assign([order(device, device) for device in range(4)])
    for device in range(4):
        one_by_one.assign([order(device, device)])
    for learner in (at_once, one_by_one):
        learner.aggregate([0, 1, 2, 3], [0] * 4, 1.0)
    assert same_bits(at_once.weights, one_by_one.weights)


@pytest.mark.parametrize("strategy", [None, FedPMT()], ids=["full", "fedpmt"])
def test_stacked_and_sequential_runs_agree(strategy) -> None:
    capacity = None if strategy is None else [1.0, 3.0, 2.0, 3.0]
    runs = [
        weights_after(federation(strategy, capacity, execution=execution), rounds=3)
        for execution in (Execution(), Execution("stacked", 2), Execution("stacked", 50))
    ]
    assert max(difference(dict(runs[0]), dict(other)) for other in runs[1:]) < 1e-10


def test_the_same_run_again_is_the_same_bit_for_bit() -> None:
    first, second = (weights_after(federation(dtype=torch.float32), rounds=3) for _ in range(2))
    assert same_bits(first, second)


# ----------------------------------------------------------------------------------------- a whole run


def test_one_client_is_plain_sgd() -> None:
    learner = federation()
    weights = weights_after(learner, rounds=3, devices=[1])
    network, samples = make("mlp"), pool()
    shard = learner.shards[1]
    for version in range(3):
        sgd = torch.optim.SGD(network.parameters(), lr=0.1 * 0.9**version)
        for batch in draw_batches(learner.streams, 1, version, SIZES[1], learner.ledger.work):
            index = torch.from_numpy(shard[batch])
            sgd.zero_grad()
            functional.cross_entropy(network(samples.x[index]), samples.y[index]).backward()
            sgd.step()
    assert difference(dict(weights), {name: p.detach() for name, p in network.named_parameters()}) < 1e-10


def test_clients_are_averaged_by_their_samples() -> None:
    learner = federation()
    learner.assign([order(device, device) for device in range(4)])
    jobs = [learner._job(learner.ledger.open[dispatch]) for dispatch in range(4)]
    results = [
        {name: p.clone() for name, p in result.params.items()} for result in learner.trainer.train(jobs)
    ]
    learner.aggregate([0, 1, 2, 3], [0] * 4, 1.0)
    for name, merged in learner.weights.items():
        mean = sum(size * result[name] for size, result in zip(SIZES, results, strict=True)) / sum(SIZES)
        assert torch.allclose(merged, mean, rtol=0, atol=1e-12)


def test_statistics_of_trained_layers_are_merged_and_those_of_frozen_ones_are_not() -> None:
    learner = federation(FedPMT(), [2.0] * 4, network=make("batch_norm"))
    before = copy.deepcopy(learner.weights)
    after = weights_after(learner, rounds=1)
    frozen, trained = "1.running_mean", "4.running_mean"
    assert torch.equal(before[frozen], after[frozen])
    assert not torch.equal(before[trained], after[trained])
    assert torch.equal(
        before["4.num_batches_tracked"], after["4.num_batches_tracked"]
    )  # no average of counts


def test_losses_are_means_over_the_samples_of_a_visit() -> None:
    learner = federation(optimizer=Sgd())
    learner.learning_rate = lambda version: 0.0  # noqa: ARG005  (the weights stay, so the loss is that at the start)
    learner.assign([order(0, 3)])
    learner.aggregate([0], [0], 1.0)
    network, samples = make("mlp"), pool()
    index = torch.from_numpy(learner.shards[3])
    expected = functional.cross_entropy(network(samples.x[index]), samples.y[index]).item()
    assert learner.losses([0]) == [pytest.approx(expected, abs=1e-12)]


# ------------------------------------------------------------------------------- evaluation and tables


def test_evaluation_is_loss_and_accuracy_and_is_done_once_per_version() -> None:
    learner = federation()
    network, samples = make("mlp"), pool()
    output = network(samples.x).detach()
    first = learner.evaluate()
    assert first["loss"] == pytest.approx(functional.cross_entropy(output, samples.y).item(), abs=1e-12)
    assert first["accuracy"] == (output.argmax(1) == samples.y).double().mean().item()
    spent_s = learner.wall_s["evaluation"]
    assert learner.evaluate() == first
    assert learner.wall_s["evaluation"] == spent_s > 0
    run_round(learner, 0, [0, 1])
    assert learner.evaluate() != first


def test_training_improves_the_model() -> None:
    learner = federation()
    learner.learning_rate = lambda version: 0.3  # noqa: ARG005
    before = learner.evaluate()["loss"]
    weights_after(learner, rounds=10)
    assert learner.evaluate()["loss"] < before / 2


def test_coverage_counts_visits_and_devices_per_tensor() -> None:
    learner = federation(FedPMT(), [1.0, 3.0, 2.0, 3.0])
    weights_after(learner, rounds=2, devices=[0, 1])
    table = learner.tables()["coverage"]
    rows = dict(zip(table["tensor"], zip(table["times_trained"], table["devices"], strict=True), strict=True))
    assert rows["1.weight"] == rows["3.bias"] == (2, 1)  # the first two layers: device 1 alone, twice
    assert rows["5.weight"] == rows["5.bias"] == (4, 2)
    assert table["layer"] == ["1", "1", "3", "3", "5", "5"]


def test_an_aggregation_says_how_many_how_dense_and_how_much_was_covered() -> None:
    learner = federation(FedPMT(), [1.0, 2.0, 2.0, 3.0], aggregator=Fill())
    learner.assign([order(0, 0), order(1, 1), order(2, 3)])
    learner.release([2])
    result = learner.aggregate([0, 1], [0, 0], 1.0)
    last, middle, total = 6 * 4 + 4, 7 * 6 + 6, 36 * 7 + 7 + 7 * 6 + 6 + 6 * 4 + 4
    assert result.updates == 2
    assert result.mean_density == pytest.approx((last + (last + middle)) / 2 / total)
    assert result.covered_fraction == pytest.approx((last + middle) / total)
