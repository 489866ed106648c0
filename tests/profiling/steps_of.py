"""Training steps of sub-models on random data, for graphs to be held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from edgesim.models._model import Model
from edgesim.models._structure import read_structure
from edgesim.profiling.check import Check, Checker
from edgesim.profiling.steps import Exported, inference, training_step
from edgesim.profiling.subjects import Subject, subject_of
from edgesim.submodels._submodel import SubmodelStrategy
from edgesim.submodels.full import Full
from edgesim.training.accounting import LocalWork
from edgesim.training.ledger import Ledger
from edgesim.training.objective import Objective
from edgesim.training.optimizer import Optimizer, Sgd

BATCH = 3
MOMENTUM = Sgd(momentum=0.9, weight_decay=1e-3)


def books(
    network: nn.Module,
    input_shape: Sequence[int],
    strategy: SubmodelStrategy | None = None,
    optimizer: Optimizer = MOMENTUM,
    tokens: int | None = None,
) -> Ledger:
    """Books of one device with a network."""
    return Ledger(
        structure=read_structure(network, input_shape, tokens),
        strategy=strategy or Full(),
        work=LocalWork(epochs=1, steps=None, batch_size=BATCH),
        optimizer=optimizer,
        samples=np.array([BATCH]),
        capacity=np.ones(1),
    )


def built(model: Model, input_shape: Sequence[int], classes: int) -> nn.Module:
    """The model's network; the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return model.build(tuple(input_shape), classes)


def subject(
    ledger: Ledger, capacity: float = 1.0, objective: Objective | None = None, batch: int = BATCH
) -> Subject:
    """What a device of this capacity trains."""
    objective = dataclasses.replace(objective or Objective(), rule=ledger.strategy.rule)
    return subject_of(ledger, ledger.expected(capacity), objective, batch, lr=0.1)


def step_of(subject: Subject) -> tuple[Exported, Check]:
    """The exported training step and how far it is from PyTorch."""
    exported = training_step(subject)
    return exported, Checker().step(exported, subject)


def is_exact(subject: Subject) -> bool:
    """Whether the training step and the inference graph both equal PyTorch within the tolerance."""
    forward = inference(subject)
    return step_of(subject)[1].passed and Checker().inference(forward, subject).passed


def operators(exported: Exported) -> list[str]:
    """The ONNX operators of a graph, in order."""
    return [node.op_type for node in exported.model.graph.node]
