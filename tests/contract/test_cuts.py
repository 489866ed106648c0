"""What a width cut must do to every network (algorithms 1.2 and 1.6; P8, P13 to P16, P40)."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation.covered import Covered
from edgesim.models._attention import attention_as_products
from edgesim.models._check import WithoutStatistics
from edgesim.models._recurrent import recurrence_as_products
from edgesim.models._slicing import make_slicer, small_network
from edgesim.models._structure import ModelStructure
from edgesim.models._units import NEVER
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._submodel import Cut, Submodel
from edgesim.submodels.fedpmt import FedPMT
from edgesim.training.accounting import LocalWork
from edgesim.training.ledger import Ledger
from edgesim.training.optimizer import Sgd
from edgesim.training.part import make_part
from tests.aggregation.merging import merged
from tests.contract._zoo import (
    CLASSES,
    NETWORKS,
    WITH_GROUPS,
    drawn,
    held,
    index_cut,
    structure_of,
    tensors_of,
)

Tensors = dict[str, Tensor]
CUTS = {"prefix": prefix_cut, "index set": index_cut}


@pytest.fixture(scope="module", params=NETWORKS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def structure(name: str) -> ModelStructure:
    return structure_of(name)


@pytest.fixture(scope="module", params=CUTS)
def cut(request: pytest.FixtureRequest, structure: ModelStructure) -> Cut:
    return CUTS[request.param](structure.units, 0.5)


def small(structure: ModelStructure, cut: Cut) -> nn.Module:
    return small_network(structure.network, structure.units, cut.kept, cut.rates)


def test_every_hidden_layer_has_units_and_classes_and_inputs_are_none(structure: ModelStructure) -> None:
    places, layers = structure.units.places, structure.layers
    assert {name for layer in layers[:-1] for name in layer.tensors} <= places.keys()
    weights = dict(structure.network.named_parameters())
    output = [name for name in layers[-1].tensors if len(weights[name]) == CLASSES]
    assert all(places[name][0] is None for name in output if name in places)
    first = max(layers[0].tensors, key=lambda name: weights[name].numel())
    assert places[first][1 if structure.tokens is None else 0] is None


@pytest.mark.parametrize("rate", [1 / 16, 0.3])
def test_smaller_rates_are_prefixes_of_larger_ones_for_every_tensor(
    structure: ModelStructure, rate: float
) -> None:
    layout = structure.units
    few, many = (layout.kept(prefix_cut(layout, each).kept) for each in (rate, 0.5))
    for name in layout.places:
        for less, more in zip(layout.index(name, few), layout.index(name, many), strict=True):
            assert less is None or np.isin(less, more).all()
    for less, more in zip(prefix_cut(layout, rate).kept, prefix_cut(layout, 0.5).kept, strict=True):
        assert np.array_equal(less, more[: len(less)])


def test_norms_and_biases_are_as_long_as_what_they_follow(structure: ModelStructure, cut: Cut) -> None:
    network = small(structure, cut)
    for module in network.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(weight, Tensor) and isinstance(bias, Tensor):
            transposed = getattr(module, "transposed", False)
            assert len(bias) == (module.out_channels if transposed else len(weight))  # type: ignore[arg-type]
    assert network.eval()(structure.samples(2)).shape == (2, CLASSES)


def test_what_is_cut_and_written_back_unchanged_changes_nothing(structure: ModelStructure, cut: Cut) -> None:
    slicer, weights = make_slicer(structure.units, cut.kept), tensors_of(structure.network)
    values = {name: slicer.take(name, tensor) for name, tensor in weights.items()}
    assert {name: v.shape for name, v in values.items()} == {
        name: tensor.shape for name, tensor in tensors_of(small(structure, cut)).items()
    }
    again = merged(Covered(), weights, [Update(values, 3.0, places=slicer.places)])
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    written = merged(
        Covered(),
        {name: torch.zeros_like(tensor) for name, tensor in weights.items()},
        [Update({name: torch.ones_like(v) for name, v in values.items()}, 3.0, places=slicer.places)],
    )
    for name, tensor in weights.items():
        assert torch.equal(written[name] == 1, held(structure.units, cut, name, tuple(tensor.shape)))


def test_the_small_network_computes_and_learns_what_the_masked_whole_one_does(
    structure: ModelStructure, cut: Cut
) -> None:
    """Norms that mix channels only scale and shift here (algorithms 7b)."""
    narrow, whole = small(structure, cut).double().eval(), copy.deepcopy(structure.network).double().eval()
    with torch.no_grad():
        for name, tensor in tensors_of(whole).items():
            tensor.mul_(held(structure.units, cut, name, tuple(tensor.shape)))
    x = drawn(structure, 3)
    y = torch.tensor([0, 3, 1])
    with WithoutStatistics(), attention_as_products():
        outputs = narrow(x), whole(x)
        for output in outputs:
            functional.cross_entropy(output / outputs[1].detach().abs().max(), y).backward()
    torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-9 * float(outputs[1].detach().abs().max()))
    slicer = make_slicer(structure.units, cut.kept)
    gradients = {name: p.grad for name, p in whole.named_parameters()}
    for name, parameter in narrow.named_parameters():
        expected = slicer.take(name, gradients[name])  # type: ignore[arg-type]
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-7, atol=1e-12)


# ------------------------------------------------------------------------------------------- aggregation


def test_disjoint_updates_are_written_back_by_their_owners(structure: ModelStructure) -> None:
    layout, before = structure.units, {n: t.double() for n, t in tensors_of(structure.network).items()}
    first = index_cut(layout, 0.5)
    rest = [np.setdiff1d(np.arange(g.size), kept) for g, kept in zip(layout.groups, first.kept, strict=True)]
    second = Cut(tuple(rest), (0.5,) * len(rest))
    updates, expected, taken = [], dict(before), dict.fromkeys(before, torch.tensor(False))
    for number, cut in enumerate((first, second), start=1):
        slicer = make_slicer(layout, cut.kept)
        own = {n: held(layout, cut, n, tuple(t.shape)) & ~taken[n] for n, t in before.items()}
        trained = {name: tensor + number * torch.cos(tensor) for name, tensor in before.items()}
        values, masks = ({n: slicer.take(n, t) for n, t in each.items()} for each in (trained, own))
        updates.append(Update(values, 7.0 / number, masks, slicer.places))
        expected = {name: torch.where(own[name], trained[name], expected[name]) for name in before}
        taken = {name: taken[name] | own[name] for name in before}
    averaged = merged(Covered(), before, updates)
    for name, tensor in expected.items():
        torch.testing.assert_close(averaged[name], tensor, rtol=1e-12, atol=1e-12)


def test_relabelling_units_leaves_the_network_and_commutes_with_aggregation(
    structure: ModelStructure,
) -> None:
    layout, before = structure.units, {n: t.double() for n, t in tensors_of(structure.network).items()}
    generator = np.random.default_rng(3)
    orders = [generator.permutation(group.size) for group in layout.groups]
    cuts = [prefix_cut(layout, 0.5), index_cut(layout, 0.3), index_cut(layout, 0.5, seed=2)]
    own, relabelled = [], []
    for number, cut in enumerate(cuts, start=1):
        trained = {name: tensor + number * torch.sin(9 * tensor) for name, tensor in before.items()}
        own.append(update(structure, trained, cut, float(number)))
        kept = (np.flatnonzero(np.isin(order, k)) for order, k in zip(orders, cut.kept, strict=True))
        moved = Cut(tuple(kept), cut.rates)
        relabelled.append(update(structure, relabel(structure, trained, orders), moved, float(number)))
    expected = relabel(structure, merged(Covered(), before, own), orders)
    averaged = merged(Covered(), relabel(structure, before, orders), relabelled)
    assert all(torch.equal(averaged[name], expected[name]) for name in expected)

    network = copy.deepcopy(structure.network).double().eval()
    x = drawn(structure, 2, seed=1)
    with torch.no_grad(), WithoutStatistics(), attention_as_products():
        plain = network(x)
        moved_output = torch.func.functional_call(network, relabel(structure, before, orders), (x,))
    torch.testing.assert_close(moved_output, plain, rtol=1e-9, atol=1e-9 * float(plain.abs().max()))


def update(structure: ModelStructure, trained: Tensors, cut: Cut, weight: float) -> Update:
    slicer = make_slicer(structure.units, cut.kept)
    values = {name: slicer.take(name, tensor) for name, tensor in trained.items()}
    return Update(values, weight, places=slicer.places)


def relabel(structure: ModelStructure, tensors: Tensors, orders: list[np.ndarray]) -> Tensors:
    """Give unit u of each group the values of unit order[u]."""
    layout = structure.units
    origin = np.concatenate([offset + order for offset, order in zip(layout.offsets, orders, strict=True)])
    moved = dict(tensors)
    for name, dims in layout.places.items():
        for dim, owners in enumerate(dims):
            if owners is not None:
                moved[name] = moved[name].index_select(dim, torch.from_numpy(_sources(owners, origin)))
    return moved


def _sources(owners: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """The coordinate that each coordinate's value comes from: that of the other unit, in its like place."""
    sources = np.arange(len(owners))
    for unit in np.unique(owners[owners != NEVER]):
        sources[owners == unit] = np.flatnonzero(owners == origin[unit])
    return sources


