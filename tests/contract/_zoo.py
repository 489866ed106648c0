"""Networks of every kind that a width or a depth cut must work on, small enough to be cut in a test."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.efficientnet import MBConv, MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig

from edgesim.models._preact import PreactBlock
from edgesim.models._slicing import small_network
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.models._units import NEVER, UnitLayout
from edgesim.models._user import adapt
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.models.har_cnn import HarCnn
from edgesim.models.ist_mlp import IstMlp
from edgesim.models.lenet import LeNet
from edgesim.models.lstm import Lstm
from edgesim.models.mlp import Mlp
from edgesim.models.resnet18 import ResNet18
from edgesim.models.transformer import Transformer
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._submodel import Cut

CLASSES = 5
GREY, ODD, COLOUR, SIGNAL, TOKENS = (1, 8, 8), (1, 9, 9), (3, 32, 32), (9, 16), (6, 4)
TEXT = (6,)


class Mine(nn.Module):
    """A user's network: two branches that are concatenated."""

    def __init__(self, num_classes: int, width: int = 6) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(1, width - 2, 1)
        self.norm = nn.BatchNorm2d(2 * width - 2)
        self.output = nn.Linear(2 * width - 2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.left(x), self.right(x)], 1)
        return self.output(torch.relu(self.norm(x)).mean((2, 3)))  # type: ignore[no-any-return]


def my_mlp(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A user's function."""
    features = int(np.prod(input_shape))
    return nn.Sequential(nn.Flatten(), nn.Linear(features, 7), nn.Tanh(), nn.Linear(7, num_classes))


class Encoder(nn.Module):
    """A class token, positions and two encoder layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.token, self.positions = (nn.Parameter(torch.randn(1, length, 8)) for length in (1, 7))
        self.first, self.second = (
            nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, batch_first=True) for _ in range(2)
        )
        self.output = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), self.embed(x)], 1) + self.positions
        return self.output(self.second(self.first(x))[:, 0])  # type: ignore[no-any-return]


class Grouped(nn.Module):
    """Convolutions in groups, forward and transposed, and in groups of one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 1)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.grouped_up = nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2)
        self.output = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(torch.relu(self.grouped(torch.relu(self.stem(x)))))
        return self.output(self.grouped_up(torch.relu(self.up(x))).mean((2, 3)))  # type: ignore[no-any-return]


def thin(network: nn.Module, shape: tuple[int, ...], rate: float) -> nn.Module:
    """A network whose published form is slow, cut to its first units: a network like any other."""
    layout = read_structure(network, shape).units
    cut = prefix_cut(layout, rate)
    return small_network(network, layout, cut.kept, cut.rates)


def short_mobilenet() -> nn.Module:
    """MobileNetV2 with four of its seventeen blocks: with and without expansion, stride and residual sum."""
    blocks = [[1, 4, 1, 1], [6, 6, 2, 2], [6, 8, 1, 1]]
    return torchvision.models.MobileNetV2(CLASSES, width_mult=0.25, inverted_residual_setting=blocks)


def pooled(*layers: nn.Module, width: int, side: int = 1) -> nn.Module:
    """Layers for images, their maps pooled to a side whatever they are, and linear layers."""
    features = width * side * side
    head = (
        nn.AdaptiveAvgPool2d(side),
        nn.Flatten(),
        nn.Linear(features, 6),
        nn.ReLU(),
        nn.Linear(6, CLASSES),
    )
    return nn.Sequential(*layers, *head)


def preactivated() -> nn.Module:
    """Residual blocks that normalise first, one of which changes the shape."""
    norm = partial(nn.BatchNorm2d, track_running_stats=False)
    blocks = (PreactBlock(4, 4, 1, norm), PreactBlock(4, 8, 2, norm))
    return pooled(nn.Conv2d(1, 4, 3, padding=1, bias=False), *blocks, norm(8), nn.ReLU(), width=8)


def squeezed() -> nn.Module:
    """A block of MobileNetV3 and one of EfficientNet, at times left out: gates for channels, hard or not."""
    norm = partial(nn.GroupNorm, 2)
    mobile = InvertedResidual(InvertedResidualConfig(8, 3, 16, 8, True, "HS", 1, 1, 1.0), norm)
    efficient = MBConv(MBConvConfig(2, 3, 1, 8, 8, 1), 0.5, norm)
    return pooled(nn.Conv2d(1, 8, 3, padding=1), mobile, efficient, width=8)


