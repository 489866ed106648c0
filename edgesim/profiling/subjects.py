"""What a device trains with a sub-model, as far as a graph depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from edgesim.submodels._rule import PRESENT
from edgesim.submodels._submodel import Submodel
from edgesim.training.ledger import Ledger
from edgesim.training.objective import ANCHOR, Objective
from edgesim.training.optimizer import Optimizer
from edgesim.training.part import make_part
from edgesim.training.step_plan import Example


@dataclass(frozen=True)
class Subject:
    """What a device trains, and how: everything that a step's graph depends on.

    Attributes:
        network: what the device holds.
        objective: in single precision.
        optimizer: whose update closes the step.
        example: a client's tensors; their spread decides the fills.
        lr: learning rate.
        classes: what labels are below.
        tokens: what samples are below where they are tokens; null where they are numbers.
    """

    network: nn.Module
    objective: Objective
    optimizer: Optimizer
    example: Example
    lr: float
    classes: int
    tokens: int | None


def subject_of(ledger: Ledger, submodel: Submodel, objective: Objective, batch: int, lr: float) -> Subject:
    """What a device trains with a sub-model, in single precision.

    Args:
        ledger: of the model, with the optimiser.
        submodel: of it.
        objective: what is minimised, with the rule of the method.
        batch: samples per step.
        lr: learning rate.
    """
    held, whole = ledger.structure_of(submodel), ledger.structure
    part = make_part(held, submodel.layers, submodel.frozen)
    tensors = {
        name: tensor.detach()
        for name, tensor in (*held.network.named_parameters(), *held.network.named_buffers())
    }
    params = {name: tensors[name] for name in part.trained}
    example = Example(
        params=params,
        frozen={name: tensors[name] for name in part.frozen},
        buffers={name: tensors[name] for name in part.buffers},
        aux=_aux(ledger, submodel, objective, params),
        x=held.samples(batch),
        y=torch.zeros((batch, *whole.output_shape[:-1]), dtype=torch.int64),
    )
    return Subject(
        network=held.network,
        objective=replace(objective, precision="float32"),
        optimizer=ledger.optimizer,
        example=example,
        lr=lr,
        classes=whole.output_shape[-1],
        tokens=whole.tokens,
    )


def _aux(
    ledger: Ledger, submodel: Submodel, objective: Objective, params: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What a step reads besides, as the first visit of device 0 would have it."""
    rule = objective.rule
    aux = rule.aux(submodel, params)
    if rule.masks_classes:
        aux[PRESENT] = torch.ones(ledger.structure.output_shape[-1])
    if objective.proximal:
        aux |= {ANCHOR + name: tensor for name, tensor in params.items()}
    drawn = rule.draws(submodel, 1, partial(ledger.streams.generator, "rule", 0, 0))
    return aux | {name: torch.tensor(values[0], dtype=torch.float32) for name, values in drawn.items()}
