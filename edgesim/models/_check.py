"""Whether a network can be cut: tried once, on one cut of a network with random values.

The small network must run, and compute what the whole one computes with the other units at zero (P16 of
algorithms 5). Norms that mix channels are left out of that: they only scale and shift, in both networks.

A module that holds a number of channels beside its tensors (`self.width`, used in a reshape) makes the small
network fail. Such numbers are found by trying: one that equals the size of a group is shrunk with it if that
lets the small network get further.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from edgesim.errors import RunFailed
from edgesim.models._attention import attention_as_products
from edgesim.models._slicing import add_at, make_slicer, small_network
from edgesim.models._tracing import described
from edgesim.models._units import SAMPLES, KeptSize, UnitLayout, Units
from edgesim.rng import Streams

_DRAWN = 65_537  # repeated in large tensors; a prime, so that rows and columns differ
_TOLERANCE = 1e-3  # of the largest output; a unit out of place is off by a good part of it
_MIXING = (functional.group_norm, functional.layer_norm, functional.rms_norm, functional.local_response_norm)


def checked(
    network: nn.Module, layout: UnitLayout, input_shape: Sequence[int], tokens: int | None
) -> UnitLayout:
    """The layout with the sizes that modules hold beside their tensors.

    Args:
        network: to be cut.
        layout: of its units.
        input_shape: shape of one sample.
        tokens: size of the vocabulary where samples are tokens; null where they are numbers.

    Raises:
        RunFailed: the network cannot be cut; the message names the module.
    """
    if not layout.groups:
        return layout
    drawn = _sample((SAMPLES, *input_shape), tokens)
    kept = [_some(group.size) for group in layout.groups]
    for dtype in (torch.float32, torch.float64):  # deep attention makes much of a rounding error
        random, sample = _random(network, dtype), drawn if tokens is not None else drawn.to(dtype)
        found, small = _resized(random, layout, kept, sample)
        _mask(random, layout, kept)
        whole = _run(random, sample)
        if small.output is not None and whole.output is not None and _close(small.output, whole.output):
            return found
    raise RunFailed(
        f"{described(random, _first_odd(random, small, whole))} regroups or mixes channels in a way that"
        " cannot be cut: with some of them it does not compute what it computes with the others at zero"
    )


def _sample(shape: tuple[int, ...], tokens: int | None) -> Tensor:
    generator = Streams(0).generator("sample of the cut check")
    if tokens is None:
        return torch.from_numpy(generator.standard_normal(shape))
    return torch.from_numpy(generator.integers(tokens, size=shape))


def _some(size: int) -> Units:
    """Two of three units: no prefix, and rarely a multiple of anything."""
    return np.array([unit for unit in range(size) if unit % 3 != 1], dtype=np.int64)


def _random(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network with values that differ from unit to unit and neither vanish nor explode."""
    made = copy.deepcopy(network).to(dtype).eval().requires_grad_(False)
    block = Streams(0).generator("weights of the cut check").standard_normal(_DRAWN, dtype=np.float32)
    for number, tensor in enumerate((*made.parameters(), *made.buffers())):
        if tensor.is_floating_point():
            drawn = torch.from_numpy(np.resize(np.roll(block, number), tuple(tensor.shape)))
            fan_in = tensor.numel() / len(tensor) if tensor.dim() > 1 else 1
            tensor.copy_(drawn / fan_in**0.5 if tensor.dim() > 1 else 1 + drawn / 10)
    return made


@dataclass
class _Pass:
    """A forward pass as its modules saw it.

    Attributes:
        seen: paths of the modules that finished, in that order, with the sum of squares of what they gave.
        output: of the network; null where it failed.
        failed: path of the innermost module that did not finish.
        reason: why.
    """

    seen: list[tuple[str, float]] = field(default_factory=list)
    output: Tensor | None = None
    failed: str = ""
    reason: str = ""


