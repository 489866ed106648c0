"""Which module an operator without a translation comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from edgesim.models._attention import attention_as_products
from edgesim.models._recurrent import recurrence_as_products

_Call = tuple[str, nn.Module, tuple[Any, ...], dict[str, Any]]


def culprit(network: nn.Module, x: Tensor, operator: str) -> str:
    """Path of the innermost module that runs an operator, in its own forward or backward pass.

    Args:
        network: whose modules are tried.
        x: a batch for it.
        operator: such as `aten.foo.default`.

    Returns:
        The path; empty where no module runs it by itself, as with operators of the loss.
    """
    found = ""
    with attention_as_products(), recurrence_as_products():
        for path, module, args, kwargs in _calls(network, x):
            if path.count(".") >= found.count(".") and operator in _operators(module, args, kwargs):
                found = path
    return found


def _calls(network: nn.Module, x: Tensor) -> list[_Call]:
    """The modules in the order in which they begin to run, with what they are called with."""
    calls: list[_Call] = []
    with _watched(network, calls), torch.no_grad():
        network(x)
    return calls


@contextmanager
def _watched(network: nn.Module, calls: list[_Call]) -> Iterator[None]:
    def watch(path: str, module: nn.Module) -> Any:
        def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.append((path, module, args, kwargs))

        return module.register_forward_pre_hook(note, with_kwargs=True)

    hooks = [watch(path, module) for path, module in network.named_modules() if path]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(str(func))
        return func(*args, **(kwargs or {}))


def _operators(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[str]:
    """The operators of a module's forward and backward pass."""

    def leaf(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.detach().clone().requires_grad_()
        return value

    recorder = _Recorder()
    with torch.enable_grad(), recorder:
        # In place on a leaf is refused, hence the multiplication.
        given = _pytree.tree_map(
            lambda v: v * 1 if isinstance(v, Tensor) and v.requires_grad else v,
            _pytree.tree_map(leaf, (args, kwargs)),
        )
        outputs = _pytree.tree_leaves(module(*given[0], **given[1]))
        summed = [t.sum() for t in outputs if isinstance(t, Tensor) and t.requires_grad]
        if summed:
            torch.stack(summed).sum().backward()  # type: ignore[no-untyped-call]
    return recorder.seen
