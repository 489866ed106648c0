"""FedDrop: random units of fully connected layers, fresh for each visit (algorithms 3.3; P11)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.errors import InputError
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, Submodel
from edgesim.submodels.feddrop import FedDrop
from edgesim.submodels.heterofl import HeteroFL
from edgesim.training.ledger import Ledger
from tests.training.federations import federation
from tests.training.visits import make

M2 = read_structure(FedAvgCnn().build((1, 28, 28), 10), (1, 28, 28))
MLP = read_structure(make("mlp", torch.float32), (1, 6, 6))  # 36-7-6-4


def drawn(
    strategy: FedDrop, keep: float, device: int = 0, visit: int = 0, structure: ModelStructure = MLP
) -> Submodel:
    return strategy.assign({}, structure, Context(device, visit, 0, keep, streams=Streams(5)))


def ledger_of(structure: ModelStructure) -> Ledger:
    ledger = federation().ledger
    ledger.structure = structure
    return ledger


def test_half_of_the_hidden_units_of_the_fedavg_cnn_are_857738_parameters() -> None:
    submodel = drawn(FedDrop(), 0.5, structure=M2)
    held = ledger_of(M2).structure_of(submodel)
    assert held.parameters == 857738
    assert [layer.parameters for layer in held.layers] == [832, 51264, 803072, 2570]
    assert submodel.cut is not None
    assert submodel.cut.rates == (1.0, 1.0, 0.5)


def test_with_one_rate_and_convolutions_it_is_federated_dropout() -> None:
    ancestor = FedDrop(keep=0.5, drop_conv=True)
    assert ancestor.fixed_capacity() == 0.5
    first, second = (drawn(ancestor, 0.5, device, structure=M2).cut for device in (0, 1))
    prefix = HeteroFL().assign({}, M2, Context(0, 0, 0, 0.5)).cut
    assert first is not None
    assert second is not None
    assert prefix is not None
    assert first.widths == second.widths == prefix.widths == (16, 32, 256)
    assert not any(map(np.array_equal, first.kept, second.kept))
    assert ledger_of(M2).structure_of(drawn(ancestor, 0.5, structure=M2)).parameters == 417482


@pytest.mark.parametrize(("keep", "widths"), [(0.05, (1, 1)), (0.3, (3, 2)), (0.5, (4, 3)), (0.95, (7, 6))])
def test_exact_keeps_as_many_units_as_the_rate_rounded_up_and_at_least_one(
    keep: float, widths: tuple[int, int]
) -> None:
    for visit in range(5):
        cut = drawn(FedDrop(), keep, visit=visit).cut
        assert cut is not None
        assert cut.widths == widths


def test_bernoulli_keeps_each_unit_with_the_rate_as_probability() -> None:
    keep, visits, size = 0.4, 2000, 40
    wide = read_structure(nn.Sequential(nn.Flatten(), nn.Linear(4, size), nn.Linear(size, 2)), (1, 2, 2))
    held = np.zeros((visits, size))
    for visit in range(visits):
        cut = drawn(FedDrop(mode="bernoulli"), keep, visit=visit, structure=wide).cut
        assert cut is not None
        held[visit, cut.kept[0]] = 1
    variance = keep * (1 - keep)
    assert held.mean() == pytest.approx(keep, abs=3 * np.sqrt(variance / held.size))
    assert held.sum(axis=1).var() == pytest.approx(size * variance, rel=3 * np.sqrt(2 / visits))


def test_all_units_are_as_likely_and_every_draw_is_independent() -> None:
    visits = 3000
    cuts = [drawn(FedDrop(), 0.5, device=1, visit=visit).cut for visit in range(visits)]
    counts = np.bincount(np.concatenate([cut.kept[0] for cut in cuts if cut is not None]), minlength=7)
    share = 4 / 7
    assert counts / visits == pytest.approx(np.full(7, share), abs=4 * np.sqrt(share * (1 - share) / visits))


def test_only_what_loses_units_is_scaled() -> None:
    network = ledger_of(M2).structure_of(drawn(FedDrop(), 0.25, structure=M2)).network
    factors = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            x = torch.ones(1, *layer.weight.shape[1:])
            factors.append(float((layer.train()(x) / layer.eval()(x)).detach().median()))
    assert factors == pytest.approx([1, 1, 4, 1])


def test_a_model_without_a_hidden_fully_connected_layer_has_nothing_to_drop() -> None:
    convolutions = read_structure(make("conv", torch.float32), (1, 6, 6))
    with pytest.raises(InputError, match="no hidden fully connected layer") as caught:
        drawn(FedDrop(), 0.5, structure=convolutions)
    assert "submodel.drop_conv" in str(caught.value)
    assert drawn(FedDrop(drop_conv=True), 0.5, structure=convolutions).cut is not None
    assert drawn(FedDrop(), 1.0, structure=convolutions).cut is None


def test_rates_are_fitted_in_steps_of_a_twentieth() -> None:
    ladder = FedDrop().ladder(MLP)
    assert (len(ladder), ladder[0], ladder[6], ladder[-1]) == (20, 0.05, 0.35, 1.0)


def test_a_small_network_needs_no_description_and_no_other_device_holds_it() -> None:
    one, other = (drawn(FedDrop(), 0.5, device) for device in (0, 1))
    assert one.mask_bytes == 0
    assert one.label == other.label == "feddrop keep 0.5"
    assert one.key != other.key
