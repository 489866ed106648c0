"""Independent subnet training: one disjoint part per device of a round (algorithms 3.6; P8, P37)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.aggregation.covered import Covered
from edgesim.errors import InputError, RunFailed
from edgesim.models._slicing import add_at
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, Submodel
from edgesim.submodels.ist import Ist
from edgesim.training.coverage import Coverage
from tests.training.federations import federation, order, run_round
from tests.training.visits import make

MLP = read_structure(make("mlp", torch.float32), (1, 6, 6))  # 36-7-6-4
SQUARE = read_structure(
    nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)), (1, 2, 2)
)


def parts(workers: int, version: int = 0, structure: ModelStructure = MLP) -> list[Submodel]:
    contexts = [
        Context(place, 0, version, 1.0, place, workers, streams=Streams(5)) for place in range(workers)
    ]
    return [Ist().assign({}, structure, context) for context in contexts]


def covered(submodels: list[Submodel], structure: ModelStructure = SQUARE) -> dict[str, tuple[float, int]]:
    """Per tensor, the share that was trained and how often the most trained coordinate was."""
    coverage = Coverage(structure)
    for device, submodel in enumerate(submodels):
        coverage.count([submodel], [device])
    table = coverage.table()
    rows = zip(table["covered_fraction"], table["most_times"], strict=True)
    return dict(zip(table["tensor"], rows, strict=True))


@pytest.mark.parametrize("workers", [2, 3, 5, 6])
def test_the_units_of_every_layer_are_dealt_out_in_groups_equal_within_one(workers: int) -> None:
    cuts = [part.cut for part in parts(workers)]
    for group, size in enumerate((7, 6)):
        units = [cut.kept[group] for cut in cuts if cut is not None]
        assert sorted(np.concatenate(units)) == list(range(size))
        assert max(map(len, units)) - min(map(len, units)) <= 1


@pytest.mark.parametrize("workers", [2, 4])
def test_a_version_trains_the_edges_once_and_of_what_lies_between_the_share_1_over_s(workers: int) -> None:
    shares = covered(parts(workers, structure=SQUARE))
    assert shares.pop("2.weight") == (1 / workers, 1)
    assert set(shares.values()) == {(1.0, 1)}


def test_later_versions_meet_other_pairs_of_units() -> None:
    submodels = [part for version in range(60) for part in parts(4, version, SQUARE)]
    assert covered(submodels)["2.weight"][0] == 1.0


def test_the_output_bias_is_trained_by_another_worker_in_each_version() -> None:
    for version in range(6):
        keepers = [place for place, part in enumerate(parts(3, version)) if not part.frozen]
        assert keepers == [version % 3]
        assert {part.frozen for part in parts(3, version)} == {frozenset(), frozenset({"5.bias"})}


def test_every_worker_runs_the_output_bias_and_one_sends_it_back() -> None:
    learner = federation(Ist(), [1.0] * 4)
    learner.assign([order(place, place) for place in range(4)])
    jobs = [learner._job(learner.ledger.open[place]) for place in range(4)]
    assert ["5.bias" in job.params for job in jobs] == [True, False, False, False]
    assert ["5.bias" in job.frozen for job in jobs] == [False, True, True, True]
    updates = list(learner._updates([learner.ledger.open[place] for place in range(4)], [0] * 4))
    assert ["5.bias" in update.values for update in updates] == [True, False, False, False]


def test_a_visit_costs_what_its_part_holds() -> None:
    ledger = federation(Ist()).ledger
    ledger.structure = SQUARE
    first, second = (ledger.workload_of(part, 9) for part in parts(2, structure=SQUARE)[:2])
    # in h/S + (h/S)^2 + (h/S) labels, and a bias for each hidden unit and class; h = 8, S = 2
    held = 4 * 4 + 4 * 4 + 4 * 2 + 4 + 4 + 2
    assert first.bytes_down == second.bytes_down == 4 * held
    assert (first.bytes_up, second.bytes_up) == (4 * held, 4 * (held - 2))
    assert first.density + second.density == pytest.approx((2 * held - 2) / SQUARE.parameters)


def test_averages_of_disjoint_parts_are_what_their_owners_return() -> None:
    learner, again = (federation(Ist(), [1.0] * 4, aggregator=Covered()) for _ in range(2))
    run_round(learner, 0, range(4))
    again.assign([order(place, place) for place in range(4)])
    expected = {name: tensor.clone() for name, tensor in again.weights.items()}
    for update in again._updates([again.ledger.open[place] for place in range(4)], [0] * 4):
        for name, value in update.values.items():
            add_at(expected[name], update.places.get(name), value - update.held(name, expected[name]))
    for name, tensor in expected.items():
        torch.testing.assert_close(learner.weights[name], tensor, rtol=0, atol=1e-12)


def test_a_layer_with_fewer_units_than_workers_is_an_error() -> None:
    with pytest.raises(InputError, match="sends 7 devices out together, and 3 has only 6 units") as caught:
        parts(7)
    assert "coordination.clients_per_round" in str(caught.value)


def test_a_device_alone_holds_the_whole_model() -> None:
    (alone,) = parts(1)
    assert (alone.cut, alone.frozen) == (None, frozenset())


class PastTheHidden(nn.Module):
    """The output layer reads the hidden units and the input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(4, 6), nn.Linear(10, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        return self.output(torch.cat([torch.relu(self.hidden(x)), x], 1))


def test_a_tensor_that_only_partly_belongs_to_units_is_an_error() -> None:
    with pytest.raises(RunFailed, match=r"some coordinates of output\.weight belong to no unit"):
        parts(2, structure=read_structure(PastTheHidden(), (1, 2, 2)))
