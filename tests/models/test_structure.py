"""What a network is made of, and what it costs, is read from the operators that it runs."""

from __future__ import annotations

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgesim.errors import RunFailed
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.models.har_cnn import HarCnn
from edgesim.models.lenet import LeNet
from edgesim.models.mlp import Mlp
from edgesim.models.resnet18 import ResNet18

IMAGE = (1, 28, 28)


@pytest.fixture(scope="module")
def m2() -> ModelStructure:
    """The CNN of FedAvg on MNIST, M2 of algorithms 2."""
    return read_structure(FedAvgCnn().build(IMAGE, 10), IMAGE)


class Residual(nn.Module):
    """stem -> (left, right) and a projection of the stem -> sum -> head; for images of 1x4x4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.left = nn.Conv2d(2, 3, 3, padding=1)
        self.right = nn.Conv2d(3, 3, 3, padding=1)
        self.project = nn.Conv2d(2, 3, 1)
        self.head = nn.Linear(48, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        return self.head((self.right(torch.relu(self.left(x))) + self.project(x)).flatten(1))


# ------------------------------------------------------------------------------------- the published CNN


def test_the_cnn_of_fedavg_has_the_golden_values_of_the_specification(m2: ModelStructure) -> None:
    assert [layer.name for layer in m2.layers] == ["conv1", "conv2", "fc1", "fc2"]
    assert [layer.kind for layer in m2.layers] == ["conv", "conv", "linear", "linear"]
    assert [layer.parameters for layer in m2.layers] == [832, 51_264, 1_606_144, 5_130]
    assert m2.parameters == 1_663_370
    assert [layer.macs for layer in m2.layers] == [627_200, 10_035_200, 1_605_632, 5_120]
    assert m2.forward_macs == 12_273_152
    assert m2.train_macs(m2.all_layers) == 36_192_256
    assert m2.train_macs(m2.layers_from(1)) == 25_529_856  # FedPMT with depth 3


def test_full_training_is_three_forward_passes_less_the_first_input_gradient(m2: ModelStructure) -> None:
    assert m2.train_macs(m2.all_layers) == 3 * m2.forward_macs - m2.layers[0].macs


def test_the_cnn_of_fedavg_keeps_268608_bytes_per_sample_for_its_backward_pass(m2: ModelStructure) -> None:
    hidden = 4 * (32 * 28 * 28 + 64 * 14 * 14 + 512)  # outputs of ReLUs
    pooled = (4 + 8) * (32 * 14 * 14 + 64 * 7 * 7)  # inputs of the next layers, and the pools' indices
    assert m2.activation_bytes(m2.all_layers) == 4 * 28 * 28 + hidden + pooled == 268_608
    assert m2.activation_bytes(m2.layers_from(3)) == 4 * 512


def test_layers_below_the_first_trained_one_keep_nothing(m2: ModelStructure) -> None:
    kept = [m2.activation_bytes(m2.layers_from(first)) for first in range(4)]
    assert kept == sorted(kept, reverse=True)
    assert m2.activation_bytes(m2.layers_from(2)) == 4 * (64 * 7 * 7 + 512)


def test_the_transient_is_that_of_the_widest_layer(m2: ModelStructure) -> None:
    assert m2.transient_bytes == 4 * (28 * 28 + 32 * 28 * 28)


def test_a_suffix_names_its_tensors(m2: ModelStructure) -> None:
    assert m2.trained_tensors(m2.layers_from(2)) == ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
    suffixes = [sum(layer.parameters for layer in m2.layers[first:]) for first in (1, 2, 3)]
    assert suffixes == [1_662_538, 1_611_274, 5_130]


# ------------------------------------------------------------------------------------- branches


def test_layers_stand_in_execution_order_with_the_norm_that_follows_them() -> None:
    layers = read_structure(Residual(), (1, 4, 4)).layers
    assert [layer.name for layer in layers] == ["stem", "left", "right", "project", "head"]
    assert layers[0].tensors == ("stem.weight", "norm.weight", "norm.bias")
    assert layers[0].buffers == ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked")
    assert layers[1].tensors == ("left.weight", "left.bias")


def test_every_layer_knows_what_its_input_depends_on() -> None:
    layers = read_structure(Residual(), (1, 4, 4)).layers
    assert [set(layer.upstream) for layer in layers] == [set(), {0}, {0, 1}, {0}, {0, 1, 2, 3}]


def test_an_input_gradient_is_counted_where_a_trained_layer_lies_upstream() -> None:
    structure = read_structure(Residual(), (1, 4, 4))
    stem, left, right, project, head = (16 * 9 * 2, 16 * 9 * 2 * 3, 16 * 9 * 3 * 3, 16 * 2 * 3, 48 * 5)
    assert [layer.macs for layer in structure.layers] == [stem, left, right, project, head]
    assert structure.backward_macs(structure.all_layers) == stem + 2 * (left + right + project + head)
    # With the stem frozen, neither branch passes a gradient down; the projection reads the stem alone.
    assert structure.backward_macs(structure.layers_from(1)) == (left + right + project + head) + (
        right + head
    )
    assert structure.backward_macs(structure.layers_from(2)) == (right + project + head) + head
    assert structure.backward_macs(structure.layers_from(4)) == head


def measured_macs(network: nn.Module, shape: tuple[int, ...], trained: tuple[str, ...]) -> tuple[int, int]:
    """Forward and backward multiply-adds of one sample by torch's own counter."""
    network = copy.deepcopy(network)
    for name, p in network.named_parameters():
        p.requires_grad_(name in trained)
    batch = 2
    with FlopCounterMode(display=False) as forward:
        output = network(torch.zeros(batch, *shape))
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    return forward.get_total_flops() // (2 * batch), backward.get_total_flops() // (2 * batch)


