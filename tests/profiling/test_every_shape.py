"""Exported training steps equal PyTorch's: every shape of small networks, some of every large one."""

from __future__ import annotations

import pytest

from edgesim.models._model import Model
from edgesim.models._structure import read_structure
from edgesim.models.efficientnet_b0 import EfficientNetB0
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.models.har_cnn import HarCnn
from edgesim.models.lenet import LeNet
from edgesim.models.lstm import Lstm
from edgesim.models.mlp import Mlp
from edgesim.models.mobilenet_v2 import MobileNetV2
from edgesim.models.mobilenet_v3 import MobileNetV3
from edgesim.models.preact_resnet18 import PreactResNet18
from edgesim.models.resnet18 import ResNet18
from edgesim.models.transformer import Transformer
from edgesim.models.vit import Vit
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.full import Full
from edgesim.submodels.heterofl import HeteroFL
from tests.profiling.steps_of import books, built, is_exact, subject

CLASSES = 7
IMAGE, TINY = (1, 12, 12), (3, 16, 16)

SMALL = {"lenet": LeNet(), "mlp": Mlp(hidden=(12, 9))}
LADDERS = {"fedpmt": FedPMT(), "heterofl": HeteroFL()}

LIGHT = {
    "fedavg_cnn": (FedAvgCnn(), (1, 8, 8), None),
    "har_cnn": (HarCnn(), (4, 16), None),
    "lstm": (Lstm(embedding=4, hidden=8), (5,), CLASSES),
    "transformer": (Transformer(embedding=8, heads=2, feed_forward=16, layers=1), (5,), CLASSES),
}
HEAVY = {
    "mobilenet_v2": (MobileNetV2(), TINY, None),
    "mobilenet_v3": (MobileNetV3(), TINY, None),
    "efficientnet_b0": (EfficientNetB0(), TINY, None),
    "resnet18": (ResNet18(), TINY, None),
    "resnet18 with batch norm": (ResNet18(norm="static_batch"), TINY, None),
    "preact_resnet18": (PreactResNet18(), TINY, None),
    "vit": (Vit(), (3, 32, 32), None),
}


@pytest.mark.parametrize("method", LADDERS)
@pytest.mark.parametrize("name", SMALL)
def test_every_shape_on_the_ladders_of_small_networks_is_exact(name: str, method: str) -> None:
    ledger = books(built(SMALL[name], IMAGE, CLASSES), IMAGE, LADDERS[method])
    for capacity in ledger.strategy.ladder(ledger.structure):
        assert is_exact(subject(ledger, capacity)), capacity


def check_three_shapes(model: Model, shape: tuple[int, ...], tokens: int | None) -> None:
    network = built(model, shape, CLASSES)
    depth = len(read_structure(network, shape, tokens).layers) // 2
    for strategy, capacity in ((Full(), 1.0), (FedPMT(), float(depth)), (HeteroFL(), 0.5)):
        assert is_exact(subject(books(network, shape, strategy, tokens=tokens), capacity))


@pytest.mark.parametrize("name", LIGHT)
def test_whole_half_deep_and_half_wide_are_exact(name: str) -> None:
    check_three_shapes(*LIGHT[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", HEAVY)
def test_whole_half_deep_and_half_wide_are_exact_for_large_networks(name: str) -> None:
    check_three_shapes(*HEAVY[name])
