"""The learner where visits overlap versions: bases, staleness, and the latest updates of all devices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import ServerAdam, ServerSgd
from edgesim.aggregation._staleness import Poly
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.delta import Delta
from edgesim.aggregation.fill import Fill
from edgesim.aggregation.mix import Mix
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.heterofl import HeteroFL
from edgesim.training.federation import Federation
from tests.aggregation.merging import merged
from tests.training.federations import federation, order, run_round, same_bits, weights_after
from tests.training.visits import difference, make

POLY = Poly(exponent=1.0)


def trained_alone(device: int, learner: Federation, version: int = 0) -> dict[str, Tensor]:
    """What a device makes of the learner's present version in its first visit."""
    alone = federation()
    alone.weights = dict(learner.weights)
    alone.assign([order(0, device, version=version)])
    alone.aggregate([0], [0], 0.0)  # one client alone replaces the model
    return dict(alone.weights)


def keeping(aggregator: Aggregator, **more: object) -> Federation:
    learner = federation(aggregator=aggregator, **more)
    learner.ledger = replace(learner.ledger, keep_latest=True)
    return learner


# ------------------------------------------------------------------------------------- one client


@pytest.mark.parametrize(
    "aggregator",
    [Covered(), Fill(), Mix(mixing=1.0), Delta(), Delta(reduction="sum", weights="equal")],
    ids=["covered", "fill", "mix", "mean", "sum"],
)
def test_one_client_is_plain_sgd_under_every_aggregation(aggregator: Aggregator) -> None:
    expected = weights_after(federation(), rounds=3, devices=[1])
    found = weights_after(federation(aggregator=aggregator), rounds=3, devices=[1])
    assert difference(dict(expected), dict(found)) < 1e-12


@pytest.mark.parametrize("aggregator", [Delta(), Delta(weights="equal")])
def test_buffers_of_all_fresh_clients_are_fedavg(aggregator: Delta) -> None:
    fedavg = weights_after(federation(aggregator=Covered(weights=aggregator.weights)), rounds=3)
    assert same_bits(fedavg, weights_after(federation(aggregator=aggregator), rounds=3))


# ------------------------------------------------------------------------------------- bases and staleness


def test_the_delta_of_a_late_update_is_added_to_the_model_as_it_is_now() -> None:
    learner = federation(aggregator=Delta(staleness=POLY))
    first = dict(learner.weights)
    learner.assign([order(0, 0), order(1, 1)])
    late = trained_alone(1, learner)
    learner.aggregate([0], [0], 1.0)
    second = dict(learner.weights)
    learner.aggregate([1], [1], 2.0)
    expected = {name: second[name] + (late[name] - first[name]) / 2 for name in first}
    assert difference(expected, dict(learner.weights)) < 1e-12


def test_the_model_is_mixed_with_a_late_update_by_its_discounted_share() -> None:
    learner = federation(aggregator=Mix(mixing=0.8, staleness=POLY))
    learner.assign([order(0, 0), order(1, 1)])
    late = trained_alone(1, learner)
    learner.aggregate([0], [0], 1.0)
    second = dict(learner.weights)
    learner.aggregate([1], [1], 2.0)
    expected = {name: 0.6 * second[name] + 0.4 * late[name] for name in second}
    assert difference(expected, dict(learner.weights)) < 1e-12


def test_an_average_discounts_late_updates() -> None:
    learner = federation(aggregator=Covered(weights="equal", staleness=POLY))
    learner.assign([order(0, 0), order(1, 1)])
    late = trained_alone(1, learner)
    learner.aggregate([0], [0], 1.0)
    fresh = trained_alone(2, learner, version=1)
    learner.assign([order(2, 2, version=1)])
    learner.aggregate([1, 2], [1, 0], 2.0)
    expected = {name: (late[name] + 2 * fresh[name]) / 3 for name in late}
    assert difference(expected, dict(learner.weights)) < 1e-12


@pytest.mark.parametrize("strategy", [FedPMT(), HeteroFL()], ids=["fedpmt", "heterofl"])
@pytest.mark.parametrize("aggregator", [Mix(), Delta()], ids=["mix", "delta"])
def test_a_submodel_moves_nothing_that_it_did_not_train(strategy, aggregator: Aggregator) -> None:
    capacity = [0.5] * 4 if isinstance(strategy, HeteroFL) else [1.0] * 4
    learner = federation(strategy, capacity, aggregator=aggregator)
    before = dict(learner.weights)
    learner.assign([order(0, 0), order(1, 1)])
    learner.aggregate([0], [0], 1.0)
    learner.aggregate([1], [1], 2.0)
    moved = {name: learner.weights[name] != before[name] for name in before}
    if isinstance(strategy, FedPMT):
        assert {name for name in moved if moved[name].any()} == {"5.weight", "5.bias"}
    else:
        assert not moved["1.weight"][4:].any()  # the first 4 of 7 units are held
        assert not moved["5.weight"][:, 3:].any()
        assert moved["1.weight"][:4].any()