def vision_transformer() -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=CLASSES
    )


def small_transformer() -> nn.Module:
    sizes = {"embedding": 8, "heads": 2, "feed_forward": 12, "layers": 2}
    return Transformer(**sizes, positions=7, predict="last").build(TEXT, CLASSES)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: Mlp().build(GREY, CLASSES), GREY),
    "fedavg_cnn": (lambda: FedAvgCnn().build(GREY, CLASSES), GREY),
    "lenet": (lambda: LeNet().build(GREY, CLASSES), GREY),
    "resnet18": (lambda: thin(ResNet18().build(GREY, CLASSES), GREY, 1 / 8), GREY),
    "resnet18 static": (lambda: thin(ResNet18(norm="static_batch").build(ODD, CLASSES), ODD, 1 / 8), ODD),
    "har_cnn": (lambda: HarCnn().build(SIGNAL, CLASSES), SIGNAL),
    "torchvision resnet18": (
        lambda: thin(torchvision.models.resnet18(num_classes=CLASSES), COLOUR, 1 / 8),
        COLOUR,
    ),
    "mobilenet_v2": (short_mobilenet, COLOUR),
    "pooled to a size": (lambda: pooled(nn.Conv2d(1, 6, 3), nn.PReLU(6), width=6, side=2), GREY),
    "pre-activation": (preactivated, GREY),
    "squeeze and excitation": (squeezed, GREY),
    "normalised outputs": (lambda: IstMlp(hidden=(8, 6)).build(TOKENS, CLASSES), TOKENS),
    "user class": (lambda: adapt("mine:Mine", Mine, {}).build(GREY, CLASSES), GREY),
    "user function": (lambda: adapt("mine:my_mlp", my_mlp, {}).build(GREY, CLASSES), GREY),
    "encoder": (Encoder, TOKENS),
    "vision transformer": (vision_transformer, COLOUR),
    "grouped": (Grouped, GREY),
    "transformer": (small_transformer, TEXT),
    "lstm": (lambda: Lstm(embedding=4, hidden=6).build(TEXT, CLASSES), TEXT),
}
# Networks that read tokens have as many of them as classes.
OF_TOKENS = ("transformer", "lstm")
# Backward, PyTorch's counter takes a grouped convolution for a dense one.
WITH_GROUPS = ("mobilenet_v2", "squeeze and excitation", "grouped")


@cache
def structure_of(name: str) -> ModelStructure:
    """The structure of a network whose tensors are all different from zero and from each other."""
    make, shape = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make()
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor), alpha=0.05)
    return read_structure(network, shape, CLASSES if name in OF_TOKENS else None)


def drawn(structure: ModelStructure, count: int, seed: int = 0) -> Tensor:
    """Random samples [count, *input_shape]: normal numbers in double precision, or tokens."""
    generator, shape = torch.Generator().manual_seed(seed), (count, *structure.input_shape)
    if structure.tokens is None:
        return torch.randn(shape, dtype=torch.float64, generator=generator)
    return torch.randint(structure.tokens, shape, generator=generator)


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and floating-point buffers."""
    tensors = (*network.named_parameters(), *network.named_buffers())
    return {name: tensor.detach() for name, tensor in tensors if tensor.is_floating_point()}


def index_cut(layout: UnitLayout, rate: float, seed: int = 1) -> Cut:
    """Any units of each group, as many as a prefix would keep."""
    generator = np.random.default_rng(seed)
    groups = zip(layout.groups, prefix_cut(layout, rate).widths, strict=True)
    kept = tuple(np.sort(generator.choice(g.size, count, replace=False)) for g, count in groups)
    return Cut(kept, (rate,) * len(kept))


def held(layout: UnitLayout, cut: Cut, name: str, shape: tuple[int, ...]) -> Tensor:
    """Boolean tensor of the coordinates of a tensor that a cut holds."""
    kept = layout.kept(cut.kept)
    mask = torch.ones(shape, dtype=torch.bool)
    for dim, owners in enumerate(layout.places.get(name, ())):
        if owners is not None:
            there = torch.from_numpy((owners == NEVER) | kept[owners])
            mask &= there.reshape([-1 if d == dim else 1 for d in range(len(shape))])
    return mask
