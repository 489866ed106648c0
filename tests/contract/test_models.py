"""What every model must do, built for grey and coloured images, signals and text, if it takes them."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgesim import registry
from edgesim.errors import InputError
from edgesim.models._attention import attention_as_products
from edgesim.models._model import Model
from edgesim.models._recurrent import recurrence_as_products
from edgesim.models._structure import ModelStructure, read_structure
from tests.contract._examples import example

CLASSES = 6


SHAPES = [(1, 8, 8), (3, 32, 32), (9, 128), (7,)]


def outputs(model: Model) -> int:
    """Numbers that it gives for each sample: one per class, or the loss."""
    return 1 if model.gives_loss else CLASSES


def takes(model: Model, shape: tuple[int, ...]) -> bool:
    try:
        model.build(shape, CLASSES)
    except InputError:
        return False
    return True


def read(network: nn.Module, model: Model, shape: tuple[int, ...]) -> ModelStructure:
    return read_structure(network, shape, CLASSES if model.reads_tokens else None)


MODELS = {name: example(registry.builtin("models", name)) for name in registry.names("models")}
TAKEN = [(name, shape) for name, model in MODELS.items() for shape in SHAPES if takes(model, shape)]


@pytest.fixture(params=TAKEN, ids=str)
def taken(request: pytest.FixtureRequest) -> tuple[str, tuple[int, ...]]:
    return request.param


@pytest.fixture
def model(taken: tuple[str, tuple[int, ...]]) -> Model:
    return MODELS[taken[0]]


@pytest.fixture
def shape(taken: tuple[str, tuple[int, ...]]) -> tuple[int, ...]:
    return taken[1]


@pytest.mark.parametrize("name", MODELS)
def test_it_takes_images_signals_or_text(name: str) -> None:
    assert any(takes(MODELS[name], shape) for shape in SHAPES)


def test_it_is_a_frozen_component(model: Model) -> None:
    assert isinstance(model, Model)
    assert dataclasses.is_dataclass(model)
    assert type(model).__dataclass_params__.frozen


def test_it_gives_one_output_per_class_for_each_sample(model: Model, shape: tuple[int, ...]) -> None:
    network = model.build(shape, CLASSES)
    structure = read(network, model, shape)
    assert structure.output_shape[-1] == outputs(model)
    assert network(structure.samples(3)).shape == (3, *structure.output_shape)


def test_its_structure_holds_every_parameter_once_and_ends_with_the_classes(
    model: Model, shape: tuple[int, ...]
) -> None:
    network = model.build(shape, CLASSES)
    structure = read(network, model, shape)
    tensors = [name for layer in structure.layers for name in layer.tensors]
    assert sorted(tensors) == sorted(name for name, _ in network.named_parameters())
    assert structure.parameters == sum(p.numel() for p in network.parameters())
    if not model.gives_loss:
        assert structure.layers[-1].output_elements == math.prod(structure.output_shape)


def test_its_declared_operations_are_those_that_torch_counts(model: Model, shape: tuple[int, ...]) -> None:
    network = model.build(shape, CLASSES)
    structure = read(network, model, shape)
    with attention_as_products(), recurrence_as_products(), FlopCounterMode(display=False) as counted:
        output = network(structure.samples(2))
    assert 2 * 2 * structure.forward_macs == counted.get_total_flops()
    if any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in network.modules()):
        return  # backward, PyTorch's counter takes a grouped convolution for a dense one
    with attention_as_products(), recurrence_as_products(), FlopCounterMode(display=False) as counted:
        output.sum().backward()
    assert 2 * 2 * structure.backward_macs(structure.all_layers) == counted.get_total_flops()


def test_the_random_state_of_the_caller_decides_its_weights(model: Model, shape: tuple[int, ...]) -> None:
    def build() -> list[torch.Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return list(model.build(shape, CLASSES).parameters())

    assert all(torch.equal(a, b) for a, b in zip(build(), build(), strict=True))
