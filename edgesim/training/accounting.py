"""What a visit costs before anything is trained: bytes, operations and memory (algorithms 1.3 to 1.5)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgesim.learner import Operator, Part, Workload
from edgesim.models._structure import FLOAT_BYTES, ModelStructure, reaches
from edgesim.submodels._submodel import Submodel
from edgesim.training.optimizer import Optimizer


@dataclass(frozen=True)
class LocalWork:
    """How much a device trains in one visit.

    Attributes:
        epochs: passes over its samples; null where `steps` is given.
        steps: optimiser steps; null where `epochs` is given.
        batch_size: samples per step.
    """

    epochs: int | None
    steps: int | None
    batch_size: int

    def batch(self, samples: int) -> int:
        """Samples of a full step of a device with so many samples."""
        return min(self.batch_size, samples)

    def steps_of(self, samples: int) -> int:
        """Optimiser steps of a visit."""
        per_epoch = math.ceil(samples / self.batch_size)
        return self.steps if self.steps is not None else per_epoch * (self.epochs or 1)

    def processed(self, samples: int) -> int:
        """Samples that a visit's steps process, all epochs together."""
        per_epoch = math.ceil(samples / self.batch_size)
        whole, rest = divmod(self.steps_of(samples), per_epoch)
        return whole * samples + rest * self.batch(samples)


def memory_bytes(structure: ModelStructure, submodel: Submodel, batch: int, optimizer: Optimizer) -> int:
    """Peak memory of training, algorithms 1.4."""
    first = submodel.first_layer
    held = FLOAT_BYTES * structure.parameters
    trained = FLOAT_BYTES * (1 + optimizer.states) * structure.trained_parameters(first)
    return held + trained + batch * (structure.activation_bytes(first) + structure.transient_bytes)


def operators(structure: ModelStructure, first: int, batch: int) -> tuple[Operator, ...]:
    """Floating-point operations and bytes of one full training step by operator class.

    Bytes are those of each operator's operands and result, read or written once.
    """
    flops: dict[str, int] = {}
    moved: dict[str, int] = {}

    def count(kind: str, macs: int, elements: int, times: int) -> None:
        if times:
            flops[kind] = flops.get(kind, 0) + times * 2 * batch * macs
            moved[kind] = moved.get(kind, 0) + times * FLOAT_BYTES * elements

    for index, layer in enumerate(structure.layers):
        elements = batch * (layer.input_elements + layer.output_elements) + layer.parameters
        count(layer.kind, layer.macs, elements, 1)
        count(f"{layer.kind}_weight", layer.macs, elements, index >= first)
        count(f"{layer.kind}_input", layer.macs, elements, reaches(layer.upstream, first))
    for product in structure.products:
        sides = sum(reaches(side, first) for side in product.upstream)
        count("product", product.macs, batch * product.elements, 1 + sides)
    return tuple(Operator(kind, flops[kind], moved[kind]) for kind in flops)


def workload(
    structure: ModelStructure,
    submodel: Submodel,
    samples: int,
    work: LocalWork,
    optimizer: Optimizer,
    parameters: int,
) -> Workload:
    """The workload of one visit; the statistics of norms travel with the parameters of their layer.

    Args:
        structure: of what the device holds.
        submodel: what it trains of that.
        samples: of the device.
        work: epochs or steps, and batch size.
        optimizer: for its state.
        parameters: of the whole model, for the density.
    """
    first = submodel.first_layer
    processed = work.processed(samples)
    batch = work.batch(samples)
    trained = structure.trained_parameters(first)
    down = FLOAT_BYTES * (structure.parameters + structure.trained_statistics(0))
    identity = f"{[(layer.name, layer.parameters) for layer in structure.layers]} {first} {batch} {optimizer}"
    shape = hashlib.blake2b(f"{identity} {structure.input_shape}".encode(), digest_size=8).hexdigest()
    whole = submodel.cut is None
    parts = [Part("weights" if whole else submodel.label, down)]
    if submodel.mask_bytes:
        parts.append(Part(f"mask of {submodel.label}", submodel.mask_bytes))
    return Workload(
        shape=shape,
        forward_flops=2 * structure.forward_macs * processed,
        backward_flops=2 * structure.backward_macs(first) * processed,
        operators=operators(structure, first, batch),
        parts_down=tuple(parts),
        bytes_up=FLOAT_BYTES * (trained + structure.trained_statistics(first)),
        memory_bytes=memory_bytes(structure, submodel, batch, optimizer),
        samples=processed,
        steps=work.steps_of(samples),
        submodel=submodel.label,
        density=trained / parameters,
    )


def covered_parameters(structure: ModelStructure, submodels: Iterable[Submodel]) -> int:
    """How many of the whole model's parameters at least one of these sub-models trains."""
    shapes = {name: tuple(tensor.shape) for name, tensor in structure.network.named_parameters()}
    covered = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    for submodel in submodels:
        held = None if submodel.cut is None else structure.units.kept(submodel.cut.kept)
        for name in structure.trained_tensors(submodel.first_layer):
            index = () if held is None else structure.units.index(name, held)
            rows = [np.arange(size) for size in shapes[name]]
            rows = (
                [row if kept is None else kept for row, kept in zip(rows, index, strict=True)]
                if index
                else rows
            )
            covered[name][np.ix_(*rows)] = True
    return sum(int(mask.sum()) for mask in covered.values())
