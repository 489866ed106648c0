"""A user's own network as a model: `module:Class`, or `module:function` that returns one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import core_schema

from edgesim.errors import InputError, Problem, did_you_mean
from edgesim.models._model import Model

if TYPE_CHECKING:
    from torch import nn

_OFFERED = ("num_classes", "input_shape")


@dataclass(frozen=True)
class UserModel(Model):
    """A model that lives outside the package.

    Attributes:
        component_name: `module:Class`, as the scenario names it.
        parameters: the keyword arguments that the scenario gives.
        target: what the name stands for.
    """

    reads_tokens: ClassVar[bool | None] = None

    component_name: str
    parameters: Mapping[str, Any]
    target: Callable[..., Any] = field(repr=False)

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Call the target with its parameters, and `num_classes` and `input_shape` if its signature asks.

        Raises:
            InputError: the target refuses its parameters, or returns no torch Module.
        """
        from torch import nn

        offered = dict(zip(_OFFERED, (classes, input_shape), strict=True))
        arguments = {name: offered[name] for name in _asked(self.target)} | dict(self.parameters)
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        try:
            network = self.target(**arguments)
        except (TypeError, ValueError, RuntimeError) as error:
            # What Python and torch raise for arguments that a network cannot be made with.
            raise self._refuse(f"cannot be built with {given}: {error}") from error
        if not isinstance(network, nn.Module):
            raise self._refuse(f"must give a torch.nn.Module, but gave {type(network).__name__}")
        return network

    def _refuse(self, message: str) -> InputError:
        return InputError(Problem(f'"{self.component_name}" {message}', path="model"))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        # A scenario writes the parameters beside the name, so that is how they are dumped.
        return core_schema.is_instance_schema(
            cls,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda model: dict(model.parameters)
            ),
        )


def adapt(target: str, loaded: Any, parameters: Mapping[str, Any]) -> UserModel:
    """Take in what `module:Class` names, once its signature is seen to accept the parameters.

    Raises:
        ValueError: it is neither a Module class nor a function, or does not take these parameters.
    """
    if not (inspect.isfunction(loaded) or _is_module_class(loaded)):
        raise ValueError(f'"{target}" is neither a torch.nn.Module class nor a function that returns one')
    signature = inspect.signature(loaded)
    try:
        signature.bind(**dict.fromkeys(_asked(loaded)) | dict(parameters))
    except TypeError as error:
        unknown = [name for name in parameters if name not in signature.parameters]
        hint = did_you_mean(unknown[0], signature.parameters) if unknown else ""
        allowed = ", ".join(signature.parameters)
        raise ValueError(f'"{target}": {error}{hint} (parameters: {allowed})') from error
    return UserModel(target, dict(parameters), loaded)


def _asked(target: Callable[..., Any]) -> list[str]:
    known = inspect.signature(target).parameters
    return [name for name in _OFFERED if name in known]


def _is_module_class(loaded: object) -> bool:
    from torch import nn

    return isinstance(loaded, type) and issubclass(loaded, nn.Module)