def _run(network: nn.Module, sample: Tensor) -> _Pass:
    """Run a network while its modules are watched; its hooks stay, so that it serves for this alone."""
    seen = _Pass()
    inside: list[str] = []

    def watch(path: str, module: nn.Module) -> None:
        def enter(*_: object) -> None:
            inside.append(path)

        def leave(_module: nn.Module, _inputs: object, output: Any) -> None:
            inside.pop()
            first = output[0] if isinstance(output, tuple) else output
            seen.seen.append((path, float(first.square().sum()) if isinstance(first, Tensor) else 0.0))

        module.register_forward_pre_hook(enter)
        module.register_forward_hook(leave)

    for path, module in network.named_modules():
        watch(path, module)
    try:
        with torch.no_grad(), attention_as_products(), WithoutStatistics():
            seen.output = network(sample)
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
        # What torch and a user's own checks raise for tensors of other sizes than they expect.
        seen.failed, seen.reason = inside[-1], str(error).strip().split("\n")[0] or type(error).__name__
    return seen


class WithoutStatistics(TorchFunctionMode):
    """Norms that mix channels only scale and shift."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in _MIXING:
            return result
        given = inspect.signature(func).bind(*args, **(kwargs or {})).arguments
        scaled: Tensor = given["input"]
        trailing = scaled.dim() - 2 if func is functional.group_norm else 0
        for name, combine in (("weight", torch.mul), ("bias", torch.add)):
            if given.get(name) is not None:
                scaled = combine(scaled, given[name].reshape(given[name].shape + (1,) * trailing))
        return scaled


def _resized(
    network: nn.Module, layout: UnitLayout, kept: Sequence[Units], sample: Tensor
) -> tuple[UnitLayout, _Pass]:
    """The layout with sizes added, each of which lets the small network get further, until it runs."""

    def tried(sizes: tuple[KeptSize, ...]) -> tuple[UnitLayout, _Pass]:
        made = replace(layout, sizes=sizes)
        rate = sum(map(len, kept)) / layout.units
        return made, _run(small_network(network, made, kept, [rate] * len(kept)), sample)

    found, small = tried(())
    while small.output is None:
        more = (tried((*found.sizes, size)) for size in _sizes(network, found, small.failed))
        better = next(
            (run for run in more if run[1].output is not None or len(run[1].seen) > len(small.seen)), None
        )
        if better is None:
            raise RunFailed(
                f"{described(network, small.failed)} cannot run with some of its channels ({small.reason});"
                " it may hold a number of channels that is better taken from the tensors that come in"
            )
        found, small = better
    return found, small


def _sizes(network: nn.Module, layout: UnitLayout, path: str) -> Iterator[KeptSize]:
    """Attributes of a module and of those around it that equal a group's size and are not resized yet."""
    groups = {group.size: index for index, group in reversed(list(enumerate(layout.groups)))}
    taken = {(size.module, size.attribute) for size in layout.sizes}
    around = [path.rsplit(".", up)[0] for up in range(path.count(".") + 1)]
    for owner in dict.fromkeys((*around, "")):
        for attribute, value in vars(network.get_submodule(owner)).items():
            numbers = value if isinstance(value, tuple) else (value,)
            fitting = [groups[each] for each in numbers if type(each) is int and each in groups]
            if fitting and (owner, attribute) not in taken:
                yield KeptSize(owner, attribute, fitting[0])


def _mask(network: nn.Module, layout: UnitLayout, kept: Sequence[Units]) -> None:
    """Put zeros wherever the small network has nothing, in place."""
    slicer = make_slicer(layout, kept)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if name in slicer.places:
            held = slicer.take(name, tensor).clone()
            add_at(tensor.zero_(), slicer.places[name], held)


def _close(small: Tensor, whole: Tensor) -> bool:
    return bool((small - whole).abs().max() <= _TOLERANCE * whole.abs().max())


def _first_odd(network: nn.Module, small: _Pass, whole: _Pass) -> str:
    """Path of the module in which the two part: the one around the first layer that gives something else.

    A layer with parameters gives zeros for what is not kept, so that the sums of squares are the same.
    """
    expected = dict(whole.seen)
    layers = {path for path, module in network.named_modules() if any(True for _ in module.parameters(False))}
    odd = (
        path
        for path, squares in small.seen
        if path in layers and not np.isclose(squares, expected.get(path, squares), rtol=10 * _TOLERANCE)
    )
    return next(odd, "").rpartition(".")[0]