# ------------------------------------------------------------------------------------------------- costs


def measured(network: nn.Module, samples: Tensor, trained: tuple[str, ...]) -> tuple[int, int]:
    """Forward and backward operations of two samples by torch's own counter."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained)
    with attention_as_products(), recurrence_as_products(), FlopCounterMode(display=False) as forward:
        output = network(samples)
    with attention_as_products(), recurrence_as_products(), FlopCounterMode(display=False) as backward:
        output.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


def cost_ledger(structure: ModelStructure) -> Ledger:
    return Ledger(structure, FedPMT(), LocalWork(1, None, 2), Sgd(), np.array([2]), np.array([1.0]))


def submodels(structure: ModelStructure) -> list[Submodel]:
    layers = len(structure.layers)
    depths = sorted({0, layers // 2, layers - 1})
    every = structure.all_layers
    cuts = [Submodel(kind, 0.5, every, cut=make(structure.units, 0.5)) for kind, make in CUTS.items()]
    some = (structure.layers_from(first) for first in depths)
    return [*cuts, *(Submodel(f"{len(trained)} last", len(trained), trained) for trained in some)]


def test_a_submodel_costs_what_pytorch_counts(name: str, structure: ModelStructure) -> None:
    ledger = cost_ledger(structure)
    for submodel in submodels(structure):
        held_structure, charged = ledger.structure_of(submodel), ledger.workload_of(submodel, 2)
        part = make_part(held_structure, submodel.layers, submodel.frozen)
        tensors = tensors_of(held_structure.network)
        sent = [*part.trained, *part.statistics(dict(held_structure.network.named_buffers()))]
        assert charged.bytes_up == 4 * sum(tensors[each].numel() for each in sent)
        assert charged.bytes_down == 4 * sum(tensor.numel() for tensor in tensors.values())
        network = copy.deepcopy(held_structure.network).train()
        forward, backward = measured(network, structure.samples(2), tuple(part.trained))
        assert charged.forward_flops == forward
        assert name in WITH_GROUPS or charged.backward_flops == backward
