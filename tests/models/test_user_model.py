"""A network that lives outside the package, by `module:Class` in a scenario."""

import sys
import types
from typing import Annotated

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from edgesim.errors import InputError
from edgesim.models._model import Model
from edgesim.registry import in_room, name_of

ADAPTER = TypeAdapter(Annotated[Model, in_room("models", "model")])


class Wide(nn.Module):
    def __init__(self, width: int, num_classes: int, depth: int = 1):
        super().__init__()
        self.hidden = nn.Linear(4, width)
        self.out = nn.Linear(width, num_classes)
        self.depth = depth

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)))


def linear(input_shape, num_classes, *, bias=True) -> nn.Module:
    return nn.Linear(input_shape[0], num_classes, bias=bias)


def number(num_classes):
    return num_classes


@pytest.fixture(autouse=True)
def mine():
    module = types.ModuleType("mine")
    vars(module).update(Wide=Wide, linear=linear, number=number, not_callable=3)
    sys.modules["mine"] = module
    yield
    del sys.modules["mine"]


def test_a_module_class_gets_its_parameters_and_the_number_of_classes():
    network = ADAPTER.validate_python({"name": "mine:Wide", "width": 5}).build((4,), 3)
    assert isinstance(network, Wide)
    assert (network.hidden.out_features, network.out.out_features) == (5, 3)


def test_a_function_gets_the_input_shape_if_it_asks_for_it():
    network = ADAPTER.validate_python({"name": "mine:linear", "bias": False}).build((4,), 3)
    assert network.weight.shape == (3, 4)
    assert network.bias is None


def test_what_the_scenario_gives_wins_over_what_is_offered():
    network = ADAPTER.validate_python({"name": "mine:linear", "num_classes": 8}).build((4,), 3)
    assert network.weight.shape == (8, 4)


def test_a_user_model_is_written_as_it_was_read():
    written = {"name": "mine:Wide", "width": 5}
    model = ADAPTER.validate_python(written)
    assert name_of(model) == "mine:Wide"
    assert ADAPTER.dump_python(model, mode="json") == written
    assert ADAPTER.validate_json(ADAPTER.dump_json(model)) == model


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "mine:Wide", "wdth": 5}, r'"mine:Wide": .*did you mean "width"'),
        ("mine:Wide", r'"mine:Wide": missing a required argument: \'width\'.*parameters: width, num_classes'),
        ("mine:not_callable", "neither a torch.nn.Module class nor a function"),
        ("mine:Wid", 'has no "Wid"; did you mean "Wide"'),
    ],
)
def test_what_does_not_fit_the_signature_is_refused_when_it_is_read(given, message):
    with pytest.raises(ValidationError, match=message):
        ADAPTER.validate_python(given)


def test_a_value_that_no_network_can_be_made_with_is_named():
    model = ADAPTER.validate_python({"name": "mine:Wide", "width": "broad"})
    with pytest.raises(InputError, match=r'"mine:Wide" cannot be built with num_classes=3, width=\'broad\''):
        model.build((4,), 3)


def test_a_function_that_returns_no_network_is_refused():
    with pytest.raises(InputError, match=r'"mine:number" must give a torch\.nn\.Module, but gave int'):
        ADAPTER.validate_python("mine:number").build((4,), 3)
