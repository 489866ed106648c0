"""Unit groups and slicing on any traceable network (algorithms 1.2; P13 to P16)."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgesim.models._slicing import add_at, gather, make_slicer, small_network
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.models._units import NEVER, UnitLayout
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.models.lenet import LeNet
from edgesim.models.mlp import Mlp
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._submodel import Cut

IMAGE = (3, 32, 32)


class Branches(nn.Module):
    """A residual sum, a concatenation, a depthwise and a grouped convolution, layer and group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.GroupNorm(4, 8)
        self.left = nn.Conv2d(8, 6, 1)
        self.right = nn.Conv2d(8, 10, 1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.hidden = nn.Linear(16, 12)
        self.layer_norm = nn.LayerNorm(12)
        self.output = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = x + self.norm(self.depthwise(x))
        x = torch.cat([self.left(x), self.right(x)], 1)
        x = self.grouped(x).mean((2, 3))
        return self.output(torch.relu(self.layer_norm(self.hidden(x))))  # type: ignore[no-any-return]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: Mlp().build(IMAGE, 10),
    "fedavg_cnn": lambda: FedAvgCnn().build(IMAGE, 10),
    "lenet": lambda: LeNet().build(IMAGE, 10),
    "resnet18": lambda: torchvision.models.resnet18(num_classes=10),
    "mobilenet_v2": lambda: torchvision.models.mobilenet_v2(num_classes=10),
    "vgg11": lambda: nn.Sequential(torchvision.models.vgg11().features, nn.Flatten(), nn.Linear(512, 10)),
    "branches": Branches,
}
PLAIN = ("mlp", "fedavg_cnn", "lenet", "resnet18", "mobilenet_v2", "vgg11")  # norms that do not mix channels


def made(name: str) -> ModelStructure:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NETWORKS[name]()
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor), alpha=0.05)
    return read_structure(network, IMAGE)


@pytest.fixture(scope="module", params=NETWORKS)
def structure(request: pytest.FixtureRequest) -> ModelStructure:
    return made(request.param)


def random_cut(layout: UnitLayout, rate: float, seed: int = 1) -> Cut:
    generator = np.random.default_rng(seed)
    widths = prefix_cut(layout, rate).widths
    groups = zip(layout.groups, widths, strict=True)
    kept = tuple(np.sort(generator.choice(g.size, count, replace=False)) for g, count in groups)
    return Cut(kept, (rate,) * len(kept))


def masked(structure: ModelStructure, cut: Cut) -> nn.Module:
    """The full network with zeros wherever the small one has nothing."""
    network = copy.deepcopy(structure.network).double()
    kept = structure.units.kept(cut.kept)
    for name, owners in structure.units.places.items():
        tensor = network.state_dict()[name]
        for dim, owner in enumerate(owners):
            if owner is not None:
                there = torch.from_numpy((owner == NEVER) | kept[owner])
                tensor.mul_(there.reshape([-1 if d == dim else 1 for d in range(tensor.dim())]))
    return network


def test_classes_and_input_channels_are_never_units(structure: ModelStructure) -> None:
    places = structure.units.places
    output = structure.layers[-1].tensors
    assert all(places[name][0] is None for name in output if name in places)
    first = next(name for name in structure.layers[0].tensors if name.endswith("weight"))
    if structure.layers[0].kind == "conv":
        assert places[first][1] is None


@pytest.mark.parametrize("rate", [1 / 16, 0.3, 0.5])
def test_any_choice_of_units_gives_a_network_that_runs(structure: ModelStructure, rate: float) -> None:
    for cut in (prefix_cut(structure.units, rate), random_cut(structure.units, rate)):
        small = small_network(structure.network, structure.units, cut.kept, cut.rates).train()
        assert small(torch.zeros(2, *IMAGE)).shape[1] == structure.layers[-1].output_elements