NETWORKS = {
    "mlp": (Mlp().build(IMAGE, 10), IMAGE),
    "lenet": (LeNet().build(IMAGE, 10), IMAGE),
    "fedavg_cnn": (FedAvgCnn().build(IMAGE, 10), IMAGE),
    "residual": (Residual(), (1, 4, 4)),
    "har_cnn": (HarCnn().build((9, 128), 6), (9, 128)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_counted_operations_are_those_that_torch_counts_at_every_depth(name: str) -> None:
    network, shape = NETWORKS[name]
    structure = read_structure(network, shape)
    for first in range(len(structure.layers)):
        forward, backward = measured_macs(
            network, shape, structure.trained_tensors(structure.layers_from(first))
        )
        assert (structure.forward_macs, structure.backward_macs(structure.layers_from(first))) == (
            forward,
            backward,
        )


@pytest.mark.parametrize("norm", ["group", "static_batch"])
def test_resnet18_is_a_stem_sixteen_convolutions_three_projections_and_a_head(
    norm: Literal["group", "static_batch"],
) -> None:
    network, shape = ResNet18(norm=norm).build((3, 10, 10), 10), (3, 10, 10)
    structure = read_structure(network, shape)
    layers = structure.layers
    assert [layer.kind for layer in layers] == ["conv"] * 20 + ["linear"]
    assert layers[0].tensors == ("conv1.weight", "bn1.weight", "bn1.bias")
    first, second, projection = layers[5:8]
    assert [layer.name for layer in (first, second)] == ["layer2.0.conv1", "layer2.0.conv2"]
    assert projection.name == "layer2.0.downsample.0"
    assert projection.tensors[1:] == ("layer2.0.downsample.1.weight", "layer2.0.downsample.1.bias")
    assert set(projection.upstream) == set(range(5))  # the stem and both blocks before, not its own branch
    assert not any(layer.buffers for layer in layers)
    # Trained from the head, from a projection, and as a whole.
    for first in (20, 7, 0):
        forward, backward = measured_macs(
            network, shape, structure.trained_tensors(structure.layers_from(first))
        )
        assert (structure.forward_macs, structure.backward_macs(structure.layers_from(first))) == (
            forward,
            backward,
        )


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(6, 2, batch_first=True)
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.attend(x, x, x, need_weights=False)[0].mean(1))


def test_attention_is_two_projections_and_two_products() -> None:
    structure = read_structure(Attention(), (4, 6))
    assert [layer.name for layer in structure.layers] == ["attend", "attend.out_proj", "out"]
    assert [layer.macs for layer in structure.layers] == [4 * 6 * 18, 4 * 6 * 6, 6 * 3]
    assert [product.macs for product in structure.products] == [4 * 4 * 6, 4 * 4 * 6]
    products = 2 * 4 * 4 * 6
    # Every factor of both products comes from the projection; the output layer has one input gradient.
    assert (
        structure.backward_macs(structure.all_layers) == (4 * 6 * 18 + 2 * 4 * 6 * 6 + 2 * 18) + 2 * products
    )
    assert structure.backward_macs(structure.layers_from(1)) == 4 * 6 * 6 + 2 * 18


def test_reading_leaves_the_network_as_it_was() -> None:
    network = Residual().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert read_structure(network, (1, 4, 4)).activation_bytes(frozenset({0})) > 0
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


# ------------------------------------------------------------------------------------- what is refused


class Quadratic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.form = nn.Bilinear(3, 3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x, x)


class Tied(nn.Module):
    def __init__(self, layer: nn.Module, between: nn.Module) -> None:
        super().__init__()
        self.layer, self.between = layer, between

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.between(self.layer(x)))


class Idle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class Combined(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 3)
        self.gain = nn.Parameter(torch.ones(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.gain, self.bias)


class Pair(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(x), x


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (Pair(3, 2), (3,), "gives tuple; it must give one tensor"),
        (Quadratic(), (3,), r"aten\._trilinear\.default uses parameter form\.weight, .* not known"),
        (Tied(nn.Linear(3, 3), nn.ReLU()), (3,), r"parameter layer\.\w+ is used twice"),
        (Tied(nn.LayerNorm(3), nn.Linear(3, 3)), (3,), r"parameter layer\.\w+ is used twice"),
        (Idle(), (3,), r"parameter idle\.weight takes no part"),
        (Combined(), (3,), r"aten\.mul\.Tensor combines parameters weight, gain"),
        (
            nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, affine=False)),
            (3,),
            "buffer 1.running_mean .* no parameters",
        ),
        (nn.Linear(3, 2), (4,), r"does not run on an input of shape \(4,\): .*mat1 and mat2"),
    ],
    ids=[
        "two outputs",
        "bilinear",
        "shared layer",
        "shared norm",
        "unused",
        "combined",
        "bare statistics",
        "wrong input",
    ],
)
def test_what_has_no_known_cost_is_an_error_that_names_it(
    network: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(RunFailed, match=message):
        read_structure(network, shape)
