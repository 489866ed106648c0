"""A training step by onnxruntime and by PyTorch, on one thread, each in a process of its own.

Neither function here imports the other's runtime: their waiting threads would fight for the core.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

ALTERNATIONS = 5
SECONDS = 2.0  # of each measurement
WARM_UP = 5


@dataclass(frozen=True)
class Step:
    """A step of plain SGD, in both forms.

    Attributes:
        model: name of the architecture, as in a scenario.
        shape: of a sample.
        batch: samples.
        graph: the exported step.
        feeds: what its inputs are filled with: name, fill, shape and type of each.
    """

    model: str
    shape: tuple[int, ...]
    batch: int
    graph: bytes
    feeds: tuple[tuple[str, dict[str, Any], tuple[int, ...], str], ...]


def medians_s(step: Step) -> tuple[float, float]:
    """Median seconds of a step by PyTorch and by onnxruntime, over alternating processes."""
    rows = [(_alone(eager_s, step), _alone(onnx_s, step)) for _ in range(ALTERNATIONS)]
    plain_s, exported_s = (median(column) for column in zip(*rows, strict=True))
    return plain_s, exported_s


def _alone(measure: Callable[[Step], float], step: Step) -> float:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, step).result()


def onnx_s(step: Step) -> float:
    """Median seconds of a step by onnxruntime."""
    import onnxruntime

    from edgesim.profiling.runner.fills import draw

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(step.graph, options, providers=["CPUExecutionProvider"])
    feeds = {name: draw(fill, shape, dtype) for name, fill, shape, dtype in step.feeds}
    return _median_s(lambda: session.run(None, feeds))


def eager_s(step: Step) -> float:
    """Median seconds of a step by PyTorch: `autograd.grad` and updates in place."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    network = built(step.model, step.shape)
    params = list(network.parameters())
    x, y = torch.randn(step.batch, *step.shape), torch.randint(10, (step.batch,))

    def run() -> None:
        gradients = torch.autograd.grad(functional.cross_entropy(network(x), y), params)
        with torch.no_grad():
            for parameter, gradient in zip(params, gradients, strict=True):
                parameter.sub_(gradient, alpha=0.1)

    return _median_s(run)


def built(model: str, shape: Sequence[int]) -> Any:
    """The network of a model's name, for ten classes."""
    from edgesim import registry
    from edgesim.models._model import Model

    made: Model = registry.builtin("models", model)()
    return made.build(tuple(shape), 10)


def _median_s(run: Callable[[], object]) -> float:
    for _ in range(WARM_UP):
        run()
    found: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return median(found)