def test_smaller_rates_are_prefixes_of_larger_ones(structure: ModelStructure) -> None:
    small, large = prefix_cut(structure.units, 0.25), prefix_cut(structure.units, 0.5)
    for few, many in zip(small.kept, large.kept, strict=True):
        assert np.array_equal(few, many[: len(few)])


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("make", [prefix_cut, random_cut])
def test_the_small_network_computes_what_the_masked_one_computes(
    name: str, make: Callable[[UnitLayout, float], Cut]
) -> None:
    structure = made(name)
    cut = make(structure.units, 0.5)
    small = small_network(structure.network, structure.units, cut.kept, cut.rates).double().eval()
    x = torch.randn(2, *IMAGE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(small(x), masked(structure, cut).eval()(x), rtol=1e-9, atol=1e-12)


def test_cutting_and_writing_back_is_the_identity_on_what_was_cut(structure: ModelStructure) -> None:
    state = structure.network.state_dict()
    for cut in (prefix_cut(structure.units, 0.5), random_cut(structure.units, 0.5)):
        slicer = make_slicer(structure.units, cut.kept)
        for name, place in slicer.places.items():
            back = torch.zeros_like(state[name])
            add_at(back, place, slicer.take(name, state[name]))
            assert torch.equal(gather(back, place), gather(state[name], place))
            assert int((back != 0).sum()) <= gather(state[name], place).numel()


@pytest.mark.parametrize("name", ["mlp", "fedavg_cnn", "lenet", "resnet18", "vgg11"])
def test_counted_costs_of_a_cut_are_those_that_pytorch_counts(name: str) -> None:
    structure = made(name)
    cut = prefix_cut(structure.units, 0.5)
    small = small_network(structure.network, structure.units, cut.kept, cut.rates)
    read = read_structure(small, IMAGE)
    assert read.parameters == sum(parameter.numel() for parameter in small.parameters())
    with FlopCounterMode(display=False) as counter:
        small(torch.zeros(2, *IMAGE)).sum().backward()
    assert 2 * 2 * read.train_macs(read.all_layers) == counter.get_total_flops()


def test_a_cut_of_depthwise_convolutions_costs_what_pytorch_counts_forward() -> None:
    # Backward, PyTorch's counter takes a grouped convolution for a dense one.
    structure = made("mobilenet_v2")
    cut = prefix_cut(structure.units, 0.5)
    small = small_network(structure.network, structure.units, cut.kept, cut.rates)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        small(torch.zeros(2, *IMAGE))
    assert 2 * 2 * read_structure(small, IMAGE).forward_macs == counter.get_total_flops()


def test_golden_values_of_width_one_half() -> None:
    network = FedAvgCnn().build((1, 28, 28), 10)
    structure = read_structure(network, (1, 28, 28))
    cut = prefix_cut(structure.units, 0.5)
    small = read_structure(small_network(network, structure.units, cut.kept, cut.rates), (1, 28, 28))
    assert (small.parameters, small.forward_macs, small.train_macs(small.all_layers)) == (
        417482,
        3226368,
        9365504,
    )
    mlp = read_structure(Mlp().build((1, 28, 28), 10), (1, 28, 28))
    cut = prefix_cut(mlp.units, 0.5)
    halved = small_network(mlp.network, mlp.units, cut.kept, cut.rates)
    assert sum(parameter.numel() for parameter in halved.parameters()) == 89610


def test_channels_of_a_grouped_convolution_are_units_across_its_groups() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 3, groups=4), nn.Flatten(), nn.Linear(12 * 4, 5)
    )
    structure = read_structure(network, (3, 4, 4))
    assert [(group.name, group.size) for group in structure.units.groups] == [("0", 2), ("1", 3)]
    places = structure.units.places
    assert places["0.bias"][0].tolist() == [0, 1] * 4  # type: ignore[union-attr]
    assert places["1.bias"][0].tolist() == [2, 3, 4] * 4  # type: ignore[union-attr]
    assert places["1.weight"][1].tolist() == [0, 1]  # type: ignore[union-attr]  # of the channels of one group
    cut = prefix_cut(structure.units, 0.5)
    small = small_network(network, structure.units, cut.kept, cut.rates)
    assert (small[1].in_channels, small[1].out_channels, small[1].groups) == (4, 8, 4)


def test_channels_of_which_a_grouped_convolution_reads_a_part_stay_whole() -> None:
    structure = made("branches")  # it reads two layers' channels, concatenated
    assert [group.name for group in structure.units.groups] == ["stem", "grouped", "hidden"]


def test_group_norm_gets_the_largest_number_of_groups_that_divides_its_channels() -> None:
    structure = made("branches")
    cut = prefix_cut(structure.units, 0.5)
    small = small_network(structure.network, structure.units, cut.kept, cut.rates)
    assert (small.norm.num_channels, small.norm.num_groups) == (4, 2)


def test_a_scaler_divides_in_training_alone() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    structure = read_structure(network, (2,))
    cut = prefix_cut(structure.units, 0.5)
    scaled = small_network(network, structure.units, cut.kept, cut.rates, scaler=True)
    plain = small_network(network, structure.units, cut.kept, cut.rates)
    x = torch.ones(1, 2)
    assert torch.equal(scaled.train()[0](x), plain[0](x) / 0.5)
    assert torch.equal(scaled.eval()(x), plain(x))
