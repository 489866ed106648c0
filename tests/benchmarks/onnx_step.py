"""Exported training steps against PyTorch's own: at most 0.8 of its seconds for LeNet, 1.3 for others."""

import numpy as np

from edgesim.models._structure import read_structure
from edgesim.profiling.steps import training_step
from edgesim.profiling.subjects import subject_of
from edgesim.submodels.full import Full
from edgesim.training.accounting import LocalWork
from edgesim.training.ledger import Ledger
from edgesim.training.objective import Objective
from edgesim.training.optimizer import Sgd
from tests.benchmarks._contest import Step, built, medians_s
from tests.benchmarks._result import Result

CASES = (
    ("lenet", (1, 28, 28), 32, 0.8),
    ("fedavg_cnn", (1, 28, 28), 32, 1.3),
    ("resnet18", (3, 32, 32), 8, 1.3),
)


def measure() -> list[Result]:
    found = []
    for model, shape, batch, target in CASES:
        plain_s, onnx_s = medians_s(_step(model, shape, batch))
        found.append(Result(f"ONNX step of {model}, batch {batch}", plain_s, onnx_s, target))
    return found


def _step(model: str, shape: tuple[int, ...], batch: int) -> Step:
    network = built(model, shape)
    ledger = Ledger(
        structure=read_structure(network, shape, None),
        strategy=Full(),
        work=LocalWork(epochs=1, steps=None, batch_size=batch),
        optimizer=Sgd(),
        samples=np.array([batch]),
        capacity=np.ones(1),
    )
    exported = training_step(subject_of(ledger, ledger.expected(1.0), Objective(), batch, lr=0.1))
    feeds = tuple((port.name, dict(port.fill or {}), port.shape, port.dtype) for port in exported.inputs)
    return Step(model, shape, batch, exported.model.SerializeToString(), feeds)
