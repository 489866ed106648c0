"""Random Bernoulli masking: coordinates or units, drawn anew for each visit (algorithms 3.4 A; P11, P17)."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, Submodel
from edgesim.submodels.random_mask import RandomMask
from edgesim.training.optimizer import Sgd
from tests.training.federations import federation, order
from tests.training.visits import make

MLP = read_structure(make("mlp", torch.float32), (1, 6, 6))  # 36-7-6-4
PARAMETERS = 36 * 7 + 7 + 7 * 6 + 6 + 6 * 4 + 4


def drawn(
    strategy: RandomMask, density: float, device: int = 0, visit: int = 0, structure: ModelStructure = MLP
) -> Submodel:
    return strategy.assign({}, structure, Context(device, visit, 0, density, streams=Streams(5)))


def coordinates(submodel: Submodel) -> np.ndarray:
    """All coordinates in one row."""
    assert submodel.mask is not None
    return np.concatenate([mask.ravel() for mask in submodel.mask.tensors.values()])


def test_each_coordinate_is_held_independently_with_probability_p() -> None:
    density, visits = 0.25, 2000
    held = np.stack([coordinates(drawn(RandomMask(), density, visit=visit)) for visit in range(visits)])
    assert held.shape == (visits, PARAMETERS)
    spread = np.sqrt(density * (1 - density) / held.size)
    assert held.mean() == pytest.approx(density, abs=3 * spread)
    # Of so many frequencies a few lie beyond three standard errors; their variance is that of coin tosses.
    z = (held.mean(axis=0) - density) / np.sqrt(density * (1 - density) / visits)
    assert z.var() == pytest.approx(1, abs=3 * np.sqrt(2 / PARAMETERS))
    totals = held.sum(axis=1)
    assert totals.var() == pytest.approx(PARAMETERS * density * (1 - density), rel=3 * np.sqrt(2 / visits))


def test_how_many_are_held_is_known_before_which() -> None:
    mask = drawn(RandomMask(), 0.25).mask
    assert mask is not None
    assert "tensors" not in vars(mask)
    assert mask.kept == {name: int(tensor.sum()) for name, tensor in mask.tensors.items()}


def test_devices_and_visits_draw_masks_of_their_own() -> None:
    made = [drawn(RandomMask(), 0.5, device, visit) for device in range(2) for visit in range(2)]
    assert len({coordinates(submodel).tobytes() for submodel in made}) == 4
    assert len({submodel.key for submodel in made}) == 4


def test_values_and_a_seed_are_sent() -> None:
    ledger = federation(RandomMask(), [0.25] * 4).ledger
    submodel = drawn(RandomMask(), 0.25)
    assert submodel.mask is not None
    kept = sum(submodel.mask.kept.values())
    charged = ledger.workload_of(submodel, 9)
    assert [part.bytes for part in charged.parts_down] == [4 * kept, 8]
    assert charged.bytes_up == 4 * kept
    assert charged.train_flops == ledger.workload_of(drawn(RandomMask(), 1.0), 9).train_flops


def test_a_multicast_shares_nothing_of_two_masks() -> None:
    ledger = federation(RandomMask(), [0.25] * 4).ledger
    one, other = (ledger.workload_of(drawn(RandomMask(), 0.25, device), 9).parts_down for device in (0, 1))
    assert not {part.key for part in one} & {part.key for part in other}


def test_the_mask_of_a_visit_that_is_over_is_not_kept() -> None:
    learner = federation(RandomMask(), [0.25] * 4)
    learner.assign([order(0, device=1)])
    mask = weakref.ref(learner.ledger.open[0].submodel.mask)
    learner.release([0])
    gc.collect()
    assert mask() is None


def test_where_only_costs_are_asked_for_the_size_is_the_expected_one() -> None:
    mask = RandomMask().assign({}, MLP, Context(0, 0, 0, 0.25)).mask
    assert mask is not None
    assert mask.kept["1.weight"] == 63  # a quarter of 36 x 7


def test_at_density_1_all_is_held_and_nothing_described() -> None:
    for unit in ("element", "unit"):
        whole = drawn(RandomMask(unit=unit), 1.0)
        assert (whole.mask, whole.cut, whole.mask_bytes) == (None, None, 0)


def test_norms_are_held_whole() -> None:
    structure = read_structure(make("group_norm", torch.float32), (1, 6, 6))
    mask = drawn(RandomMask(), 0.5, structure=structure).mask
    assert mask is not None
    assert set(mask.kept) == {f"{layer}.{name}" for layer in (0, 3, 7) for name in ("weight", "bias")}


def test_outside_the_mask_values_stay_exactly_0_under_momentum_and_weight_decay() -> None:
    learner = federation(RandomMask(), [0.5] * 4, optimizer=Sgd(0.9, 0.1))
    learner.assign([order(0, device=1)])
    assignment = learner.ledger.open[0]
    job = learner._job(assignment)
    (trained,) = learner.trainer.train([job])
    assert assignment.submodel.mask is not None
    for name, held in assignment.submodel.mask.tensors.items():
        assert not trained.params[name][~held].any()
        assert (trained.params[name] != job.params[name])[held].any() or not held.any()


@pytest.mark.parametrize("unit", ["element", "unit"])
def test_with_the_scaler_a_linear_network_expects_what_the_whole_one_computes(unit: str) -> None:
    density, visits = 0.5, 1500
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Linear(8, 2))
    structure = read_structure(network, (1, 2, 2))
    ledger = federation(RandomMask(unit=unit), [density] * 4).ledger
    ledger.structure = structure
    strategy, x = RandomMask(unit=unit), torch.ones(1, 1, 2, 2)
    outputs = torch.stack([run(ledger, drawn(strategy, density, 0, v, structure), x) for v in range(visits)])
    # Whole output layer where units are drawn; a masked one, which no scaler follows, where elements are.
    expected = network(x).detach().reshape(-1) * (density if unit == "element" else 1)
    error = outputs.std(dim=0) / visits**0.5
    assert ((outputs.mean(dim=0) - expected).abs() < 3 * error).all()


def run(ledger, submodel: Submodel, x: torch.Tensor) -> torch.Tensor:
    """What a device computes in training."""
    held, values = ledger.structure_of(submodel).network, dict(ledger.structure.network.named_parameters())
    if submodel.mask is not None:
        values = {name: p * torch.from_numpy(submodel.mask.tensors[name]) for name, p in values.items()}
    else:
        hidden = torch.from_numpy(submodel.cut.kept[0])
        values = {
            "1.weight": values["1.weight"][hidden],
            "1.bias": values["1.bias"][hidden],
            "2.weight": values["2.weight"][:, hidden],
            "2.bias": values["2.bias"],
        }
    with torch.no_grad():
        return torch.func.functional_call(held.train(), values, (x,)).reshape(-1)


def test_units_are_held_independently_and_at_least_one_of_each_layer() -> None:
    density, visits = 0.25, 3000
    cuts = [drawn(RandomMask(unit="unit"), density, visit=visit).cut for visit in range(visits)]
    widths = np.array([cut.widths for cut in cuts if cut is not None])
    for column, size in zip(widths.T, (7, 6), strict=True):
        none = (1 - density) ** size  # then one is held after all
        error = np.sqrt(size * density * (1 - density) / visits)
        assert column.mean() == pytest.approx(size * density + none, abs=3 * error)
        assert column.min() == 1
    counts = np.bincount(np.concatenate([cut.kept[0] for cut in cuts if cut is not None]), minlength=7)
    share = (7 * density + (1 - density) ** 7) / 7
    assert counts / visits == pytest.approx(np.full(7, share), abs=4 * np.sqrt(share * (1 - share) / visits))
    assert drawn(RandomMask(unit="unit"), density).mask_bytes == 0