def test_running_statistics_stay_averages_under_deltas() -> None:
    learner = federation(aggregator=Delta(weights="equal"), network=make("batch_norm"))
    name = "1.running_var"
    learner.weights[name] = torch.full_like(learner.weights[name], 50.0)
    learner.assign([order(device, device) for device in range(4)])
    for device in range(4):
        learner.aggregate([device], [device], 1.0)
    assert (learner.weights[name] > 0).all()  # four steps of -50 (1 - 0.9^k) would be below


@pytest.mark.parametrize("optimizer", [ServerSgd(momentum=0.9), ServerAdam(learning_rate=0.01)])
def test_the_servers_optimiser_remembers_from_aggregation_to_aggregation(optimizer) -> None:
    learner, reference = federation(aggregator=Covered(server_optimizer=optimizer)), federation()
    weights, moments = reference.weights, {}
    for version in range(3):
        run_round(learner, version, range(4))
        reference.weights = weights
        run_round(reference, version, range(4))
        averaged = Update(reference.weights, 1.0)
        weights, moments = learner.aggregator.aggregate(weights, [averaged], moments)
    assert difference(weights, dict(learner.weights)) < 1e-10


def test_a_version_lives_as_long_as_a_dispatch_that_started_from_it() -> None:
    """Device 1 is slow; device 0 comes and goes three times."""
    learner = federation(aggregator=Mix())
    learner.assign([order(0, 1), order(1, 0)])
    first = learner.weights
    for version in (1, 2, 3):
        learner.aggregate([version], [0], 1.0)
        learner.assign([order(version + 1, 0, version, version)])
    assert {dispatch: id(base) for dispatch, base in learner._bases.items()} == {
        0: id(first),
        4: id(learner.weights),
    }
    learner.release([0, 4])
    assert not learner._bases


# ------------------------------------------------------------------------------------- the latest of all


def test_the_latest_update_of_every_device_is_merged_again_by_hand() -> None:
    """Devices 0 and 1 report in the first round, device 2 in the second: there they are one version old."""
    learner = keeping(Covered(weights="equal", staleness=POLY))
    start = learner.weights
    first = [trained_alone(device, learner) for device in (0, 1)]
    learner.assign([order(0, 0), order(1, 1)])
    learner.aggregate([0, 1], [0, 0], 1.0)
    expected = merged(learner.aggregator, start, [Update(values, 1.0) for values in first])
    assert difference(expected, dict(learner.weights)) < 1e-12

    second = trained_alone(2, learner, version=1)
    learner.assign([order(2, 2, version=1)])
    result = learner.aggregate([2], [0], 2.0)
    expected = {name: (first[0][name] / 2 + first[1][name] / 2 + second[name]) / 2 for name in start}
    assert difference(expected, dict(learner.weights)) < 1e-12
    assert result.updates == 1


def test_a_new_update_takes_the_place_of_the_devices_earlier_one() -> None:
    """Where all report in every round, nothing older is left over."""
    learner = keeping(Covered())
    assert same_bits(weights_after(learner, rounds=3), weights_after(federation(), rounds=3))
    assert len(learner._latest) == 4


def test_a_retained_update_grows_as_old_as_it_is() -> None:
    seen: list[list[int]] = []

    class Watched(Covered):
        def merge(self, weights, updates):
            updates = list(updates)
            seen.append([update.staleness for update in updates])
            return super().merge(weights, updates)

    learner = keeping(Watched())
    learner.assign([order(0, 0), order(1, 1), order(2, 2)])
    learner.aggregate([1], [0], 1.0)
    learner.aggregate([2], [1], 2.0)
    learner.assign([order(3, 1, 1, version=2)])
    learner.aggregate([0, 3], [2, 0], 3.0)
    assert seen == [[0], [1, 1], [2, 2, 0]]  # in dispatch order: 1; 1, 2; 0, 2, 3


def test_coverage_counts_what_is_merged_again() -> None:
    learner = keeping(Covered(), strategy=FedPMT(), capacity=[3.0, 1.0, 1.0, 1.0])
    timing_only = learner.ledger.fresh()
    for each in (learner, timing_only):
        each.assign([order(0, 0), order(1, 1)])
        first, second = each.aggregate([0], [0], 1.0), each.aggregate([1], [1], 2.0)
        assert (first.covered_fraction, second.covered_fraction) == (1, 1)
        assert (first.updates, second.updates) == (1, 1)
        assert second.mean_density < 0.2  # of the arrival alone
        assert each.tables()["coverage"]["times_trained"][:2] == [1, 1]


def test_fresh_books_keep_nothing() -> None:
    learner = keeping(Covered(), strategy=FedPMT(), capacity=[3.0, 1.0, 1.0, 1.0])
    learner.ledger.assign([order(0, 0)])
    learner.ledger.aggregate([0], [0], 1.0)
    books = learner.ledger.fresh()
    books.assign([order(0, 1)])
    assert books.aggregate([0], [0], 1.0).covered_fraction < 0.2
