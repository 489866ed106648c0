"""Networks that tie, mix or reorder channels: what is cut all the same, and what is refused by name."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from edgesim.errors import RunFailed
from edgesim.models._structure import ModelStructure, read_structure

WIDTH, IMAGE = 8, (1, 6, 6)


class Around(nn.Module):
    """A convolution, what is between, the mean of each map, and an output layer."""

    def __init__(self, between: nn.Module, features: int = WIDTH) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, WIDTH, 3, padding=1)
        self.between = between
        self.output = nn.Linear(features, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.between(torch.relu(self.stem(x))).mean((2, 3)))  # type: ignore[no-any-return]


class Shuffle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)


class FunctionalWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, WIDTH, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.kernel, padding=1)


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / self.weight.square().mean((1, 2, 3), keepdim=True).sqrt()
        return functional.conv2d(x, weight, self.bias, padding=1)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.relu(self.layer(x)))  # type: ignore[no-any-return]


class Centred(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)


class FixedScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(WIDTH, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class LearnedScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(WIDTH, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Steep(nn.Module):
    """Makes of the last bit of a float32 sum another number altogether."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.layer = nn.Conv2d(WIDTH, 3000, 1), nn.Conv2d(3000, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(1e8 * self.layer(self.wide(x)))


class SumOverChannels(nn.Module):
    """Attention to channels by a convolution along them."""

    def __init__(self) -> None:
        super().__init__()
        self.along = nn.Conv1d(1, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.along(x.mean((2, 3)).unsqueeze(1)).mean(1)[:, :, None, None]


class Halves(nn.Module):
    """The unit of ShuffleNetV2: one half of the channels passes, the other is convolved."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(WIDTH // 2, WIDTH // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        passed, convolved = x.chunk(2, 1)
        return Shuffle()(torch.cat([passed, self.layer(convolved)], 1))  # type: ignore[no-any-return]


def structure_of(between: nn.Module, features: int = WIDTH) -> ModelStructure:
    return read_structure(Around(between, features), IMAGE)


@pytest.mark.parametrize(
    "between",
    [
        nn.PReLU(),
        nn.PReLU(WIDTH),
        nn.BatchNorm2d(WIDTH, affine=False, track_running_stats=False),
        nn.InstanceNorm2d(WIDTH, affine=True),
        nn.LayerNorm((WIDTH, 6, 6)),
        nn.LocalResponseNorm(3),
        LearnedScale(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_treats_every_channel_alike_or_has_an_entry_for_each_is_cut(between: nn.Module) -> None:
    assert [(group.name, group.size) for group in structure_of(between).units.groups] == [("stem", WIDTH)]


@pytest.mark.parametrize(
    ("between", "features", "message"),
    [
        (Shuffle(), WIDTH, r"^module between \(Shuffle\) cannot run with some of its channels"),
        (nn.ChannelShuffle(2), WIDTH, r"^module between \(ChannelShuffle\) cannot run .*divisible by groups"),
        (nn.PixelShuffle(2), 2, r"^module between \(PixelShuffle\) cannot run with some of its channels"),
        (nn.GLU(1), WIDTH // 2, r"^module between \(GLU\) cannot run .*Halving dimension must be even"),
        (Halves(), WIDTH, r"^module between\.layer \(Conv2d\) cannot run with some of its channels"),
        (FunctionalWeight(), 6, r"^module between \(FunctionalWeight\) cannot run with some of its channels"),
        (FixedScale(), WIDTH, r"^module between \(FixedScale\) cannot run with some of its channels"),
        (
            nn.GroupNorm(2, WIDTH, affine=False),
            WIDTH,
            r"^module between \(GroupNorm\) cannot run .*divisible",
        ),
        (SumOverChannels(), WIDTH, r"^module between \(SumOverChannels\) regroups or mixes channels"),
        (Standardised(WIDTH, WIDTH, 3), WIDTH, r"^the model Around regroups or mixes channels"),
        (Centred(), WIDTH, r"^the model Around regroups or mixes channels"),
        (nn.Softmax(1), WIDTH, r"^the model Around regroups or mixes channels"),
        (Twice(), WIDTH, r"^parameter between\.layer\.weight is used twice in one forward pass"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_ties_or_mixes_channels_is_refused_by_the_name_of_its_module(
    between: nn.Module, features: int, message: str
) -> None:
    with pytest.raises(RunFailed, match=message):
        _ = structure_of(between, features).units


def test_rounding_that_a_network_makes_much_of_is_no_mixing_of_channels() -> None:
    groups = structure_of(Steep()).units.groups
    assert [group.name for group in groups] == ["stem", "between.wide", "between.layer"]


def test_of_a_network_that_cannot_be_traced_the_innermost_module_is_named() -> None:
    structure = read_structure(torchvision.models.shufflenet_v2_x0_5(num_classes=5), (3, 32, 32))
    message = r"^module stage2 \(Sequential\) cannot be traced for its units \(ZeroDivisionError: "
    with pytest.raises(RunFailed, match=message):
        _ = structure.units
