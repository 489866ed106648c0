"""Every graph held against PyTorch on fresh random data, in single and in double precision.

    loss                  |ort - torch64| <= 1e-5 of the loss, or of 1 where that is larger
    update and states     per tensor |ort - torch64| <= max(1e-4 scale, 4 |torch32 - torch64|, 1e-6)

`scale` is the largest element of the tensor's change, and the other differences are largest ones too. It is
the update that is judged and not the new parameter, which hides wrong gradients. The reference is autograd on
the objective itself with PyTorch's own optimisers: no part of the traced step.

A rectifier whose argument is all but zero may be open in one implementation and shut in another; then both
are right, and the update differs by more than rounding. So a graph that misses the bound is tried on other
data, and only one that misses it on all of them is wrong. The first data are judged without torch32: most
graphs pass so, and those that do not mostly pass on the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from edgesim.profiling._reference import Arrays, Gradients, differentiated, predicted, updated
from edgesim.profiling.runner.fills import draw
from edgesim.profiling.steps import FRESH, LOSS, OUTPUT, SCALAR, Exported, Port
from edgesim.profiling.subjects import Subject
from edgesim.training.optimizer import Optimizer

LOSS_TOLERANCE = 1e-5
TOLERANCE = 1e-4
ROUNDINGS = 4.0
FLOOR = 1e-6
DRAWS = 3

_FIRST_SEED = 1 << 32  # beyond those of the manifest, so that the data are fresh

_Reference = Callable[[Arrays, int, torch.dtype], Arrays]
"""What PyTorch gives for the same data, of so many draws, in a precision; by the names of the outputs."""


@dataclass(frozen=True)
class Check:
    """How far a graph is from PyTorch.

    Attributes:
        loss_error: |ort - torch64|, in units of the loss where that is above 1.
        update_error: the worst of |ort - torch64| over its bound, of all tensors; at most 1 where it passes.
        tensor: which that is.
        draws: on how many data it was tried.
    """

    loss_error: float
    update_error: float
    tensor: str
    draws: int = 1

    @property
    def passed(self) -> bool:
        """Whether all is within the tolerance."""
        return self.loss_error <= LOSS_TOLERANCE and self.update_error <= 1.0


class Checker:
    """Holds graphs against PyTorch; what the graphs of one network have in common is made once."""

    def __init__(self) -> None:
        self._network: nn.Module | None = None
        self._drawn: dict[object, NDArray[Any]] = {}
        self._gradients: dict[tuple[int, torch.dtype], Gradients] = {}

    def step(self, exported: Exported, subject: Subject) -> Check:
        """Run a training step by onnxruntime and by PyTorch on the same fresh data."""
        self._turn_to(subject.network)
        ports = _at_unit_rate(exported.inputs, subject.optimizer)

        def reference(feeds: Arrays, draws: int, dtype: torch.dtype) -> Arrays:
            known = self._gradients.get((draws, dtype))
            if known is None or not known.serve(subject, feeds):
                known = self._gradients[draws, dtype] = differentiated(subject, feeds, dtype)
            return updated(subject, known, feeds)

        return self._first_passed(exported, ports, reference)

    def inference(self, exported: Exported, subject: Subject) -> Check:
        """Run a forward pass by onnxruntime and by PyTorch on the same fresh data."""
        self._turn_to(subject.network)

        def reference(feeds: Arrays, _: int, dtype: torch.dtype) -> Arrays:
            return {OUTPUT: predicted(subject, feeds, dtype)}

        return self._first_passed(exported, exported.inputs, reference)

    def _turn_to(self, network: nn.Module) -> None:
        if network is not self._network:
            self._network, self._drawn, self._gradients = network, {}, {}

    def _first_passed(self, exported: Exported, ports: Sequence[Port], reference: _Reference) -> Check:
        session = _session(exported)
        for draws in range(1, DRAWS + 1):
            feeds = self._feeds(ports, draws)
            given = _run(session, exported, feeds)
            found = replace(_compared(given, feeds, reference, draws), draws=draws)
            if found.passed:
                break
        return found

    def _feeds(self, ports: Sequence[Port], draws: int) -> Arrays:
        """The fills of the manifest with other seeds, by name; the same arrays for equal fills."""
        feeds = {}
        for port in ports:
            assert port.fill is not None
            fill = dict(port.fill)
            if "seed" in fill:
                fill["seed"] = _FIRST_SEED * draws + fill["seed"]
            key = *fill.items(), port.shape, port.dtype
            if key not in self._drawn:
                self._drawn[key] = np.asarray(draw(fill, port.shape, port.dtype))
            feeds[port.name] = self._drawn[key]
        return feeds


def _at_unit_rate(ports: Sequence[Port], optimizer: Optimizer) -> list[Port]:
    """With a learning rate of 1: the rounding of the new parameter does not hide its change then."""
    values = dict(zip(optimizer.scalars, optimizer.scalar_values(1.0, 0), strict=True))
    return [
        replace(port, fill={"kind": "constant", "value": values[port.name.removeprefix(SCALAR)]})
        if port.role == "scalar"
        else port
        for port in ports
    ]


def _compared(given: Arrays, feeds: Arrays, reference: _Reference, draws: int) -> Check:
    """What onnxruntime gave held against PyTorch; from the second data on, torch32 widens the bounds."""
    double = reference(feeds, draws, torch.float64)
    names = [name for name in given if name != LOSS]
    errors = {name: _largest(given[name] - double[name]) for name in names}
    changes = {name: double[name] - feeds.get(name.removeprefix(FRESH), 0.0) for name in names}
    bounds = {name: max(TOLERANCE * _largest(change), FLOOR) for name, change in changes.items()}
    if draws > 1 and any(errors[name] > bounds[name] for name in names):
        single = reference(feeds, draws, torch.float32)
        rounding = {name: _largest(single[name] - double[name]) for name in names}
        bounds = {name: max(bound, ROUNDINGS * rounding[name]) for name, bound in bounds.items()}
    ratios = {name: errors[name] / bounds[name] for name in names}
    tensor = max(names, key=ratios.__getitem__)
    loss = float(double.get(LOSS, np.zeros(())))
    loss_error = abs(float(given.get(LOSS, loss)) - loss) / max(1.0, abs(loss))
    return Check(loss_error, ratios[tensor], tensor)


def _largest(difference: NDArray[Any]) -> float:
    """Largest absolute value; infinite where anything is no number."""
    found = float(np.abs(difference).max(initial=0.0))
    return found if np.isfinite(found) else math.inf


def _session(exported: Exported) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    content = exported.model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, exported: Exported, feeds: Arrays) -> Arrays:
    names = [port.name for port in exported.outputs]
    read = {port.name: feeds[port.name] for port in exported.inputs}
    return dict(zip(names, session.run(names, read), strict=True))
