"""The graph of a network's channels, by torch-pruning, and where a network stands in its way."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgesim.errors import RunFailed
from edgesim.models._attention import attention_as_products

# What torch-pruning and a network's own forward pass raise where the graph is beyond them.
_BEYOND = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
)


def dependency_graph(network: nn.Module, inputs: tuple[Any, ...]) -> Any:
    """torch-pruning's graph of which channels depend on which.

    Raises:
        RunFailed: the network cannot be traced; the message names the innermost module of which that is true.
    """
    try:
        return _traced(network, inputs)
    except _BEYOND as error:
        raise RunFailed(
            f"{described(network, _culprit(network, inputs))} cannot be traced for its units"
            f" ({type(error).__name__}: {error}); methods that cut widths need a model that can"
        ) from error


def described(network: nn.Module, path: str) -> str:
    """A module as messages name it; an empty path is the network."""
    kind = type(network.get_submodule(path)).__name__
    return f"module {path} ({kind})" if path else f"the model {kind}"


def _traced(network: nn.Module, inputs: tuple[Any, ...]) -> Any:
    import torch_pruning  # 120 MB that a run without cuts does not need

    with attention_as_products():
        return torch_pruning.DependencyGraph().build_dependency(network, example_inputs=inputs, verbose=False)


def _culprit(network: nn.Module, inputs: tuple[Any, ...]) -> str:
    """Path of the innermost module that cannot be traced by itself on what it is given."""
    for name, module, given in _calls_of_children(network, inputs):
        try:
            _traced(module, given)
        except _BEYOND:
            return f"{name}.{_culprit(module, given)}".removesuffix(".")
    return ""


def _calls_of_children(
    network: nn.Module, inputs: tuple[Any, ...]
) -> list[tuple[str, nn.Module, tuple[Any, ...]]]:
    """The children that run, as far as the network runs, with what they are called with."""
    calls: list[tuple[str, nn.Module, tuple[Any, ...]]] = []

    def watch(name: str, child: nn.Module) -> Any:
        return child.register_forward_pre_hook(lambda _, given: calls.append((name, child, given)))

    hooks = [watch(name, child) for name, child in network.named_children()]
    try:
        with torch.no_grad():
            network(*inputs)
    except _BEYOND:
        pass  # the child that it broke off in is among them
    finally:
        for hook in hooks:
            hook.remove()
    return calls
